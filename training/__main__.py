"""Entry point of `python -m training`: what a user can mend is said in one line, anything else with its traceback."""

import sys

from models.errors import ModelsError
from training.cli import app

try:
    app()
except (ModelsError, ValueError) as error:
    sys.exit(f"error: {error}")
