"""Evaluation of one task each."""
