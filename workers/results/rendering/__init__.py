"""Pictures and pages for people.

May import, of `workers.results`: `text` and what stands below.
"""
