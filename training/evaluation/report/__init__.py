"""What an evaluation hands on: page, plots, pictures.

May import, of `training`: what `evaluation` may.
"""
