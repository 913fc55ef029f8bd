"""Bundles: manifest, digests, calibration, intended use, a site's thresholds."""
