"""Localisation of opacities by boxes."""
