"""Evaluation of whole bundles: made-up ones on made-up cases, and the shipped ones against their own reports."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from models import networks, phantom
from models.bundle import store
from models.bundle.calibration import calibrated, sigmoid
from models.bundle.manifest import (
    Calibration,
    Coded,
    Figure,
    HysteresisThreshold,
    IntendedUse,
    Label,
    Manifest,
    OperatingPoint,
)
from models.bundle.store import Bundle
from models.chest.analyser import ChestAnalyser
from models.image import pixels
from models.image.geometry import Letterbox
from models.image.inputs import InputSpec, ModelInput, prepare
from models.image.pixels import Radiograph
from models.inference.runner import NETWORK
from models.networks.detectors import Detector
from models.values import codes
from models.values.findings import Box
from training.data import collection, splits
from training.data import volumes as data_volumes
from training.data.collection import Collection
from training.evaluation import cards, run, subgroups, targets
from training.evaluation import truths as truth_tables
from training.evaluation.report.outcome import Canvas, EvaluationOutcome
from training.evaluation.serving import Server
from training.evaluation.tasks import anatomy, boxes, detections, labels, lesions, volumes
from training.evaluation.tasks.anatomy import ELSEWHERE, NOT_TRAINED_ON
from training.evaluation.truths import EXPERT_NEGATIVES, NIH_NO_FINDING, Case, Truth
from training.measures import overlap, scores
from training.measures.scores import Scores

SIZE = 64
USE = IntendedUse(
    statement="Research use only, not for clinical use. A test.",
    age_years_from=16,
    age_years_below=None,
    age_unknown_allowed=True,
    views=("PA", "AP"),
)


def made(
    folder: Path, architecture: str, *, task: str = "classification", points: dict[str, float] | None = None
) -> Path:
    """Write a bundle with random weights that tells a pneumothorax."""
    network = settled(networks.build(architecture, 1))
    folder.mkdir()
    tensors = {NETWORK + key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(tensors, folder / store.WEIGHTS)
    (folder / store.CARD).write_text("Not evaluated yet.")
    manifest = Manifest(
        name="pneumothorax" if task == "classification" else "pneumothorax-segmentation",
        version="1.0.0",
        task=task,
        architecture=architecture,
        input=InputSpec(size=SIZE),
        labels=(Label(name="pneumothorax", code=Coded.of(codes.PNEUMOTHORAX)),),
        operating_points=tuple(
            OperatingPoint(
                label="pneumothorax",
                threshold=value,
                rule="a test",
                name=name,
                doubt=(0.0, value) if name == "chosen" else None,
            )
            for name, value in (points or {"chosen": 0.5}).items()
        ),
        calibration=Calibration(temperature=2.0, method="a test"),
        training_data=(),
        licence="none",
        non_commercial=False,
        evaluation=(),
        intended_use=USE,
        postprocessing=HysteresisThreshold(top_threshold=0.5, minimum_area=0.0, bottom_threshold=0.4, rule="a test")
        if task == "lesion-segmentation"
        else None,
        files={},
    )
    store.write_manifest(folder, manifest)
    return folder


def settled(network: torch.nn.Module) -> torch.nn.Module:
    """Draw weights and let the norms see the pictures: a network with random weights else answers alike to all."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_parameters()
            module.momentum = None
        elif hasattr(module, "reset_parameters"):
            module.reset_parameters()
    if isinstance(network, Detector):
        return network.eval()
    batch = torch.stack([torch.from_numpy(prepare(picture(n), InputSpec(size=SIZE)).image) for n in range(8)])[:, None]
    with torch.no_grad():
        network.train()(networks.three_channels(batch, scale=2.0, offset=-1.0))
    return network.eval()


def picture(number: int) -> Radiograph:
    """Return noise with a bright disc whose place depends on the number."""
    rng = np.random.default_rng(number)
    grey = rng.integers(0, 120, (96, 80)).astype(np.uint8)
    grey[disc(number)] = 250
    return pixels.from_array(grey)


def disc(number: int) -> np.ndarray:
    """Return the place of the disc."""
    rows, columns = np.mgrid[:96, :80]
    return (rows - 30 - number % 30) ** 2 + (columns - (20 if number % 2 else 60)) ** 2 < 120


