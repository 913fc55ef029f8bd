"""Headers and pixels of the images that results are made of.

Imports nothing of `workers.results`.
"""
