"""Every finding and structure that is told, and every bundle that tells it, in one table.

What a label means to others stands here once: its code, its site, its side, its colour, its name in the languages of
the results; and of a bundle its name, what it is made to tell, what it has to reach on the test split, and what its
card says in words. To add a finding with a network of its own, add a row here, a recipe, and where the labels of the
data are not the truth, a function in training/evaluation/truths.py. No measured number stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from models.values import codes
from models.values.codes import Code


class Names(NamedTuple):
    """The name of a thing in each language that results can be written in, by its tag (RFC 5646)."""

    en: str
    de: str
    fr: str


@dataclass(frozen=True)
class FindingRow:
    """A finding or structure; `label` is what the outputs of networks are called in manifests."""

    label: str
    name: Names
    code: Code
    site: Code | None = None
    """Where a finding lies (PS3.16 CID 6129 Chest Site Involvement); None: it is a place itself."""
    side: Code | None = None
    """Of a structure that is there twice."""
    colour_rgb: tuple[int, int, int] | None = None
    """Display colour of its mask or box; None: it has none."""
    area: Names | None = None
    """The name of the area of its mask; None: it is not measured."""


class Target(NamedTuple):
    """What a figure has to reach, by its name and words that stand, or do not stand, in what it was measured on."""

    figure: str
    bound: float
    on: str = ""
    at_most: bool = False
    unless: str = "site not trained on"


@dataclass(frozen=True)
class Note:
    """What a card says in words, each a list of Markdown items."""

    not_for: tuple[str, ...]
    """What the bundle must not be used for, beyond what the gate and the intended use refuse."""
    limits: tuple[str, ...]
    """What is known to go wrong, or is not known."""
    ethics: tuple[str, ...] = ()
    """Who may be harmed, and how."""
    missed: tuple[str, ...] = ()
    """Why targets are not reached, as far as it is known; said where one is not."""


@dataclass(frozen=True)
class BundleRow:
    """A bundle; what its recipe does not say."""

    labels: tuple[str, ...]
    """What it tells, by the labels of `FINDINGS`."""
    note: Note
    targets: tuple[Target, ...] = ()
    name: Names | None = None
    """None: no result names it."""
    tells: str = ""
    """Of one that was trained on NIH's adults: how its intended use begins."""


_ROWS = (
    FindingRow(
        "right-lung",
        Names("Right lung", "Rechte Lunge", "Poumon droit"),
        codes.LUNG,
        side=codes.RIGHT,
        colour_rgb=(90, 160, 235),
        area=Names("Right lung area", "Fläche der rechten Lunge", "Surface du poumon droit"),
    ),
    FindingRow(
        "left-lung",
        Names("Left lung", "Linke Lunge", "Poumon gauche"),
        codes.LUNG,
        side=codes.LEFT,
        colour_rgb=(95, 205, 150),
        area=Names("Left lung area", "Fläche der linken Lunge", "Surface du poumon gauche"),
    ),
    FindingRow("heart", Names("Heart", "Herz", "Cœur"), codes.HEART, colour_rgb=(235, 95, 85)),
    FindingRow("pneumonia", Names("Pneumonia", "Pneumonie", "Pneumonie"), codes.PNEUMONIA, codes.LUNG),
    FindingRow(
        "pneumothorax",
        Names("Pneumothorax", "Pneumothorax", "Pneumothorax"),
        codes.PNEUMOTHORAX,
        codes.PLEURA,
        colour_rgb=(250, 205, 70),
        area=Names("Pneumothorax area", "Fläche des Pneumothorax", "Surface du pneumothorax"),
    ),
    FindingRow("atelectasis", Names("Atelectasis", "Atelektase", "Atélectasie"), codes.ATELECTASIS, codes.LUNG),
    FindingRow(
        "lung-opacity",
        Names("Lung opacity", "Verschattung der Lunge", "Opacité pulmonaire"),
        codes.LUNG_OPACITY,
        codes.LUNG,
        colour_rgb=(235, 140, 60),
    ),
    FindingRow(
        "left-atrium",
        Names("Left atrium", "Linker Vorhof", "Oreillette gauche"),
        codes.LEFT_ATRIUM,
        colour_rgb=(235, 95, 85),
    ),
)
FINDINGS: Mapping[str, FindingRow] = {row.label: row for row in _ROWS}
"""By label."""
OTHER_NAMES = (
    Names("Cardiomegaly", "Kardiomegalie", "Cardiomégalie"),
    Names("Consolidation", "Konsolidierung", "Condensation"),
    Names("Edema", "Lungenödem", "Œdème pulmonaire"),
    Names("Effusion", "Pleuraerguss", "Épanchement pleural"),
    Names("Pleural effusion", "Pleuraerguss", "Épanchement pleural"),
    Names("Emphysema", "Emphysem", "Emphysème"),
    Names("Fibrosis", "Fibrose", "Fibrose"),
    Names("Hernia", "Hernie", "Hernie"),
    Names("Infiltration", "Infiltrat", "Infiltrat"),
    Names("Mass", "Raumforderung", "Masse"),
    Names("No finding", "Kein Befund", "Aucun signe"),
    Names("Nodule", "Rundherd", "Nodule"),
    Names("Pleural thickening", "Pleuraverdickung", "Épaississement pleural"),
)
"""Of findings that no bundle tells yet, for bundles of others: they have a name and no row."""

