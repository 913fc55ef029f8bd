"""From a file to the input of a network, and exactly back.

May import, of `models`: `values` and what stands below.
"""
