"""Analysis of files without any PACS: the same pipeline as the workers, results into a folder."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from models.errors import BundleRefused
from node.clock import utc_now
from node.commands.files import files_under
from node.delivery.profiles import Profile
from node.dicom.kinds import KINDS, ResultKind, Scope
from node.dicom.part10 import identity_digest
from node.errors import Misconfigured, place_of
from node.intake.eligibility import Eligibility, judge
from workers.commands import terminal
from workers.pipelines.chest.pipeline import PIPELINE as CHEST
from workers.pipelines.networks import Networks
from workers.pipelines.run import Analysis, Asked, run
from workers.pipelines.study import Study, StudyImage, read_image
from workers.results.rendering import heatmaps
from workers.results.rendering.overlay import overlay_png


def group(paths: Sequence[Path]) -> tuple[list[Study], list[tuple[Path, str]]]:
    """Group files by study.

    Returns
    -------
    tuple
        The studies, and the files that cannot be used at all, each with the reason.
    """
    studies: dict[str, list[StudyImage]] = defaultdict(list)
    seen: dict[str, Path] = {}
    unusable: list[tuple[Path, str]] = []
    for path in files_under(paths):
        try:
            image = read_image(path, digest=identity_digest(path)[0])
        except OSError as error:
            unusable.append((path, str(error)))
            continue
        header = image.header
        if header is None:
            unusable.append((path, image.unusable))
            continue
        verdict = judge(header, CHEST)
        if verdict.eligibility is Eligibility.IGNORE:
            unusable.append((path, verdict.detail))
            continue
        if header.sop_instance_uid in seen:
            unusable.append((path, f"the same SOP Instance UID as {seen[header.sop_instance_uid].name}"))
            continue
        seen[header.sop_instance_uid] = path
        declined = verdict.reason if verdict.eligibility is Eligibility.DECLINE else None
        studies[header.study_instance_uid].append(replace(image, declined=declined, detail=verdict.detail))
    return [Study(uid, tuple(images)) for uid, images in studies.items()], unusable


def analyse(
    study: Study,
    *,
    networks: Networks,
    out: Path,
    profile: Profile,
    console: Console,
    bundles: Sequence[str] | None = None,
    heat_maps: bool = False,
) -> Path:
    """Analyse one study; return the folder with SEG, SR, PNG and JSON.

    Parameters
    ----------
    bundles
        Names of those to run, as in a rule; None for all that run unasked.
    heat_maps
        Also one picture for each finding that is present, of where the classifier looked.
    """
    with console.status("analysing") as status:
        analysis = run(
            CHEST,
            networks,
            study,
            Asked(created_at=utc_now(), profiles=[profile], bundles=bundles, heat_maps=heat_maps),
            on_progress=lambda stage: status.update(f"analysing: {stage}"),
        )
        folder = out / study.study_instance_uid
        folder.mkdir(parents=True, exist_ok=True)
        written = _write(folder, analysis)
        sources = {source.uid: source for source in study.sources}
        for number, image in enumerate(analysis.request.images, start=1):
            name = folder / f"overlay-{number}.png"
            radiograph = study.radiographs.of(sources[image.sop_instance_uid])
            overlay_png(radiograph, image, name)
            written.append(name)
            for heat, finding in heatmaps.pairs(image):
                name = folder / f"heat-map-{number}-{heat.bundle.name}-{_file_name(heat.label)}.png"
                heatmaps.heat_map_png(radiograph.pixels, heat, finding, name, orientation=radiograph.orientation)
                written.append(name)
    for item in analysis.withheld:
        console.print(
            f"[red]withheld[/] {item.result.kind if item.result else item.profile.name}: {'; '.join(item.faults)}",
            soft_wrap=True,
        )
    terminal.print_summary(analysis.summary, console)
    terminal.print_timings(analysis.timings_s, console)
    for path in written:
        console.print(f"  {path}", soft_wrap=True, highlight=False)
    return folder


def analyse_all(studies: Sequence[Study], analyse_one: Callable[[Study], Path], console: Console) -> int:
    """Analyse studies one by one, whatever becomes of each; return how many failed.

    Raises
    ------
    Misconfigured, BundleRefused
        None of them can be analysed.
    """
    failed = 0
    for study in studies:
        try:
            analyse_one(study)
        except (Misconfigured, BundleRefused):
            raise
        except Exception as error:  # the next study has nothing to do with it
            failed += 1
            files = ", ".join(str(image.path) for image in study.images)
            console.print(
                f"[red]failed[/] {escape(files)}: {place_of(error)}; the other studies are analysed", soft_wrap=True
            )
    return failed


def _file_name(label: str) -> str:
    """Keep of a label what every file system takes."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", label)


def _write(folder: Path, analysis: Analysis) -> list[Path]:
    counts: dict[ResultKind, int] = defaultdict(int)
    written = []
    for _, result in analysis.results:
        counts[result.kind] += 1
        number = "" if KINDS[result.kind].scope is Scope.STUDY else f"-{counts[result.kind]}"
        path = folder / f"{result.kind.lower()}{number}.dcm"
        path.write_bytes(result.content)
        written.append(path)
    path = folder / "summary.json"
    path.write_text(json.dumps(analysis.summary, indent=1, ensure_ascii=False), encoding="utf-8")
    return [*written, path]
