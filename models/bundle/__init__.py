"""Bundles: manifest, store on disk, calibration, intended use, a site's thresholds.

May import, of `models`: `image` and what stands below.
"""
