"""The classical baseline: engineered features within the lungs, and gradient boosting.

May import, of `training`: what `tasks` may, and no other task.
"""