_NIH_LIMITS = (
    "All images come from one hospital (NIH Clinical Center), with many images of the same severely ill patients; "
    "they are 8-bit pictures without the window of the acquisition. Nothing is known of other hospitals.",
    "The selection is not by chance: the part of positives here says nothing about a ward or a screening. Predictive "
    "values are therefore also given at stated prevalences.",
)
_PNEUMOTHORAX_LIMITS = (
    "Many patients with a pneumothorax already have a chest tube, and nothing in the data says which. A network may "
    "answer to the tube; look at the heat maps, and expect less where no tube lies.",
    "Expert negatives are few, so what is measured against them has wide intervals. NIH's No Finding was mined from "
    "reports and is an easier group: an image free of everything.",
    "Positives and negatives came in different file formats; all were re-encoded alike before training, which hides "
    "most of the difference and cannot be shown to hide all of it. Figures by source file are among the subgroups.",
    "A small pneumothorax at the apex covers few pixels of the network's grid and is the kind that is missed.",
)
_ATRIUM = Note(
    not_for=(
        "MR volumes of another kind than late-gadolinium enhancement of the atria; CT; other chambers.",
        "Planning of an ablation or any measurement on which treatment rests.",
    ),
    limits=(
        "Very few volumes, of one challenge, are behind the weights, and fewer behind the figures: each interval "
        "rests on a handful of patients.",
        "The volumes are cut-outs around the atrium, made with the outline at hand: the atrium always lies in the "
        "middle. A whole series is looked at through a field of that size, around a place that is named or found by "
        "search; how well the search finds it was not measured.",
        "The files carry no spacing. Within the slices it is the challenge's; from slice to slice it was judged from "
        "the pictures to be twice that (vessels are round only so), although the challenge says they are equal. "
        "Distances in mm and volumes in ml rest on that.",
        "Where the pulmonary veins and the mitral valve end the atrium is a convention of the outlines.",
    ),
    ethics=("No age, sex or diagnosis comes with the volumes: no subgroup can be looked at.",),
    missed=("Few volumes to learn from, and three to measure on: the interval includes the target.",),
)
BUNDLES: Mapping[str, BundleRow] = {
    "lungs-heart": BundleRow(
        labels=("right-lung", "left-lung", "heart"),
        name=Names("Lungs heart", "Lungen und Herz", "Poumons et cœur"),
        targets=(
            Target("Dice lungs", 0.97, "both sites"),
            Target("Dice heart", 0.94, "both sites"),
            Target("Dice heart", 0.9, "trained on", unless="both sites"),
            Target("cardiothoracic ratio, mean absolute error against masks", 0.015, "both sites", at_most=True),
            Target("heart box, intersection over union", 0.88, "both sites"),
        ),
        note=Note(
            not_for=(
                "Children: their lungs help the gate, their masks are not evaluated and are not given out.",
                "Lateral or supine images, other body parts: the gate refuses them.",
                "Reading the cardiothoracic ratio as a reader's: readers use the inner ribs at the level of the "
                "diaphragm.",
            ),
            limits=(
                "It is trained on adults of two sites; Wingspan images were squashed to a square by their publisher. "
                "Areas and box edges near the diaphragm follow the JSRT convention: the lung behind the heart and the "
                "diaphragm is not lung here.",
                "Some reference masks (Wingspan above all) count the lung behind the heart, most do not; on these the "
                "left lung of the network, which follows the majority, scores badly (`evaluation/worst-cases.png`). "
                '"Lungs outside the heart" leaves the pixels of the reference heart out of both masks. The lower edge '
                "of the heart is not visible and is drawn differently.",
                "Cardiothoracic ratio is the widest extent of the heart over the widest extent of both lungs, whatever "
                "the row, on the masks. AP images magnify the heart.",
                "Lengths are those at the detector unless the spacing is calibrated.",
                "No reference masks of portable or intensive-care images were at hand. On a few NIH images that were "
                "looked at, masks under large opacities and devices were incomplete; nothing was measured there.",
                "A mirrored image whose header does not say so is taken for the right way round: the sides are then "
                "exchanged. There is no horizontal flip in training, since the side is what it learns.",
            ),
            ethics=("Age and sex are not in the tables of either site: the only subgroup is the site.",),
            missed=(
                "Lungs: the weak spot is Wingspan's left lung; in several of the worst cases the reference counts the "
                "lung behind the heart, and the network follows the majority, which does not.",
                "Heart across hospitals, from JSRT to Wingspan: JSRT has no squashed pictures, nor that way of "
                "drawing. The weights of this bundle have seen both hospitals.",
            ),
        ),
    ),
    "heart-box": BundleRow(
        labels=("heart",),
        targets=(Target("heart box by regression, intersection over union", 0.88, "both sites"),),
        note=Note(
            not_for=(
                "Children, lateral or supine images.",
                "The outline of the heart: a box has none. The mask of lungs-heart gives both.",
            ),
            limits=(
                "It answers with a box whatever the image shows; only the gate stands before it.",
                "It is trained on adults of two sites; the lower edge of the heart is not visible and is drawn "
                "differently.",
                "Its box and that of the mask of lungs-heart are compared side by side below; where they differ, the "
                "mask shows why and the box does not.",
            ),
            ethics=("Age and sex are not in the tables of either site: the only subgroup is the site.",),
        ),
    ),
    "paediatric-pneumonia": BundleRow(
        labels=("pneumonia",),
        name=Names("Paediatric pneumonia", "Pneumonie bei Kindern", "Pneumonie de l'enfant"),
        targets=(
            Target("accuracy", 0.985),
            Target("AUC", 0.998),
            Target("sensitivity", 0.985),
            Target("specificity", 0.97),
        ),
        note=Note(
            not_for=("Adults, newborns, or a patient of unknown age.", "Telling bacterial from viral pneumonia."),
            limits=(
                "All images come from one hospital and one kind of acquisition. Nothing is known of others; expect "
                "less elsewhere.",
                "In the source, the two classes were collected in different ways. Part of what separates them may be "
                "the acquisition (position, markers, exposure) rather than the lungs. No image of another hospital "
                "was at hand to tell.",
                "It knows no other disease: anything that is neither normal nor pneumonia gets one of the two answers.",
                "The images are small JPEG files, squashed to a square. Their original shape differs by class, and of "
                "most it is not known; all were read as if they had one and the same, and training varied it. What "
                "squashing did to the lungs cannot be undone, so a part of the figures may still rest on it.",
            ),
            ethics=(
                "Children cannot consent to the reuse of their images; the set was published with its hospital's "
                "approval, without names.",
                "Age in years and sex are not in the table: the subtype is the only subgroup.",
            ),
            missed=(
                "An earlier version was given the original shape of the pictures, which tells the class in this set, "
                "and reached a higher specificity with its help. Without it normal and ill chests overlap more.",
                "What cross-validation promised of the threshold is what the test split shows, so more or other "
                "images are needed rather than another threshold. No larger network could be trained: there was no "
                "GPU.",
            ),
        ),
    ),
    "adult-pneumonia": BundleRow(
        labels=("lung-opacity",),
        name=Names("Adult pneumonia", "Pneumonie bei Erwachsenen", "Pneumonie de l'adulte"),
        tells="Probability of a lung opacity that radiologists hold for a possible pneumonia",
        targets=(Target("AUC", 0.8),),
        note=Note(
            not_for=(
                "Children.",
                "The diagnosis of pneumonia: what was learnt is an opacity that radiologists marked as suspect, "
                "without history, laboratory or course.",
            ),
            limits=(
                *_NIH_LIMITS,
                "Only the images that radiologists read for the RSNA challenge are evaluated. NIH's own text-mined "
                "label Pneumonia is no truth: many of those images were read as normal.",
                "Negatives hold images with other abnormalities, which makes the task harder than against normals "
                "alone.",
            ),
        ),
    ),
    "atelectasis": BundleRow(
        labels=("atelectasis",),
        name=Names("Atelectasis", "Atelektase", "Atélectasie"),
        tells="Probability of atelectasis, as text-mined from radiology reports",
        targets=(
            Target("AUC", 0.805),
            Target("sensitivity", 0.9),
        ),
        note=Note(
            not_for=(
                "Children.",
                "Small bands of atelectasis that a report does not mention: the truth does not know them.",
            ),
            limits=(
                *_NIH_LIMITS,
                "The truth was mined from reports and is noisy, both ways: part of what counts as an error is none, "
                "and part of what counts as right is wrong. No expert's truth was at hand to tell how much.",
                "Atelectasis goes along with effusion, tubes and supine images; the network may answer to those.",
            ),
            missed=(
                "The labels are mined from reports, positives are few, and the others are no healthy people but have "
                "effusions, pneumonias and pneumothoraces, which look alike. Features made by hand do no better.",
                "At a threshold for the sensitivity that was asked for, nearly every image would be called; so the "
                "threshold is another, and the bundle runs only where a rule names it.",
            ),
        ),
    ),
    "pneumothorax": BundleRow(
        labels=("pneumothorax",),
        name=Names("Pneumothorax", "Pneumothorax", "Pneumothorax"),
        tells="Probability of a pneumothorax",
        targets=(
            Target("AUC", 0.92, "SIIM expert negatives"),
            Target("AUC", 0.96, "NIH No Finding"),
            Target("sensitivity", 0.9),
            Target("heat map's maximum on the true side of the chest", 0.85),
        ),
        note=Note(
            not_for=("Children.", "Excluding a pneumothorax after a puncture or an injury.", "Sizing: see the mask."),
            limits=(*_NIH_LIMITS, *_PNEUMOTHORAX_LIMITS),
            ethics=(
                "A missed tension pneumothorax can kill within minutes. Nothing here may delay or replace a reader.",
            ),
            missed=(
                "Both areas under the curve lie below what validation showed; their intervals include the targets. A "
                "compact network on the lung region was trained, stopped early for want of processor time; the larger "
                "ones that are known to do better want a GPU.",
            ),
        ),
    ),
    "pneumothorax-segmentation": BundleRow(
        labels=("pneumothorax",),
        name=Names("Pneumothorax segmentation", "Umriss des Pneumothorax", "Contour du pneumothorax"),
        targets=(
            Target("Dice, mean over true positives", 0.5),
            Target("challenge metric at 22% prevalence (empty against empty counts 1)", 0.84, "SIIM expert negatives"),
        ),
        note=Note(
            not_for=(
                "Children.",
                "Deciding whether there is a pneumothorax: that is the classifier's word.",
                "Its volume.",
            ),
            limits=(
                *_NIH_LIMITS,
                *_PNEUMOTHORAX_LIMITS,
                "A mask is given only where the classifier finds a pneumothorax; both can be wrong together.",
                "The challenge's own metric counts an empty answer to an empty truth as 1, so most of it is the "
                "specificity: an answer that is always empty reaches the whole share of negatives.",
                "The Dice of true positives says how good the outlines are that are given, and the triplet gives few: "
                "read it with the part of positives that get one, and with the Dice over all positives.",
            ),
            missed=(
                "The metric rewards silence, and the classifier before the masks lets some negatives pass: each of "
                "these that is outlined costs a whole point. Small lesions at the apex are missed on this grid, and "
                "no larger network or grid could be trained: there was no GPU.",
            ),
        ),
    ),
    "atrium-3d": BundleRow(
        labels=("left-atrium",),
        targets=(Target("Dice left atrium", 0.9),),
        note=_ATRIUM,
    ),
    "atrium-2d": BundleRow(
        labels=("left-atrium",),
        targets=(Target("Dice left atrium", 0.87),),
        note=_ATRIUM,
    ),
}
"""By name."""


def names(tag: str) -> dict[str, str]:
    """Return every name in the language of a tag by the English one."""
    known = [row.name for row in FINDINGS.values()]
    known += [row.area for row in FINDINGS.values() if row.area is not None]
    known += [row.name for row in BUNDLES.values() if row.name is not None]
    return {name.en: getattr(name, tag) for name in (*known, *OTHER_NAMES)}


def site_of(concept: Code) -> Code | None:
    """Return where a finding lies; None is unknown."""
    return next((row.site for row in FINDINGS.values() if row.site is not None and row.code.names(concept)), None)
