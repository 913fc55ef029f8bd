"""Figures of merit, their intervals, and choices made on validation.

May import, of `training`: `config`, `progress` and what stands below.
"""
