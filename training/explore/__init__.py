"""A report on a data set that people can look at before anything is trained: see `examine` in report.py.

May import, of `training`: `evaluation` and what stands below.
"""
