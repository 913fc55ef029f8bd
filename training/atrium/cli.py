"""`python -m training.atrium`: train and export the atrium networks. Research use only, not for clinical use.

`python -m training evaluate` and `ship` then do for the bundle what they do for every other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.command()
def train(
    recipe: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="Recipe (training/recipes/atrium-*.yaml).")
    ],
    data: Annotated[Path, typer.Option("--data", envvar="HILUM_DATA", help="Folder of the data sets.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of this run.")],
    *,
    weights: Annotated[
        str, typer.Option(help="Initial weights of the 2-D encoder, see training/initial.py.")
    ] = "random",
    smoke: Annotated[bool, typer.Option("--smoke", help="Try every part of the recipe within a minute.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the last whole epoch of a stopped run.")
    ] = False,
) -> None:
    """Train a recipe; the last checkpoint, the metrics and the resolved recipe lie in the run's folder."""
    from training.atrium import config, fit

    chosen = config.smoke(config.read(recipe)) if smoke else config.read(recipe)
    typer.echo(fit.train(chosen, data, out, weights=weights, resume=resume))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of a finished run.")],
) -> None:
    """Write the bundle of a run; not yet evaluated."""
    from training.atrium import export as exporting

    typer.echo(exporting.export(run))
