"""Evaluation of a bundle: figures with intervals by patient, plots, a page, the card. Reads the test split.

May import everything of training but explore and the command line.
"""
