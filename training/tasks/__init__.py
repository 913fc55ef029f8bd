"""One package for each kind of training, all with the same files: recipe, data, module, fit, export.

Detection stands on boxes.

May import, of `training`: `bundles` and what stands below.
"""
