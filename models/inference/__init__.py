"""Networks that run: numpy in, numpy out.

May import, of `models`: `bundle`, `networks` and what stands below.
"""
