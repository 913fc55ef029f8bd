"""MR volumes: series, grid, left atrium.

May import everything of models but chest and phantom.
"""
