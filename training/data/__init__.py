"""Data sets, their splits, and the arrays that are made of them.

May import config and progress.
"""
