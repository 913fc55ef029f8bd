"""Data sets, their splits, and the arrays that are made of them.

May import, of `training`: `config`, `progress` and what stands below.
"""
