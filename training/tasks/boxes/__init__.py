"""The heart's box by regression, beside the box of the heart's mask.

May import, of `training`: what `tasks` may, and no other task.
"""
