"""`python -m training`: prepare, train, evaluate, export. Research use only, not for clinical use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from training.explore.command import explore, split

if TYPE_CHECKING:
    from training.config import Data

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

RecipePath = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Recipe (training/recipes/*.yaml).")]
DataFolder = Annotated[Path, typer.Option("--data", envvar="HILUM_DATA", help="Folder of the data sets.")]
CacheFolder = Annotated[Path, typer.Option("--cache", help="Folder of decoded arrays.")]
EvaluatedSplit = Literal["test", "val"]
RunFolder = Annotated[Path, typer.Option("--out", help="Folder of this run.")]


@app.command()
def prepare(recipe: RecipePath, data: DataFolder, cache: CacheFolder = Path("runs/cache")) -> None:
    """Decode the data sets of a recipe once, through the preprocessing of serving."""
    from training.progress import bars
    from training.tasks import registry

    for name, images in registry.prepare(recipe, data, cache, bars):
        typer.echo(f"{name}: {images} images")


@app.command()
def train(
    recipe: RecipePath,
    data: DataFolder,
    out: RunFolder,
    *,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Initial weights of the encoder: torchvision:NAME or timm:NAME (downloaded), a safetensors file in "
            "their layout, or the folder of a run or bundle. Without it the network starts at random."
        ),
    ] = None,
    earlier: Annotated[Path | None, typer.Option(help="Earlier run whose best weights this one starts from.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Try every part of the recipe within a minute.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the last whole epoch of a stopped run.")
    ] = False,
    fold: Annotated[
        int | None, typer.Option(min=0, help="Hold this fold of train and val out (recipe: data: folds), from 0 on.")
    ] = None,
    cache: CacheFolder = Path("runs/cache"),
) -> None:
    """Train a recipe; the best checkpoint, the metrics and the resolved recipe lie in the run's folder."""
    from training.config import Run
    from training.tasks import registry

    run = Run(out, data, cache, weights=weights, earlier=earlier, resume=resume)
    typer.echo(registry.train(recipe, run, smoke=smoke, fold=fold))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of a run.")],
    data: DataFolder,
    *,
    folds: Annotated[
        list[Path] | None,
        typer.Option("--fold", help="Runs of the same recipe by fold: thresholds are chosen on what they held out."),
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Ship the networks of the folds together, instead of that of the run.")
    ] = False,
    cache: CacheFolder = Path("runs/cache"),
) -> None:
    """Write the bundle of a run, with thresholds, temperature and gate from validation; not yet evaluated."""
    from training.config import Run
    from training.tasks import registry

    if ensemble and not folds:
        raise typer.BadParameter("an ensemble is made of the runs named by --fold")
    for folder in registry.export(Run(run, data, cache), folds or (), ensemble=ensemble):
        typer.echo(folder)


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of an exported bundle.")],
    data: DataFolder,
    *,
    split: Annotated[EvaluatedSplit, typer.Option(help="val leaves test unread; only with --out.")] = "test",
    out: Annotated[Path | None, typer.Option(help="Write here and leave the bundle as it is.")] = None,
    pictures: Annotated[
        bool, typer.Option(help="Draw images beneath outlines and heat maps (only with --out).")
    ] = False,
    dependencies: Annotated[
        Path | None, typer.Option("--companions", help="Bundles that serve with this one (default: the shipped).")
    ] = None,
    also: Annotated[list[Path] | None, typer.Option(help="report.json of the recipe trained at one site.")] = None,
    truth: Annotated[
        str | None, typer.Option(help="Truth of training/evaluation/truths.py (default: the bundle's).")
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Data set to measure on (dicom: your own), several are joined; default: the public ones."),
    ] = None,
    ids: Annotated[
        Path | None, typer.Option(help="csv of `training split` for --source; without it all images are measured.")
    ] = None,
) -> None:
    """Evaluate a bundle of any task and complete its report, plots, page, card and manifest."""
    from training.evaluation import run as running

    if out is None and (split != "test" or pictures):
        raise typer.BadParameter("a bundle holds figures of the test split and no pictures: give --out")
    own = _own(source, ids)
    if out is None:
        done = running.complete(bundle, data, dependencies=dependencies, also=also or (), truth=truth, own=own)
        found, last = done.manifest.evaluation, done.digest
    else:
        outcome = running.evaluate_into(
            bundle, data, out, split=split, dependencies=dependencies, pictures=pictures, truth=truth, own=own
        )
        found, last = tuple(outcome.figures), str(out)
    for figure in found:
        typer.echo(f"{figure.name} ({figure.measured_on}): {figure.value:.4f} [{figure.low}, {figure.high}]")
    typer.echo(last)