def cases(count: int = 45) -> Truth:
    """Return cases: a third positive, the negatives of two kinds, two images a patient, one child."""

    def place(number: int) -> np.ndarray:
        return disc(number) if number % 3 == 0 else np.zeros((96, 80), bool)

    found = tuple(
        Case(
            id=f"i{number}",
            patient=f"p{number // 2}",
            truth={"pneumothorax": float(number % 3 == 0)},
            read=lambda number=number: picture(number),
            groups={"sex": "FM"[number % 2], "rare": "yes" if number < 8 else "no"},
            age_years=9.0 if number == 1 else 50.0,
            view="PA",
            place=lambda number=number: place(number),
            against=() if number % 3 == 0 else ((EXPERT_NEGATIVES,) if number % 3 == 1 else (NIH_NO_FINDING,)),
        )
        for number in range(count)
    )
    return Truth("made-up", "discs", found, (EXPERT_NEGATIVES, NIH_NO_FINDING))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, EvaluationOutcome, Path]:
    """Evaluate a classifier with two operating points."""
    folder = tmp_path_factory.mktemp("evaluated")
    truth = cases()
    source = store.load(made(folder / "raw", "mobilenet_v2"))
    probabilities = [
        float(
            calibrated(Server(source, with_gate=False).serve(case.read()).answer.logits, source.manifest.calibration)[0]
        )
        for case in truth.cases
    ]
    # Random weights answer nearly the same to everything: a threshold in the midst of it gives all four outcomes.
    threshold = float(np.median(probabilities))
    bundle = store.load(made(folder / "bundle", "mobilenet_v2", points={"chosen": threshold, "none": 1.0}))
    target = folder / "out"
    target.mkdir()
    return bundle, labels.evaluate(bundle, truth, "test", Canvas(target)), target


def test_figures_are_those_of_the_listed_probabilities(evaluated: tuple[Bundle, EvaluationOutcome, Path]) -> None:
    bundle, outcome, _ = evaluated
    rows = outcome.report["by_image"]
    assert outcome.report["outside_intended_use"] == 1
    assert len(rows) == 44
    named = {(one.name, one.measured_on): one for one in outcome.figures}
    for comparison in (EXPERT_NEGATIVES, NIH_NO_FINDING):
        taken = [row for row in rows if row["truth"]["pneumothorax"] == 1 or comparison in row["negative_of"]]
        found = Scores(
            np.array([row["probability"]["pneumothorax"] for row in taken]),
            np.array([row["truth"]["pneumothorax"] == 1 for row in taken]),
            [row["id"] for row in taken],
        )
        on = f"made-up, test split, against {comparison}"
        assert named["AUC", on].value == pytest.approx(scores.plain(scores.auc, found), abs=0.02)
        assert named["Brier score", on].value == pytest.approx(scores.plain(scores.brier, found), abs=1e-3)
        threshold = bundle.manifest.operating_point("pneumothorax").threshold
        at = outcome.report[f"against {comparison}"]["operating_points"][0]
        assert at["threshold"] == threshold
        assert np.sum(at["confusion"]["counts"]) == len(taken)
        assert at["sensitivity"]["low"] <= at["sensitivity"]["value"] <= at["sensitivity"]["high"]
    assert ("sensitivity", f"made-up, test split, against {EXPERT_NEGATIVES}") in named
    assert ("sensitivity", f"made-up, test split, against {NIH_NO_FINDING}") not in named


def test_every_operating_point_is_reported(evaluated: tuple[Bundle, EvaluationOutcome, Path]) -> None:
    points = evaluated[1].report[f"against {EXPERT_NEGATIVES}"]["operating_points"]
    assert [one["name"] for one in points] == ["chosen", "none"]
    (tn, fp), (fn, tp) = points[1]["confusion"]["counts"]
    assert (fp, tp) == (0, 0)
    assert points[1]["specificity"]["value"] == 1
    assert points[1]["positive_predictive_value"]["1%"]["value"] is None
    assert points[1]["negative_predictive_value"]["1%"]["value"] == 0.99
    assert tn > 0
    assert fn > 0


