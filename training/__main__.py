"""Entry point of `python -m training`: what a user can mend is said in one line, anything else with its traceback."""

import sys

import yaml
from pydantic import ValidationError

from models.errors import ModelsError
from training.cli import app

try:
    app()
except ValidationError as error:
    parts = (f"{'.'.join(str(step) for step in one['loc'])}: {one['msg']}" for one in error.errors())
    sys.exit(f"error: {error.title}: {'; '.join(parts)}")
except yaml.YAMLError as error:
    sys.exit(f"error: the recipe is no YAML: {' '.join(str(error).split())}")
except (ModelsError, ValueError, OSError) as error:
    sys.exit(f"error: {error}")
