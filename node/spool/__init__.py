"""Every byte that the node keeps on disk. Knows no network and no database.

May import, of `node`: `pipelines` and what stands below.
"""
