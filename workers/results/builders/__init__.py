"""One module for each kind of result, called by one row of `workers.results.kinds` each.

May import, of `workers.results`: `part10` and what stands below.
"""
