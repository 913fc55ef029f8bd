"""Evaluation of a bundle: figures with intervals by patient, plots, a page, the card. Reads the test split.

May import, of `training`: `tasks` and what stands below.
"""
