"""What every training has in common: loop, losses, augmentation, sampling, schedules, first weights.

May import, of `training`: `config`, `progress` and what stands below.
"""
