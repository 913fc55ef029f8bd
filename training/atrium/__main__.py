"""Entry of `python -m training.atrium`."""

from training.atrium.cli import app

app()