@app.command()
def outlines(
    bundle: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Bundle that outlines a disease.")],
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", help="csv to write: ImageId, EncodedPixels.")],
    *,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which images.")] = "val",
    dialect: Annotated[
        Literal["relative", "absolute-from-1", "absolute-from-0"],
        typer.Option(help="What a start counts: pixels since the last run (the SIIM-ACR tables), or from the first."),
    ] = "relative",
    dependencies: Annotated[
        Path | None, typer.Option("--companions", help="Bundles that serve with this one (default: the shipped).")
    ] = None,
    source: Annotated[list[str] | None, typer.Option(help="Data set; default: the public ones.")] = None,
    ids: Annotated[Path | None, typer.Option(help="csv of `training split` for --source.")] = None,
) -> None:
    """Write the masks of a bundle as run-length strings (RLE), as the SIIM-ACR challenge takes them."""
    from models.bundle.store import load
    from models.image.rle import Dialect
    from training.data import collection
    from training.evaluation import submission, truths
    from training.progress import bars

    found = load(bundle)
    chosen = _own(source, ids) or collection.SHIPPED[truths.public_set(found.manifest)]
    images = collection.read(data, chosen)
    count = submission.write(
        found, images, split, out, dialect=Dialect(dialect), dependencies=dependencies, progress=bars
    )
    typer.echo(f"{out}: {len(images.ids(split))} images, {count} with a mask")


@app.command()
def inherit(
    bundle: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of an exported bundle.")],
    earlier: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Evaluated bundle that answers alike.")],
) -> None:
    """Complete a bundle with the evaluation of an earlier version of the same network and thresholds."""
    from training.evaluation import inherited

    typer.echo(inherited.inherit(bundle, earlier).digest)


@app.command()
def ship(
    bundle: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of an evaluated bundle.")],
    into: Annotated[Path, typer.Argument(help="Root of the shipped bundles.")] = Path("models/bundles"),
) -> None:
    """Copy a verified bundle to NAME-VERSION under the root; an existing one is never overwritten."""
    import shutil

    from models.bundle.store import load

    found = load(bundle)
    target = into / f"{found.manifest.name}-{found.manifest.version}"
    shutil.copytree(bundle, target)
    typer.echo(f"{target} {load(target, found.digest).digest}")


@app.command("cross-site")
def cross_site(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Run of a lungs-heart recipe of one site.")],
    data: DataFolder,
    cache: CacheFolder = Path("runs/cache"),
) -> None:
    """Test a lungs-heart training of one hospital on all images of the other."""
    from training.evaluation import cross_site as crossing

    for figure in crossing.evaluate(run, data, cache):
        typer.echo(f"{figure.name} ({figure.measured_on}): {figure.value:.4f} [{figure.low}, {figure.high}]")


def _own(source: list[str] | None, ids: Path | None) -> Data | None:
    """Return what --source and --ids name; None: the public data sets."""
    from training.config import Data
    from training.data.splits import ALL

    if ids is not None and not source:
        raise typer.BadParameter("--ids is the split of the data set that --source names")
    return Data(sources=tuple(source), split=str(ids) if ids else ALL) if source else None


app.command()(explore)
app.command()(split)
