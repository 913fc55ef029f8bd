"""Pipelines: from the images of a study to findings, and from findings to results.

May import, of `workers`: `results`.
"""