def test_the_part_within_the_range_of_doubt_is_reported(evaluated: tuple[Bundle, EvaluationOutcome, Path]) -> None:
    _, outcome, _ = evaluated
    chosen, other = outcome.report[f"against {EXPERT_NEGATIVES}"]["operating_points"]
    # The range of this bundle ends at its threshold: within it is what is not called.
    (tn, _), (fn, _) = chosen["confusion"]["counts"]
    images = np.sum(chosen["confusion"]["counts"])
    assert chosen["indeterminate"]["value"] == pytest.approx((tn + fn) / images, abs=1e-5)
    assert (other["doubt"], other["indeterminate"]) == (None, None)
    table = next(one for one in outcome.tables if one.heading.startswith("Operating points"))
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["range of doubt"] == (f"0 to {chosen['threshold']:.4g}", "-")
    assert rows["part within the range of doubt"] == (f"{(tn + fn) / images:.3f}", "-")


def test_small_groups_say_so_and_large_ones_have_figures(evaluated: tuple[Bundle, EvaluationOutcome, Path]) -> None:
    rows = evaluated[1].report[f"against {EXPERT_NEGATIVES}"]["subgroups"]
    rare = [one for one in rows if (one["column"], one["value"]) == ("rare", "yes")]
    both = {"AUC", "accuracy", "average precision", "Brier score", "expected calibration error"}
    assert {one["figure"] for one in rare} == both | {"sensitivity", "specificity"}
    assert all(one["result"] is None and "fewer than 10" in one["remark"] for one in rare)
    common = [one for one in rows if (one["column"], one["value"]) == ("rare", "no")]
    assert all(one["result"] is not None for one in common)


def test_heat_maps_of_true_positives_are_checked_against_the_place(
    evaluated: tuple[Bundle, EvaluationOutcome, Path],
) -> None:
    _, outcome, folder = evaluated
    point = outcome.report[f"against {EXPERT_NEGATIVES}"]["operating_points"][0]
    tp = point["confusion"]["counts"][1][1]
    assert tp > 0
    pointing = {one.name: one for one in outcome.figures if "heat map" in one.name}
    assert set(pointing) == {labels.POINTED, labels.SAME_SIDE}
    assert all(one.count == tp for one in pointing.values())
    assert pointing[labels.SAME_SIDE].value >= pointing[labels.POINTED].value
    assert (folder / "heat-maps.png").exists()


def test_plots_are_small_and_without_metadata(evaluated: tuple[Bundle, EvaluationOutcome, Path]) -> None:
    _, outcome, folder = evaluated
    assert {one.file for one in outcome.plots} == {path.name for path in folder.iterdir()}
    assert {"roc.png", "precision-recall.png", "confusion.png", "scores.png", "reliability.png", "thresholds.png"} <= {
        one.file for one in outcome.plots
    }
    for path in folder.iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert "Software" not in image.info
            assert "Creation Time" not in image.info
        assert path.stat().st_size < 120_000


def test_the_gate_is_asked_and_its_refusals_are_counted(evaluated: tuple[Bundle, EvaluationOutcome, Path]) -> None:
    # Noise with a disc is no chest.
    assert evaluated[1].report["gate"] == {"accepted": 0, "of": 44}


def test_a_completed_bundle_verifies_and_comes_out_the_same_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path / "bundle", "mobilenet_v2")
    monkeypatch.setitem(truth_tables.TRUTHS, "pneumothorax", lambda *_: replace(cases(18), data_set="nih"))  # type: ignore[index]
    monkeypatch.setattr(run, "_collection", lambda *_: Collection("nih", (), {}, {}))
    raw = store.load(folder).digest
    first = run.complete(folder, tmp_path)
    assert first.digest != raw
    assert run.complete(folder, tmp_path).digest == first.digest
    report = json.loads((folder / "evaluation" / "report.json").read_text())
    assert [Figure.model_validate(one) for one in report["figures"]] == list(first.manifest.evaluation)
    assert report["targets"]
    assert {one["verdict"] for one in report["targets"]} <= {"reached", "not reached", "not measured"}
    page = (folder / "evaluation" / "index.html").read_text()
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page.replace("http-equiv", "")
    assert not [name for name in ("roc.png", "heat-maps.png") if f'src="{name}' in page]
    total = sum(path.stat().st_size for path in (folder / "evaluation").iterdir())
    assert total < 1_500_000


