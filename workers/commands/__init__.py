"""What the commands of `hilum` do that need networks or results.

May import, of `workers`: `process` and what stands below.
"""
