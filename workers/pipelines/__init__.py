"""Pipelines: from the images of a study to findings, and from findings to results."""
