"""Localisation of opacities by boxes.

May import, of `training`: `tasks.boxes`, whose data and module it shares, and what `tasks` may.
"""
