"""Bundles: manifest, store on disk, calibration, intended use, a site's thresholds.

May import image, values and errors; no network and no torch.
"""
