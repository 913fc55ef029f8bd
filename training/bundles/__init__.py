"""What every run needs to become a bundle: its manifest and its tensors.

May import, of `training`: `fit`, `measures`, `data` and what stands below.
"""
