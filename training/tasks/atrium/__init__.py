"""The left atrium on MR volumes: a 2-D U-Net by slice and a 3-D U-Net over sliding windows.

May import, of `training`: what `tasks` may, and no other task.
"""
