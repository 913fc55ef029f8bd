"""NIH ChestX-ray14 (Wang 2017): PNG images, text-mined findings, some boxes.

Owner's layout: `images_001/images/*.png` to `images_012` (or one `images/`), `Data_Entry_2017_v2020.csv` or
`Data_Entry_2017.csv`, and `BBox_List_2017.csv` where it was fetched.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from training.data import terms
from training.data.sources import files
from training.data.sources.record import UNKNOWN, DataSet, Kind, LabelledBox, Problems, Record, SourceRefused, finished

NAME = "nih"
TERMS = terms.LICENCE["nih"]
PUBLISHED_IMAGES = 112_120
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
BOXES = "BBox_List_2017.csv"
SIZE = (1024, 1024)
FINDINGS = (
    "atelectasis",
    "cardiomegaly",
    "consolidation",
    "edema",
    "effusion",
    "emphysema",
    "fibrosis",
    "hernia",
    "infiltration",
    "mass",
    "nodule",
    "pleural-thickening",
    "pneumonia",
    "pneumothorax",
)
NO_FINDING = "no-finding"
NOTES = (
    "findings were mined from report texts: 0 is not mentioned rather than absent, and No Finding is not a "
    "radiologist's normal",
    "many patients have several images, and many with pneumothorax already have a chest tube",
)

# Of DATA.md's table.
COLUMNS = (
    "id",
    "patient",
    "findings",
    "view",
    "age",
    "sex",
    "follow_up",
    "siim_positive",
    "pneumothorax_mask",
    "rsna_class",
    "rsna_boxes_xywh_1024",
    "nih_boxes_xywh_1024",
    "source_form",
)

_NAMES = {"pleural_thickening": "pleural-thickening", "no finding": NO_FINDING, "infiltrate": "infiltration"}
_ID = re.compile(r"[\w.-]+$")


def read(folder: Path) -> DataSet:
    """Read the owner's layout, or table.csv.

    Raises
    ------
    SourceRefused
        Neither is there, or nothing could be found.
    """
    problems = Problems()
    place = files.table_of(folder, NAME)
    if place:
        return finished(NAME, TERMS, _from_table(place, problems), problems, notes=NOTES)
    table = next((folder / one for one in TABLES if (folder / one).is_file()), None)
    if table is None:
        raise SourceRefused(f"{folder} holds neither table.csv nor {' nor '.join(TABLES)}; fetch it from the NIH")
    records = _from_entries(folder, table, problems)
    notes = NOTES + files.published(len(records), PUBLISHED_IMAGES, "images")
    return finished(NAME, TERMS, records, problems, notes=notes)


def findings(written: str, where: str, problems: Problems) -> Mapping[str, float] | None:
    """Read "Effusion|Mass" or "No Finding" as labels; what is none of the 14 is noted and gives None."""
    names = [part.strip().lower() for part in written.split("|")]
    given = {_NAMES.get(name, name) for name in names}
    unknown = given - {*FINDINGS, NO_FINDING}
    if unknown or (NO_FINDING in given and len(given) > 1):
        problems.add(Kind.LABEL, where, f"findings {written!r}, NIH's 14 or No Finding alone were expected; left out")
        return None
    return {name: float(name in given) for name in (*FINDINGS, NO_FINDING)}


def _from_entries(folder: Path, table: Path, problems: Problems) -> list[Record]:
    """Read the owner's tables."""
    images = files.found(folder, ("*.png",))
    entries = files.rows(table, ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position"))
    boxes = _boxes(folder / BOXES, {row["Image Index"] for row in entries}, problems)
    records = []
    for row in entries:
        name = row["Image Index"]
        path = images.get(name)
        if path is None:
            problems.add(Kind.MISSING, name, f"{table.name} names this image; unpack all twelve archives")
            continue
        labels = findings(row["Finding Labels"], name, problems)
        shape = files.size(path, problems)
        if labels is None or shape is None:
            continue
        if shape != SIZE:
            problems.add(Kind.SIZE, path, f"{shape[0]} x {shape[1]}, 1024 x 1024 was expected; its boxes are left out")
        records.append(
            Record(
                id=path.stem,
                patient=row["Patient ID"],
                path=path,
                image=files.picture(path),
                labels=labels,
                boxes=boxes.get(name) if shape == SIZE else None,
                view=files.view(row["View Position"], name, problems),
                sex=files.sex(row.get("Patient Gender") or row.get("Patient Sex"), name, problems),
                age_years=files.age(row["Patient Age"], name, problems),
                site="nih",
            )
        )
    files.unlisted(images, {row["Image Index"] for row in entries}, problems)
    return records


def _boxes(path: Path, listed: set[str], problems: Problems) -> dict[str, tuple[LabelledBox, ...]]:
    """Read the owner's boxes; images without any are unknown, not empty."""
    if not path.is_file():
        return {}
    header = "Bbox [x"
    grouped: dict[str, list[LabelledBox]] = defaultdict(list)
    # The header names one column "Bbox [x,y,w,h]", which the commas in it make four.
    for row in files.rows(path, ("Image Index", "Finding Label", header, "y", "w", "h]")):
        name = row["Image Index"]
        label = _NAMES.get(row["Finding Label"].lower(), row["Finding Label"].lower())
        box = box_of(label, (row[header], row["y"], row["w"], row["h]"]), SIZE)
        if box is None or label not in FINDINGS or name not in listed:
            problems.add(Kind.LABEL, f"{path.name}: {name}", "no box of a finding within a listed image; left out")
        else:
            grouped[name].append(box)
    return {name: tuple(boxes) for name, boxes in grouped.items()}


def box_of(
    label: str, xywh: tuple[str, str, str, str], shape: tuple[int, int], scale: float = 1.0
) -> LabelledBox | None:
    """Read x, y, width, height on a grid of `shape` (rows, columns); None when it is no rectangle within it.

    `scale` brings it to the source image. A pixel of excess at the border is cut: owners round.
    """
    try:
        x, y, width, height = (float(part) for part in xywh)
    except ValueError:
        return None
    rows, columns = shape
    if not (width > 0 and height > 0 and x >= -1 and y >= -1 and x + width <= columns + 1 and y + height <= rows + 1):
        return None
    x0, y0, x1, y1 = max(x, 0.0), max(y, 0.0), min(x + width, float(columns)), min(y + height, float(rows))
    return LabelledBox(label, x0 * scale, y0 * scale, x1 * scale, y1 * scale)


def _from_table(folder: Path, problems: Problems) -> list[Record]:
    """Read the layout of DATA.md."""
    records = []
    for row, path, shape in listed_images(folder, problems):
        labels = findings(row["findings"], row["id"], problems)
        if labels is None:
            continue
        panel = {"YES": 1.0, "NO": 0.0}.get(row["google_pneumothorax"], UNKNOWN)
        boxes = []
        for part in filter(None, row["nih_boxes_xywh_1024"].split(";")):
            label, _, numbers = part.partition(":")
            boxes.append((_NAMES.get(label.lower(), label.lower()), numbers))
        read_boxes = scaled_boxes(boxes, row["id"], shape, problems)
        records.append(tabled(row, path, {**labels, "pneumothorax-panel": panel}, read_boxes or None, problems))
    return records


def listed_images(folder: Path, problems: Problems) -> list[tuple[dict[str, str], Path, tuple[int, int]]]:
    """Return the rows of DATA.md's nih/table.csv with the file and the size of each image that is there."""
    given = []
    for row in files.rows(folder / "table.csv", COLUMNS):
        if not _ID.match(row["id"]):
            problems.add(Kind.LABEL, row["id"], "no id that can be a file name; left out")
            continue
        path = folder / "images" / f"{row['id']}.jpg"
        if not path.is_file():
            problems.add(Kind.MISSING, path, "table.csv names this image")
            continue
        shape = files.size(path, problems)
        if shape is not None:
            given.append((row, path, shape))
    return given


def scaled_boxes(
    boxes: list[tuple[str, str]], where: str, shape: tuple[int, int], problems: Problems
) -> tuple[LabelledBox, ...]:
    """Read labelled "x,y,w,h" on the 1024 grid as boxes in pixels of an image of `shape`; wrong ones are noted."""
    found = []
    for label, numbers in boxes:
        parts = tuple(numbers.split(","))
        box = box_of(label, parts, SIZE, shape[1] / SIZE[1]) if len(parts) == 4 else None
        if box is None:
            problems.add(Kind.LABEL, where, f"box {numbers!r}, x,y,width,height within 1024 x 1024 were expected")
        else:
            found.append(box)
    return tuple(found)


def tabled(
    row: Mapping[str, str],
    path: Path,
    labels: Mapping[str, float],
    boxes: tuple[LabelledBox, ...] | None,
    problems: Problems,
) -> Record:
    """Make a record of a row of DATA.md's nih/table.csv."""
    return Record(
        id=row["id"],
        patient=row["patient"],
        path=path,
        image=files.picture(path),
        labels=labels,
        boxes=boxes,
        view=files.view(row["view"], row["id"], problems),
        sex=files.sex(row["sex"], row["id"], problems),
        age_years=files.age(row["age"], row["id"], problems),
        site="nih",
        groups={
            "image of the patient": "first" if row["follow_up"] == "0" else "later",
            "source file": row["source_form"],
        },
    )