def test_evaluating_aside_leaves_the_bundle_and_may_read_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path / "bundle", "mobilenet_v2")
    asked: list[str] = []

    def truth(images: Collection, split: str) -> Truth:
        asked.append(split)
        return cases(18)

    monkeypatch.setitem(truth_tables.TRUTHS, "pneumothorax", truth)  # type: ignore[index]
    monkeypatch.setattr(run, "_collection", lambda *_: Collection("nih", (), {}, {}))
    digest = store.load(folder).digest
    outcome = run.evaluate_into(folder, tmp_path, tmp_path / "out", split="val", pictures=True)
    assert asked == ["val"]
    assert store.load(folder).digest == digest
    assert (tmp_path / "out" / "index.html").exists()
    assert all("val split" in one.measured_on for one in outcome.figures)


def test_the_server_answers_as_the_analyser_does() -> None:
    found = {one.manifest.name: one for one in store.find(store.shipped())}
    drawn = phantom.generate(3, rows=640, columns=512)
    chest = pixels.from_array(np.clip(drawn.pixels / drawn.pixels.max() * 255, 0, 255).astype(np.uint8))
    classifier = found["paediatric-pneumonia"]
    analyser = ChestAnalyser.load([found["lungs-heart"], classifier])
    said = analyser.analyse(chest, sop_instance_uid="1", age_years=3, view="AP")
    served = Server(classifier).serve(chest)
    assert served.accepted is said.gate.passed is True
    probability = calibrated(served.answer.logits, classifier.manifest.calibration)
    assert said.findings[0].probability == pytest.approx(float(probability[0]), abs=1e-7)


def test_masks_of_a_lesion_are_measured(tmp_path: Path) -> None:
    bundle = store.load(made(tmp_path / "bundle", "unet-mobilenet_v2", task="lesion-segmentation"))
    (tmp_path / "out").mkdir()
    outcome = lesions.evaluate(bundle, cases(18), "test", Canvas(tmp_path / "out"))
    rows = outcome.report["by_image"]
    assert outcome.report["positives"] == 6
    named = {(one.name, one.measured_on): one for one in outcome.figures}
    hits = [row["dice"] for row in rows if row["positive"] and row["found"]]
    if hits:
        assert named[lesions.DICE_TRUE_POSITIVES, "made-up, test split"].value == pytest.approx(np.mean(hits), abs=1e-4)
    taken = [row for row in rows if row["positive"] or EXPERT_NEGATIVES in row["negative_of"]]
    expected = overlap.challenge_score(
        np.array([math.nan if row["dice"] is None else row["dice"] for row in taken]),
        np.array([row["positive"] for row in taken]),
        np.array([row["found"] for row in taken]),
    )
    on = f"made-up, test split, against {EXPERT_NEGATIVES}"
    assert named[lesions.CHALLENGE, on].value == pytest.approx(expected, abs=1e-4)
    empty = sum(not row["positive"] and not row["found"] for row in rows)
    assert outcome.report["undefined"] == {"empty against empty, in no mean of Dice": empty}


def test_a_negative_answer_of_the_classifier_withholds_the_mask(tmp_path: Path) -> None:
    root = tmp_path / "companions"
    root.mkdir()
    made(root / "classifier", "mobilenet_v2", points={"chosen": 1.0})
    shutil.copytree(next(store.shipped().glob("lungs-heart-*")), root / "lungs-heart")
    folder = made(tmp_path / "bundle", "unet-mobilenet_v2", task="lesion-segmentation")
    manifest = store.load(folder).manifest.model_copy(update={"gated_by": "pneumothorax"})
    store.write_manifest(folder, manifest)
    (tmp_path / "out").mkdir()
    outcome = lesions.evaluate(store.load(folder), cases(9), "test", Canvas(tmp_path / "out"), root)
    assert not any(row["found"] for row in outcome.report["by_image"])
    assert any(row["found_without_gate"] for row in outcome.report["by_image"])


