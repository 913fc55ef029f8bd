"""Which objects are analysed, by header alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dicom.contexts import STORAGE_CLASSES, Use
from node.dicom.header import CodedEntry, Equipment, Header, read_header
from node.identity import OWN_MANUFACTURER
from node.intake.eligibility import Eligibility, judge
from node.reasons import Reason
from workers.pipelines.chest.pipeline import PIPELINE as CHEST_PIPELINE

CR, DX, SC = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.7"
SEG, SR = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"

CHEST = Header(
    sop_class_uid=DX,
    sop_instance_uid="1.2.3",
    study_instance_uid="1.2.4",
    series_instance_uid="1.2.5",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    modality="DX",
    image_type=("ORIGINAL", "PRIMARY"),
    presentation_intent="FOR PRESENTATION",
    body_part="CHEST",
    anatomic_region=None,
    view_position="PA",
    view_code=None,
    patient_orientation=("L", "F"),
    rows=2500,
    columns=2000,
    frames=1,
    samples_per_pixel=1,
    bits_allocated=16,
    bits_stored=12,
    photometric_interpretation="MONOCHROME2",
    age_years=60.0,
    sex="F",
    is_human=None,
    protocol=(),
    study_description=None,
    series_description=None,
    manufacturer="Vendor",
    contributing_equipment=(),
)

OWN = Equipment(CodedEntry("109102", "DCM"), OWN_MANUFACTURER, "2.25.1")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"body_part": None},
        {"body_part": "UNKNOWN"},
        {"body_part": "Thorax"},
        {"body_part": "PORT CHEST"},
        {"body_part": "LUNG"},
        {"body_part": None, "anatomic_region": CodedEntry("51185008", "SCT")},
        {"body_part": None, "anatomic_region": CodedEntry("T-D3000", "SRT")},
        {"body_part": None, "anatomic_region": CodedEntry("X", "99VENDOR", "Chest AP")},
        {"view_position": "AP"},
        {"view_position": None, "view_code": CodedEntry("272479007", "SCT")},
        {"view_position": None, "patient_orientation": ()},
        {"view_position": "PA", "patient_orientation": ("A", "F")},
        {"sop_class_uid": CR, "modality": "CR", "presentation_intent": None},
        {"sop_class_uid": CR, "modality": None},
        {"sop_class_uid": SC, "modality": "CR"},
        {"sop_class_uid": SC, "modality": "OT"},
        {"sop_class_uid": SC, "modality": "OT", "body_part": None},
        {"sop_class_uid": SC, "modality": None, "body_part": None},
        {"modality": "DR"},
        {"modality": "RG"},
        {"modality": "OT"},
        {"modality": "ZZSECRET"},
        {"photometric_interpretation": None},
        {"photometric_interpretation": "MONOCHROME"},
        {"body_part": "HEART"},
        {"body_part": "HAND", "anatomic_region": CodedEntry("816094009", "SCT", "Chest")},
        {"body_part": None, "anatomic_region": CodedEntry("ZZSECRET", "99ZZ", "Thorax")},
        {"body_part": None, "anatomic_region": CodedEntry("ZZSECRET", "SCT")},
        {"photometric_interpretation": "MONOCHROME1"},
        {"samples_per_pixel": 3, "photometric_interpretation": "RGB"},
        {"is_human": True},
        {"manufacturer": OWN_MANUFACTURER},
        {"series_instance_uid": "2.25.7"},
        {"contributing_equipment": (Equipment(CodedEntry("109102", "DCM"), "Other", None),)},
        {"rows": 256, "columns": 256},
    ],
)
def test_accepted(change: dict[str, object]) -> None:
    verdict = judge(replace(CHEST, **change), CHEST_PIPELINE)  # type: ignore[arg-type]
    assert (verdict.eligibility, verdict.reason) == (Eligibility.ACCEPT, None)


WORDS_OF_THE_WORLD = (
    *("TÓRAX", "TORAX AP", "PECHO", "POITRINE", "POUMON DE FACE", "TORAKS", "KLATKA PIERSIOWA", "BRUSTKORB", "LUNGE"),
    *("胸部", "가슴", "ОГК", "ГРУДНАЯ КЛЕТКА", "ΘΩΡΑΚΑΣ", "الصدر", "חזה", "CXR", "XXX", "UNDEFINED", "\ufffd\ufffd"),
)


@pytest.mark.parametrize("text", WORDS_OF_THE_WORLD)
@pytest.mark.parametrize("region", [None, CodedEntry("816094009", "SCT", "Chest"), CodedEntry("7", "99X", "Brust")])
def test_a_body_part_that_no_table_defines_is_not_called_another(text: str, region: CodedEntry | None) -> None:
    verdict = judge(replace(CHEST, body_part=text, anatomic_region=region), CHEST_PIPELINE)
    assert (verdict.eligibility, verdict.reason, verdict.detail) == (Eligibility.ACCEPT, None, "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"body_part": "HAND"}, Reason.NOT_THE_CHEST),
        ({"body_part": "TSPINE"}, Reason.NOT_THE_CHEST),
        ({"body_part": "THORACIC SPINE"}, Reason.NOT_THE_CHEST),
        ({"body_part": "THORACOLUMBAR"}, Reason.NOT_THE_CHEST),
        ({"body_part": "RIBS"}, Reason.NOT_THE_CHEST),
        ({"body_part": None, "anatomic_region": CodedEntry("122495006", "SCT")}, Reason.NOT_THE_CHEST),
        ({"view_position": "LL"}, Reason.LATERAL_VIEW),
        ({"view_position": "lateral"}, Reason.LATERAL_VIEW),
        ({"view_position": "RLD"}, Reason.LATERAL_VIEW),
        ({"view_position": "LAO"}, Reason.LATERAL_VIEW),
        ({"view_position": None, "view_code": CodedEntry("399173006", "SCT")}, Reason.LATERAL_VIEW),
        ({"view_position": None, "view_code": CodedEntry("R-10236", "SRT")}, Reason.LATERAL_VIEW),
        ({"view_position": None, "patient_orientation": ("A", "F")}, Reason.LATERAL_VIEW),
        ({"presentation_intent": "FOR PROCESSING"}, Reason.FOR_PROCESSING),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1.1", "presentation_intent": None}, Reason.FOR_PROCESSING),
        ({"frames": 2}, Reason.MULTI_FRAME),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7.2"}, Reason.MULTI_FRAME),
        ({"is_human": False}, Reason.NOT_HUMAN),
        ({"protocol": ("CANINE LATERAL THORAX",)}, Reason.NOT_HUMAN),
        ({"photometric_interpretation": "PALETTE COLOR"}, Reason.COLOUR_IMAGE),
        ({"samples_per_pixel": 3}, Reason.COLOUR_IMAGE),
        ({"image_type": ("DERIVED", "PRIMARY", "", "BONE")}, Reason.ENERGY_SUBTRACTION),
        ({"image_type": ("DERIVED", "PRIMARY", "SOFT_TISSUE")}, Reason.ENERGY_SUBTRACTION),
        ({"image_type": ("DERIVED", "PRIMARY", "", "SUBTRACTION")}, Reason.ENERGY_SUBTRACTION),
        ({"rows": 255}, Reason.TOO_SMALL),
        ({"modality": "CT"}, Reason.NOT_A_RADIOGRAPH),
        ({"modality": "MG"}, Reason.NOT_A_RADIOGRAPH),
        ({"sop_class_uid": SC, "modality": "US", "body_part": None}, Reason.NOT_A_RADIOGRAPH),
        ({"body_part": "CHEST", "anatomic_region": CodedEntry("T-D8700", "SRT", "Mano")}, Reason.NOT_THE_CHEST),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.2"}, Reason.NOT_A_RADIOGRAPH),
    ],
)
def test_declined(change: dict[str, object], reason: Reason) -> None:
    verdict = judge(replace(CHEST, **change), CHEST_PIPELINE)  # type: ignore[arg-type]
    assert (verdict.eligibility, verdict.reason) == (Eligibility.DECLINE, reason)
    assert verdict.detail


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"body_part": "Hand"}, "body part HAND"),
        ({"body_part": "T SPINE"}, "body part TSPINE"),
        ({"body_part": "lumbo-sacral spine"}, "body part LSSPINE"),
        ({"body_part": None, "anatomic_region": CodedEntry("122495006", "SCT")}, "anatomic region 122495006 SCT"),
        ({"modality": "CT"}, "modality CT"),
        ({"view_position": None, "patient_orientation": ("A", "F")}, "patient orientation A/F"),
        ({"view_position": None, "patient_orientation": ("A", "ZZ")}, "a view that is not frontal"),
        ({"photometric_interpretation": "PALETTE COLOR"}, "photometric interpretation PALETTE COLOR"),
        ({"photometric_interpretation": "ZZSECRET", "samples_per_pixel": 3}, "photometric interpretation that is not"),
    ],
)
def test_the_detail_repeats_defined_terms_and_no_free_text_of_the_sender(
    change: dict[str, object], detail: str
) -> None:
    said = judge(replace(CHEST, **change), CHEST_PIPELINE).detail  # type: ignore[arg-type]
    assert said.startswith(detail)
    assert "ZZ" not in said


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sop_class_uid": SEG, "manufacturer": OWN_MANUFACTURER}, Reason.OWN_RESULT),
        ({"sop_class_uid": SR, "rows": None, "contributing_equipment": (OWN,)}, Reason.OWN_RESULT),
        ({"sop_class_uid": SC, "contributing_equipment": (OWN,)}, Reason.OWN_RESULT),
        ({"sop_class_uid": SEG}, Reason.NOT_AN_IMAGE),
        ({"sop_class_uid": SR, "rows": None}, Reason.NOT_AN_IMAGE),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.88.11", "rows": None}, Reason.NOT_AN_IMAGE),
    ],
)
def test_ignored(change: dict[str, object], reason: Reason) -> None:
    verdict = judge(replace(CHEST, **change), CHEST_PIPELINE)  # type: ignore[arg-type]
    assert (verdict.eligibility, verdict.reason) == (Eligibility.IGNORE, reason)


@pytest.mark.parametrize("storage_class", STORAGE_CLASSES, ids=lambda row: row.uid)
def test_the_table_of_sop_classes_says_what_happens(storage_class: object) -> None:
    eligibility = {Use.ANALYSED: "accept", Use.ANSWERED: "decline", Use.IGNORED: "ignore"}
    verdict = judge(replace(CHEST, sop_class_uid=storage_class.uid), CHEST_PIPELINE)  # type: ignore[attr-defined]
    assert verdict.eligibility == eligibility[storage_class.use]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "eligibility", "reason"),
    [
        ("chest-cr-monochrome1-jpeg2000", Eligibility.ACCEPT, None),
        ("chest-cr-monochrome1-jpegls-near", Eligibility.ACCEPT, None),
        ("chest-siim-sc-jpegbaseline", Eligibility.ACCEPT, None),
        ("not-chest-extremity-rle", Eligibility.DECLINE, Reason.NOT_THE_CHEST),
        ("not-chest-hip-jpegls", Eligibility.DECLINE, Reason.NOT_THE_CHEST),
        # Its header does not say what it shows: pixels decide.
        ("not-chest-teeth-cr-modality-lut-jpeglossless", Eligibility.ACCEPT, None),
        ("not-human-dx-lateral-thorax", Eligibility.DECLINE, Reason.NOT_HUMAN),
    ],
)
def test_real_objects(data_folder: Path, name: str, eligibility: Eligibility, reason: Reason | None) -> None:
    verdict = judge(read_header(data_folder / "dicom" / f"{name}.dcm"), CHEST_PIPELINE)
    assert (verdict.eligibility, verdict.reason) == (eligibility, reason)


TEXT = st.none() | st.text(max_size=16) | st.sampled_from(["CHEST", "LL", "FOR PROCESSING", "Y", "M"])
NUMBER = st.none() | st.integers(-1, 1 << 31)
CODE = st.none() | st.builds(CodedEntry, st.text(max_size=16), st.text(max_size=16))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "sop_class_uid": st.sampled_from([CR, DX, SC, SEG, SR]) | st.text(max_size=64),
            "transfer_syntax_uid": st.text(max_size=64),
            "image_type": st.lists(st.text(max_size=16), max_size=4).map(tuple),
            "patient_orientation": st.lists(st.text(max_size=4), max_size=3).map(tuple),
            "anatomic_region": CODE,
            "view_code": CODE,
            **dict.fromkeys(("frames", "samples_per_pixel"), st.integers(-1, 1 << 31)),
            **dict.fromkeys(("rows", "columns", "bits_allocated", "bits_stored"), NUMBER),
            **dict.fromkeys(("modality", "presentation_intent", "body_part", "view_position", "sex"), TEXT),
            **dict.fromkeys(("photometric_interpretation", "study_description", "series_description"), TEXT),
            "age_years": st.none() | st.floats(allow_nan=True),
            "is_human": st.none() | st.booleans(),
            "manufacturer": TEXT,
        },
    )
)
def test_every_header_is_accepted_or_has_its_reason(changes: dict[str, object]) -> None:
    verdict = judge(replace(CHEST, **changes), CHEST_PIPELINE)
    assert (verdict.reason is None) is (verdict.eligibility is Eligibility.ACCEPT)
