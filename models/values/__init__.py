"""What the networks say, as plain frozen values.

May import, of `models`: `errors`, `openmp`, `phantom`.
"""
