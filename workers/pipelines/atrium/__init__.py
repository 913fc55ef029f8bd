"""The pipeline for the left atrium in MR series: each series is one volume.

May import, of `workers.pipelines`: `protocol` and what stands below. Within functions
only: the edge imports its modules.
"""
