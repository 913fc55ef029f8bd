"""The pipeline for chest radiographs: gate, findings, anatomy and lesions of each image on its own.

May import what `workers.pipelines` may, within functions only: the edge imports its modules. No other pipeline.
"""
