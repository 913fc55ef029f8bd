"""From a file to the input of a network, and exactly back.

May import values and errors.
"""
