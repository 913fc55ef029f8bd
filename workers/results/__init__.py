"""DICOM result objects (SEG, SR) from typed findings. The only place that imports highdicom.

Imports nothing of `workers`.
"""
