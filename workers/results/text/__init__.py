"""What results say in words and codes.

May import, of `workers.results`: `request` and what stands below.
"""
