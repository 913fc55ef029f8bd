"""DICOM result objects from typed findings. The only place that imports highdicom.

Imports nothing of `workers`.

`request` is what a result is made from, `encode` makes and checks it. `kinds` has a row for each kind of result: its
builder, and what is checked in its objects. Facts of a kind stand in `node/dicom/kinds.py`.
"""