def test_lungs_and_heart_are_measured_by_site(tmp_path: Path) -> None:
    drawn = phantom.generate(3, rows=320, columns=256)
    grey = np.clip(drawn.pixels / drawn.pixels.max() * 255, 0, 255).astype(np.uint8)
    chest = pixels.from_array(grey)
    bundle = next(one for one in store.find(store.shipped()) if one.manifest.task == "segmentation")
    analyser = ChestAnalyser.load([bundle])
    shape = analyser.anatomy_of(analyser.segment(chest), chest)
    own = np.stack([shape.right_lung, shape.left_lung, shape.heart])
    box = anatomy.anatomy.bounding_box(shape.heart)
    assert box is not None
    size = anatomy.anatomy.measure(shape)
    reference = {
        "ratio": size.cardiothoracic_ratio,
        "ratio by readers": math.nan,
        **{f"heart_{edge}": float(getattr(box, edge)) for edge in ("x0", "y0", "x1", "y1")},
    }
    shifted = np.roll(own, 4, axis=2)
    given = tuple(
        Case(f"{site}{n}", f"{site}{n}", {}, lambda: chest, {}, site=site, place=lambda m=mask: m, reference=reference)
        for site, mask in (("wingspan", own), ("elsewhere", shifted))
        for n in range(2)
    )
    (tmp_path / "out").mkdir()
    outcome = anatomy.evaluate(bundle, Truth("ctr", "own", given), "test", Canvas(tmp_path / "out"), tmp_path)
    named = {(one.name, one.measured_on): one.value for one in outcome.figures}
    assert named["Dice heart", "wingspan, test split, source grid"] == 1
    assert named[anatomy.RATIO_ERROR, "wingspan, test split, source grid"] == 0
    elsewhere = f"elsewhere, {NOT_TRAINED_ON}, test split, source grid"
    assert named["Dice heart", elsewhere] < 1
    assert 1 <= named["Hausdorff distance 95 % heart, pixels", elsewhere] <= 4
    assert named["heart box, intersection over union", elsewhere] == 1


def test_what_was_measured_at_an_unseen_site_is_taken_over(tmp_path: Path) -> None:
    seen = Figure(name="Dice heart", value=0.95, count=44, measured_on="jsrt, test split, source grid")
    other = seen.model_copy(update={"value": 0.91, "measured_on": f"wingspan, {NOT_TRAINED_ON}, test split"})
    both = seen.model_copy(update={"measured_on": f"both sites, {NOT_TRAINED_ON}, test split"})
    whole = seen.model_copy(update={"value": 0.89, "measured_on": "jsrt, trained on wingspan, model grid"})
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"figures": [one.model_dump() for one in (seen, other, both, whole)]}))
    assert run.also_measured([path]) == [other, whole]
    for figures, expected in (((seen, other), "reached"), ((seen, other, whole), "not reached")):
        verdicts = {row[0].on: row[2] for row in targets.judged("lungs-heart", figures)}
        assert verdicts[ELSEWHERE] == expected


def test_targets_are_compared_and_a_missing_figure_is_not_reached() -> None:
    on = "kermany, test split"
    figures = [
        Figure(name="AUC", value=0.9985, count=9, measured_on=on),
        Figure(name="sensitivity", value=0.9811, count=9, measured_on=on),
    ]
    verdicts = {target.figure: verdict for target, _, verdict in targets.judged("paediatric-pneumonia", figures)}
    assert verdicts == {
        "AUC": "reached",
        "sensitivity": "not reached",
        "accuracy": "not measured",
        "specificity": "not measured",
    }
    error = [Figure(name=anatomy.RATIO_ERROR, value=0.0114, count=88, measured_on="both sites, test split")]
    assert [v for t, _, v in targets.judged("lungs-heart", error) if t.at_most] == ["reached"]
    assert targets.table("unknown", figures) is None


