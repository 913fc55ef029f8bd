"""Bundles: manifest, store on disk, calibration, intended use, a site's thresholds."""
