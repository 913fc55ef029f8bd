"""What an operator is told, and the exit code of `hilum status --check`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from node.db.report import NodeStatus, ProcessLine
from node.health.facts import Certificate, Facts
from node.health.troubles import Level, judge, of_component, worst
from node.setbacks import Setback
from node.settings import Settings
from node.spool.refusals import Refused
from tests.support.rows import NOW

AGO = {name: NOW - timedelta(seconds=seconds) for name, seconds in (("soon", 5), ("minutes", 400), ("hours", 9000))}
DISPATCH = ProcessLine("dispatch@here:1", "dispatch", None, AGO["soon"])
ANALYSIS = ProcessLine("work-cpu@here:2", "analysis", "cpu", AGO["soon"])
DELIVERY = ProcessLine("deliver@here:3", "delivery", None, AGO["soon"])
ROWS = NodeStatus(
    instances={},
    studies={},
    jobs={},
    deliveries={},
    oldest_queued_at={},
    oldest_pending_delivery_at=None,
    commitments=(),
    circuits_open=(),
    processes=(DISPATCH, ANALYSIS, DELIVERY),
)
WELL = Facts(now=NOW, rows=ROWS, free_bytes=10**12, free_inodes=10**6)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, destinations={"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 104}})


def rows(**changes: object) -> Facts:
    return replace(WELL, rows=replace(ROWS, **changes))  # type: ignore[arg-type]


def certificate(**days: float) -> Facts:
    return replace(WELL, certificates=(Certificate("receiver", Path("own.pem"), NOW + timedelta(**days)),))


def test_a_node_that_is_well_has_no_troubles(settings: Settings):
    assert judge(WELL, settings) == []
    assert worst([]) == 0


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (replace(WELL, rows=None, database_error="cannot open the database"), 2, "cannot open the database"),
        (replace(WELL, broker=False), 2, "broker does not answer"),
        (replace(WELL, free_bytes=None), 2, "no spool"),
        (replace(WELL, free_bytes=1000), 2, "receivers refuse studies"),
        (replace(WELL, free_inodes=7), 2, "7 inodes left"),
        (replace(WELL, free_inodes=None), 0, ""),
        (replace(WELL, incoming=3, oldest_incoming_at=AGO["minutes"]), 1, "3 received file(s) are not taken in"),
        (replace(WELL, incoming=3, oldest_incoming_at=AGO["soon"]), 0, ""),
        (replace(WELL, set_aside=(Setback("ingest", "EIO", NOW, 6),)), 1, "set aside: ingest"),
        (replace(WELL, refused=(Refused("10.0.0.9", "WRONG", "title", 4, NOW, NOW),)), 0, "WRONG from 10.0.0.9"),
        (certificate(days=-1), 2, "expired on"),
        (certificate(days=3), 1, "expires on"),
        (certificate(days=300), 0, ""),
        (rows(processes=(ANALYSIS, DELIVERY)), 2, "no dispatcher works: none is running"),
        (rows(processes=(replace(DISPATCH, seen_at=AGO["minutes"]), ANALYSIS, DELIVERY)), 2, "6 min 40 s old"),
        (rows(processes=(replace(DISPATCH, component="standby"), ANALYSIS, DELIVERY)), 2, "no dispatcher works"),
        (rows(processes=(DISPATCH, DELIVERY)), 1, "no analysis worker works"),
        (rows(processes=(DISPATCH, DELIVERY), jobs={"queued": 1}), 2, "no analysis worker works"),
        (rows(processes=(DISPATCH, ANALYSIS), deliveries={"pending": 1}), 2, "no delivery worker works"),
        (
            rows(processes=(*ROWS.processes, replace(ANALYSIS, id="work-cpu@there:9", seen_at=AGO["minutes"]))),
            1,
            "work-cpu@there:9 gives no sign of life",
        ),
        (
            rows(processes=(replace(DISPATCH, doing="ingest", doing_since=AGO["minutes"]), ANALYSIS, DELIVERY)),
            2,
            "at the step `ingest` for 6 min 40 s",
        ),
        (rows(oldest_queued_at={"STAT": AGO["minutes"]}), 1, "the oldest STAT study waits"),
        (rows(oldest_queued_at={"routine": AGO["minutes"]}), 0, ""),
        (rows(oldest_queued_at={"routine": AGO["hours"]}), 1, "the oldest routine study waits"),
        (rows(oldest_pending_delivery_at=AGO["hours"]), 1, "the oldest result waits for its delivery"),
        (rows(circuits_open=(("pacs", 3, NOW + timedelta(seconds=9)),)), 1, "circuit open: pacs"),
        (rows(jobs={"failed": 2}), 1, "studies without an answer: 2"),
        (rows(deliveries={"dead": 2}), 1, "dead letters: 2"),
        (rows(withheld=1), 1, "results withheld: 1"),
        (rows(answered_as_failed=1), 1, "answered that the node failed: 1"),
        (rows(lost_images=1), 1, "damaged or missing in the spool: 1"),
        (rows(deferred=1, deferred_why="spool full"), 1, "spool full"),
        (rows(without_rule=(("CT_1", 4),)), 0, "studies of CT_1 that no routing rule matched: 4"),
    ],
)
def test_each_trouble_has_its_level_and_its_sentence(settings: Settings, facts: Facts, level: int, words: str):
    found = judge(facts, settings)
    assert worst(found) == level
    assert any(words in str(one) for one in found) or not words
    assert len(found) == bool(words)


def test_the_worst_comes_first(settings: Settings):
    facts = replace(rows(deliveries={"dead": 1}, without_rule=(("CT_1", 4),)), broker=False)
    assert [one.level for one in judge(facts, settings)] == [Level.NOT_WORKING, Level.LATE, Level.NOTICE]


def test_a_node_without_destinations_needs_no_delivery_worker(tmp_path: Path):
    assert judge(rows(processes=(DISPATCH, ANALYSIS)), Settings(home=tmp_path)) == []


@pytest.mark.parametrize(
    ("facts", "component", "host", "level"),
    [
        (WELL, "dispatch", "here", 0),
        (WELL, "dispatch", "there", 2),
        (rows(processes=(replace(DISPATCH, id="dispatch@there:7", component="standby"),)), "dispatch", "there", 0),
        (replace(WELL, broker=False), "dispatch", "here", 0),
        (replace(WELL, rows=None, database_error="away"), "dispatch", "here", 2),
        (rows(processes=(replace(ANALYSIS, seen_at=AGO["minutes"]), DISPATCH)), "analysis", "here", 2),
    ],
)
def test_a_probe_asks_for_one_component_of_its_own_host(facts: Facts, component: str, host: str, level: int):
    assert worst(of_component(facts, component, host=host)) == level
