"""A rule may assume an age for a sender that strips ages: networks are told it, and every report says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from models import phantom
from node.clock import utc_now
from node.delivery.profiles import Profile
from node.dicom.part10 import identity_digest
from node.settings import AnalysisSettings, Rule
from node.spool.store import Spool
from tests.support.data.elements import element, values, with_elements
from tests.support.results.encoded import read
from tests.support.results.jobs import Stub
from workers.pipelines import run as pipelines
from workers.pipelines.chest.pipeline import PIPELINE as CHEST
from workers.pipelines.run import Analysis, Asked
from workers.pipelines.study import Study, read_image

AGE, BIRTH_DATE = 0x00101010, 0x00100030
SAID = {
    "en": "The image gives no age of the patient; 50 years were assumed by a rule of this site.",
    "de": "Das Bild nennt kein Alter des Patienten; eine Regel dieses Standorts nimmt 50 Jahre an.",
    "fr": "L'image ne donne pas l'âge du patient ; une règle de ce site suppose 50 ans.",
}


class Told(Stub):
    """Notes the ages that networks are told."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ages = []

    def loaded(self, pipeline, chosen):
        outliner = super().loaded(pipeline, chosen)
        analyse = outliner.analyse

        def noted(radiograph, **known):
            self.ages.append(known["age_years"])
            return analyse(radiograph, **known)

        outliner.analyse = noted
        return outliner


def image(folder: Path, age: bytes) -> Path:
    path = folder / "image.dcm"
    phantom.write(path, phantom.generate(4, rows=288, columns=260), study_instance_uid="1.2.3")
    return with_elements(path, element(AGE, b"AS", age), element(BIRTH_DATE, b"DA", b""))


def run(path: Path, networks: Told, assumed: float | None, language: str = "en", kept=None) -> Analysis:
    study = Study("1.2.3", (read_image(path, digest=identity_digest(path)[0]),))
    profile = Profile(name="p", language=language, text_report=True)
    asked = Asked(created_at=utc_now(), profiles=[profile], assumed_age_years=assumed)
    return pipelines.run(CHEST, networks, study, asked, kept=kept)


@pytest.mark.parametrize("language", SAID)
def test_the_report_says_that_the_age_was_assumed(tmp_path: Path, language: str) -> None:
    networks = Told(AnalysisSettings(), "cpu")
    analysis = run(image(tmp_path, b"000Y"), networks, 50, language)
    assert networks.ages == [50]
    (*_, (_, report)) = analysis.results
    assert SAID[language] in " ".join(_texts(read(report)))
    assert any(SAID["en"] in line for line in analysis.summary["text"])
    for _, result in analysis.results:
        assert values(result.content)[AGE] == b"000Y", "what was assumed is no attribute of the patient"


@pytest.mark.parametrize(("age", "assumed", "told"), [(b"062Y", 50, 62), (b"", None, None)])
def test_an_age_that_is_given_counts_and_without_a_rule_it_stays_unknown(
    tmp_path: Path, age: bytes, assumed: float | None, told: float | None
) -> None:
    networks = Told(AnalysisSettings(), "cpu")
    analysis = run(image(tmp_path, age), networks, assumed)
    assert networks.ages == [told]
    assert analysis.request.assumed_age_years is None
    assert not any("assumed" in line for line in analysis.summary["text"])


def test_findings_of_another_assumption_are_not_taken(tmp_path: Path) -> None:
    path, networks = image(tmp_path, b""), Told(AnalysisSettings(), "cpu")
    spool = Spool.create(tmp_path / "spool")
    for assumed in (None, 50, 50, 60, None):
        run(path, networks, assumed, kept=spool.findings)
    assert networks.ages == [None, 50, 60]


def test_it_must_be_an_age_that_people_have() -> None:
    for age in (0, -1, 150):
        with pytest.raises(ValidationError):
            Rule(name="strips ages", assume_age_years=age)


def _texts(ds) -> list[str]:
    found = [str(item.TextValue) for item in ds.get("ContentSequence", ()) if "TextValue" in item]
    return found + [text for item in ds.get("ContentSequence", ()) for text in _texts(item)]
