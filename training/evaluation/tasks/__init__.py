"""Evaluation of one task each.

May import, of `training`: what `evaluation` may.
"""