def test_a_box_is_measured_beside_that_of_the_mask(tmp_path: Path) -> None:
    bundle = store.load(made(tmp_path / "bundle", "box-mobilenet_v2", task="box"))
    drawn = phantom.generate(3, rows=320, columns=256)
    chest = pixels.from_array(np.clip(drawn.pixels / drawn.pixels.max() * 255, 0, 255).astype(np.uint8))
    server = Server(bundle, with_gate=False)
    found = boxes.box_of(server.serve(chest).answer.logits.reshape(-1, 4)[0], server.serve(chest).model_input)
    edges = {f"heart_{edge}": float(getattr(found, edge)) for edge in ("x0", "y0", "x1", "y1")}
    case = Case("w0", "w0", {}, lambda: chest, {}, site="wingspan", reference={"ratio": 0.5, **edges})
    (tmp_path / "out").mkdir()
    outcome = boxes.evaluate(bundle, Truth("ctr", "own", (case,)), "test", Canvas(tmp_path / "out"))
    named = {(one.name, one.measured_on): one.value for one in outcome.figures}
    on = "both sites, test split, source grid"
    assert named[boxes.OVERLAP.format(boxes.REGRESSION), on] == 1
    assert named[boxes.OVERLAP.format(boxes.MASK), on] < 1
    assert named["heart box, overlap by regression less overlap by mask", on] > 0


def test_a_detector_is_scored_as_the_challenge_does(tmp_path: Path) -> None:
    bundle = store.load(made(tmp_path / "bundle", "retinanet-mobilenet_v2", task="detection", points={"chosen": 0.0}))
    server = Server(bundle, with_gate=False)
    served = server.serve(picture(0))
    found = detections.detections(served.answer.logits, served.model_input, 0.0)
    own = tuple(one.box for one in found)
    assert own
    given = tuple(
        Case(f"i{n}", f"p{n}", {}, lambda: picture(0), {"sex": "F"}, age_years=50.0, view="PA", boxes=truth)
        for n, truth in enumerate((own, (), None))
    )
    (tmp_path / "out").mkdir()
    outcome = detections.evaluate(bundle, Truth("made-up", "own", given), "test", Canvas(tmp_path / "out"))
    rows = outcome.report["by_image"]
    assert [row["id"] for row in rows] == ["i0", "i1"]
    # Its own boxes are the truth of the first image; of the second, nothing is true.
    assert rows[0]["precision"] == 1.0
    assert rows[1]["precision"] == 0.0
    assert outcome.figures[0].value == 0.5


def test_boxes_come_back_to_the_image() -> None:
    letterbox = Letterbox.of((200, 100), aspect=1.0, size=SIZE)
    given = ModelInput(np.zeros((SIZE, SIZE), np.float32), letterbox, Box(10, 20, 110, 220), (300, 200))
    assert boxes.box_of(np.array([0.25, 0.0, 0.75, 1.0]), given) == Box(10, 20, 110, 220)
    assert boxes.box_of(np.array([0.5, 0.5, 0.5, 0.5]), given) == Box(60, 120, 60, 120)
    rows = np.array([[16, 0, 48, 64, 0.9, 1], [16, 0, 48, 32, 0.2, 1], [0, 0, 0, 0, 0, 0]], float)
    found = detections.detections(rows, given, 0.3)
    assert [(one.box, one.score) for one in found] == [(Box(10, 20, 110, 220), 0.9)]


def test_volumes_are_compared_in_millimetres() -> None:
    truth = np.zeros((10, 20, 20), bool)
    truth[2:8, 5:15, 5:15] = True
    found = np.roll(truth, 2, axis=0)
    case = data_volumes.OutlinedVolume("a00", "a00", np.zeros(truth.shape, np.uint8), truth, (2.5, 1.25, 1.25))
    result = volumes.measured(case, found)
    assert result.dice == pytest.approx(4 / 6)
    assert result.distance == 5.0
    assert result.true_ml == pytest.approx(600 * 2.5 * 1.25**2 / 1000)
    assert result.found_ml == result.true_ml
    assert len(result.outlines) == volumes.SLICES
    assert all(one.image is None for one in result.outlines)


def test_groups_of_values_leave_undefined_ones_out() -> None:
    values = [1.0] * 10 + [math.nan] * 5 + [0.5]
    groups = [{"site": "a"}] * 15 + [{"site": "b"}]
    rows = subgroups.of_values("Dice", values, [str(i) for i in range(16)], groups, "here")
    assert [(one.value, one.positives, one.remark) for one in rows] == [("a", 10, ""), ("b", 1, "fewer than 10 images")]
    assert rows[0].figure is not None
    assert rows[0].figure.value == 1


