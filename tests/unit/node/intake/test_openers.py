"""Which of several senders opened the study that an object belongs to."""

from __future__ import annotations

from structlog.testing import capture_logs

from node.db.studies import Opener
from node.intake.openers import choose

PATIENTS = {"a": "P", "b": "Q", "more": "P", "other": "R", "broken": None, "unreadable": None}
OPENERS = [Opener("MODALITY", "a"), Opener("ROUTER", "b")]


def opener(digest: str, title: str = "PACS", openers=OPENERS) -> str:
    return choose(digest, title, openers, PATIENTS.__getitem__)


def test_the_first_image_opens_the_study():
    assert opener("a", openers=[]) == "PACS"


def test_an_opener_stays_in_its_own_study_whatever_it_sends():
    assert opener("other", "ROUTER") == "ROUTER"


def test_another_sender_joins_where_the_patient_is_the_same():
    assert opener("more") == "MODALITY"
    assert opener("b") == "ROUTER"


def test_another_sender_of_another_patient_opens_its_own_and_it_is_said():
    with capture_logs() as logs:
        assert opener("other") == "PACS"
    assert [(line["event"], line["others"]) for line in logs] == [("study.opened_beside", ["MODALITY", "ROUTER"])]


def test_a_patient_that_cannot_be_read_is_nobody_elses():
    assert opener("broken") == "PACS"
    assert opener("broken", openers=[Opener("MODALITY", "unreadable")]) == "PACS"
