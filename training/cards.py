"""The card of a bundle, written from its manifest and its report: no number is typed by hand."""

from __future__ import annotations

from typing import Any

from models.bundle import Figure, Manifest
from models.intended_use import age_range

NOTES = {
    "lungs-heart": """## What it does not do

- It is trained on adults of two sites; Wingspan images were squashed to a square by their publisher. Areas and box
  edges near the diaphragm follow the JSRT convention: the lung behind the heart and the diaphragm is not lung here.
- Some reference masks (Wingspan above all) count the lung behind the heart, most do not; on these the left lung of the
  network, which follows the majority, scores badly (`evaluation/worst-cases.png`). "Lungs outside the heart" leaves the
  pixels of the reference heart out of both masks. The lower edge of the heart is not visible and is drawn differently.
- Cardiothoracic ratio is the widest extent of the heart over the widest extent of both lungs, whatever the row, on
  the masks. On paper, readers use the inner ribs at the level of the diaphragm. AP images magnify the heart.
- Lengths are those at the detector unless the spacing is calibrated.
- Children's lungs were a partial label (training/partial.py), so that the gate works on them. Masks of children are not
  evaluated and are not given out.
- No reference masks of portable or intensive-care images were at hand. On a few NIH images that were looked at, masks
  under large opacities and devices were incomplete; nothing was measured there.
- A mirrored image whose header does not say so is taken for the right way round: the sides are then exchanged.
- There is no horizontal flip in training, since the side of the heart and of each lung is what it learns.

## The gate

Before any finding, the gate asks for an upright frontal chest radiograph with two plausible lungs. Its limits were
chosen on validation images: {gate_rule}.
""",
    "paediatric-pneumonia": """## What it does not do

- All images come from one hospital and one kind of acquisition. Nothing is known of others; expect less elsewhere.
- In the source, the two classes were collected in different ways. Part of what separates them may be the acquisition
  (position, markers, exposure) rather than the lungs. No image of another hospital was at hand to tell.
- It does not tell bacterial from viral pneumonia, and no other disease. It is not for adults, newborns, or an
  unknown age.
- The images are 224 x 224 JPEG files; the true aspect was restored from the original size before the letterbox.
""",
}


def card(manifest: Manifest, report: dict[str, Any]) -> str:
    """Write the card in Markdown."""
    use = manifest.intended_use
    gate_rule = "" if manifest.gate is None else manifest.gate.rule
    parts = [
        f"# {manifest.name} {manifest.version}\n",
        "**Research use only, not for clinical use.**\n",
        use.statement.removeprefix("Research use only, not for clinical use. ") + "\n",
        "## Intended use\n",
        f"- {age_range(use)}; an unknown age is {'accepted and noted' if use.age_unknown_allowed else 'refused'}\n"
        f"- views: {', '.join(use.views)}; an unknown view is judged by the gate\n",
        "## Network\n",
        f"{manifest.architecture}, input {manifest.input.size} x {manifest.input.size} letterboxed, grey values "
        f"stretched between the percentiles {manifest.input.contrast_percentiles}; fp16 weights, computed in fp32.\n",
        "Thresholds:\n",
        "\n".join(f"- {p.label}: {p.threshold:.4g} ({p.rule})" for p in manifest.operating_points) + "\n",
        f"Calibration: temperature {manifest.calibration.temperature:.4g} ({manifest.calibration.method}).\n",
        "## Measured on the test split\n",
        "Patients of the test split were in no other split. Intervals: 95 %, bootstrap over patients. fp32 on a CPU, "
        "from the image file through the code that serves.\n",
        _table(manifest.evaluation),
        *_report(report),
        NOTES.get(manifest.name, "").format(gate_rule=gate_rule),
        *_gate(report),
        "## Training data and terms\n",
        "| set | images | patients | terms | source |\n|---|---|---|---|---|\n"
        + "\n".join(
            f"| {d.name} | {d.images or ''} | {d.patients or ''} | {d.licence} | {d.citation} |"
            for d in manifest.training_data
        )
        + "\n",
        f"Terms of the weights: {manifest.licence}. "
        + ("Not for commercial use.\n" if manifest.non_commercial else "Commercial use is not forbidden by them.\n"),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def _table(figures: tuple[Figure, ...]) -> str:
    """Give all figures as a table."""
    lines = ["| figure | measured on | value | 95 % interval | n |", "|---|---|---|---|---|"]
    for one in figures:
        interval = "" if one.low is None or one.high is None else f"{one.low:.4f} to {one.high:.4f}"
        lines.append(f"| {one.name} | {one.measured_on} | {one.value:.4f} | {interval} | {one.count} |")
    return "\n".join(lines) + "\n"


def _report(report: dict[str, Any]) -> list[str]:
    """Give what is not a figure: the confusion matrix and the subtypes."""
    if "confusion" not in report:
        return []
    (tn, fp), (fn, tp) = report["confusion"]["counts"]
    subtypes = ", ".join(
        f"{name} {counts['positive']} of {counts['of']}"
        for name, counts in report["called_positive_by_subtype"].items()
    )
    return [
        f"Confusion at the threshold, {report['images']} images of {report['patients']} patients: "
        f"true negative {tn}, false positive {fp}, false negative {fn}, true positive {tp}.\n",
        f"Called positive by subtype: {subtypes}.\n",
        f"Expected calibration error: {report['calibration_error']['before_temperature']:.4f} without the temperature, "
        f"{report['calibration_error']['after_temperature']:.4f} with it.\n",
    ]


def _gate(report: dict[str, Any]) -> list[str]:
    """Give the gate's rates."""
    if "gate" not in report:
        return []
    lines = ["| images | accepted | of | part |", "|---|---|---|---|"]
    for one in (*report["gate"]["test"], *report["gate"]["validation"]):
        lines.append(f"| {one['images']} | {one['accepted']} | {one['of']} | {one['accepted'] / one['of']:.2%} |")
    made = (
        "Pictures to be refused were made from validation images (quarter turns, upside down, enlarged cut-outs, "
        "exchanged quarters, black and white exchanged), drawn (noise, ramps, ellipses), or are MR slices of held-back "
        "volumes."
    )
    return ["\n".join(lines) + "\n", made + "\n"]