def test_truths_of_nih_on_validation(data_folder: Path) -> None:
    rows = {row["id"]: row for row in splits.read_table(data_folder, "nih")}
    ids = splits.read("nih", "val")
    images = collection.read(data_folder, collection.SHIPPED["nih"])
    truth = truth_tables.pneumothorax(images, "val")
    assert {case.id for case in truth.cases} == {
        one for one in ids if rows[one]["siim_positive"] or rows[one]["findings"] == "No Finding"
    }
    for case in truth.cases:
        row = rows[case.id]
        assert case.truth["pneumothorax"] == (row["siim_positive"] == "1")
        assert case.against == {"1": (), "0": (EXPERT_NEGATIVES,), "": (NIH_NO_FINDING,)}[row["siim_positive"]]
        assert case.place is not None
    positives = [case for case in truth.cases if case.truth["pneumothorax"] == 1]
    assert all(case.place().any() and case.place().shape == case.read().shape for case in positives[:5])
    adult = truth_tables.adult_pneumonia(images, "val")
    assert {case.id for case in adult.cases} == {one for one in ids if rows[one]["rsna_class"]}
    assert {bool(case.truth["lung-opacity"]) == bool(case.boxes) for case in adult.cases} == {True}
    mined = truth_tables.atelectasis(images, "val")
    assert sum(case.truth["atelectasis"] for case in mined.cases) == sum(
        "Atelectasis" in rows[i]["findings"] for i in ids
    )


def test_the_figures_of_a_shipped_report_follow_from_its_probabilities() -> None:
    bundle = next(one for one in store.find(store.shipped()) if one.manifest.name == "paediatric-pneumonia")
    report = json.loads((bundle.path / "evaluation" / "report.json").read_text())
    patients = splits.patients("kermany")
    found = Scores(
        np.array([row["probability"]["pneumonia"] for row in report["by_image"]]),
        np.array([row["truth"]["pneumonia"] == 1 for row in report["by_image"]]),
        [patients[row["id"]] for row in report["by_image"]],
    )
    view = labels.Comparison("pneumonia", "", "kermany, test split", (), found, found)
    remade = {
        one.name: one
        for one in labels._figures(
            view, bundle.manifest.operating_point("pneumonia").threshold, with_positives=True, title=""
        )
    }
    for shipped in report["figures"]:
        again = remade[shipped["name"]]
        assert again.count == shipped["count"]
        # The listed probabilities are rounded to five digits.
        for end in ("value", "low", "high"):
            assert getattr(again, end) == pytest.approx(shipped[end], abs=2e-4)


@pytest.mark.slow
def test_the_shipped_bundles_give_their_own_figures_again(data_folder: Path, tmp_path: Path, whole: bool) -> None:
    if not whole:
        pytest.skip("reads the whole test split through the serving path; --whole runs it")
    for found in store.find(store.shipped()):
        folder = tmp_path / found.manifest.name
        shutil.copytree(found.path, folder)
        again = {(one.name, one.measured_on): one for one in run.complete(folder, data_folder).manifest.evaluation}
        for shipped in found.manifest.evaluation:
            one = again[shipped.name, shipped.measured_on]
            assert (one.value, one.count) == (shipped.value, shipped.count)


def test_sigmoid_and_table_agree_with_the_manifest() -> None:
    calibration = Calibration(temperature=2.0, method="a test", isotonic=((0.0, 0.0), (0.5, 0.25), (1.0, 1.0)))
    assert calibrated(np.zeros(1), calibration)[0] == 0.25
    assert calibrated(np.ones(1), calibration.model_copy(update={"isotonic": None}))[0] == sigmoid(np.array(0.5))


def test_a_card_needs_no_other_file(evaluated: tuple[Bundle, EvaluationOutcome, Path]) -> None:
    bundle, outcome, _ = evaluated
    manifest = bundle.manifest.model_copy(update={"evaluation": tuple(outcome.figures)})
    text = cards.card(manifest, replace(cases(), data_set="nih"), outcome)
    for heading in (
        "Intended use",
        "Not for",
        "Thresholds and calibration",
        "Targets",
        "Limits",
        "Ethical considerations",
    ):
        assert f"## {heading}\n" in text
    assert all(f"{one.value:.4f}" in text for one in outcome.figures)
