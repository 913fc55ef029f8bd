"""Figures of merit, their intervals, and choices made on validation.

May import config; no data set and no network.
"""
