"""Evaluation of a bundle: figures of merit with intervals by patient, plots, a page, the card. Reads the test split."""
