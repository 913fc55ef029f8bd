"""The pipeline for chest radiographs: gate, findings, anatomy and lesions of each image on its own.

May import, of `workers.pipelines`: `protocol` and what stands below. Within functions
only: the edge imports its modules.
"""
