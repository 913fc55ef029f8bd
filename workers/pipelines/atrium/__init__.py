"""The pipeline for the left atrium in MR series: each series is one volume.

May import what `workers.pipelines` may, within functions only: the edge imports its modules. No other pipeline.
"""
