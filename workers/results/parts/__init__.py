"""What several kinds of result have in common.

May import, of `workers.results`: `text` and what stands below.
"""
