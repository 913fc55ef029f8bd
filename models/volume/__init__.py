"""MR volumes: series, grid, left atrium.

May import, of `models`: `inference` and what stands below.
"""
