"""Classification and segmentation of chest radiographs.

May import, of `training`: what `tasks` may, and no other task.
"""
