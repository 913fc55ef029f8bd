"""Which rule decides, and what it decides."""

import pytest

from node.delivery.destinations import Destination
from node.errors import Misconfigured
from node.intake.routing import StudyFacts, route
from node.settings import Rule, load

PACS = {
    "pacs": Destination(ae_title="PACS", host="h", port=104),
    "vna": Destination(ae_title="VNA", host="h", port=105),
}


def facts(**changes):
    return StudyFacts(
        **{"calling_ae_title": "ER", "modality": "DX", "descriptions": ("Chest PA STAT",), "age_years": 40.0} | changes
    )


def test_the_first_rule_that_matches_decides():
    rules = [Rule(name="first", modality=["CR"]), Rule(name="second"), Rule(name="third")]
    assert route(facts(), rules, PACS).rule == "second"


@pytest.mark.parametrize(
    ("condition", "matching", "other"),
    [
        ({"calling_ae_title": ["ER"]}, {}, {"calling_ae_title": "WARD"}),
        ({"modality": ["DX", "CR"]}, {}, {"modality": "OT"}),
        ({"description": r"\bstat\b"}, {}, {"descriptions": ("static view",)}),
        ({"age_years": (0, 6)}, {"age_years": 5.9}, {"age_years": 6.0}),
        ({"age_years": (0, 6)}, {"age_years": 0.0}, {"age_years": None}),
    ],
)
def test_each_condition_holds_or_not(condition, matching, other):
    rules = [Rule(name="r", **condition)]
    assert route(facts(**matching), rules, PACS) is not None
    assert route(facts(**other), rules, PACS) is None


def test_destinations_default_to_all_and_none_is_a_choice():
    assert route(facts(), [Rule(name="r")], PACS).destinations == ["pacs", "vna"]
    assert route(facts(), [Rule(name="r", destinations=["vna"])], PACS).destinations == ["vna"]
    assert route(facts(), [Rule(name="r", destinations=[])], PACS).destinations == []


def test_a_rule_may_ask_for_nothing():
    assert route(facts(), [Rule(name="r", pipeline="none")], PACS) is None


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("rules: [{name: r, destinations: [nowhere]}]", "nowhere"),
        ("rules: [{name: r, description: '('}]", "regular expression"),
        ("recever: {}", "recever"),
        ("receiver: {port: 70000}", "receiver.port"),
        ("receiver: {tls: {certificate: a.pem}}", "together"),
        ("analysis: {operating_points: {a: {b: .nan}}}", "operating_points.a.b: .*nan is neither a threshold"),
        ("analysis: {operating_points: {a: {b: .inf}}}", "neither a threshold"),
        ("analysis: {operating_points: {a: {b: 1.2}}}", "neither a threshold"),
        ("analysis: {operating_points: {a: {b: -0.1}}}", "neither a threshold"),
        ("analysis: {operating_points: {a: {b: true}}}", "neither a threshold"),
        ("analysis: {operating_points: {a: {b: ''}}}", "neither a threshold"),
        ("analysis: {operating_points: {a: {b: [0.5]}}}", "neither a threshold"),
        ("analysis: {operating_points: {a: 0.5}}", "operating_points.a"),
        ("[]", "mapping"),
        ("{", "cannot read"),
    ],
)
def test_a_wrong_configuration_is_refused_with_the_place(tmp_path, yaml, message):
    path = tmp_path / "hilum.yaml"
    path.write_text(yaml)
    with pytest.raises(Misconfigured, match=message):
        load(path)


def test_the_environment_overrides_the_file(tmp_path, monkeypatch):
    path = tmp_path / "hilum.yaml"
    path.write_text("receiver: {ae_title: FROM_FILE, port: 104}")
    monkeypatch.setenv("HILUM_RECEIVER__PORT", "105")
    settings = load(path)
    assert (settings.receiver.ae_title, settings.receiver.port) == ("FROM_FILE", 105)


def test_thresholds_of_a_site_are_numbers_or_names(tmp_path):
    path = tmp_path / "hilum.yaml"
    path.write_text("analysis: {operating_points: {pneumothorax: {pneumothorax: 0.35, other: youden, whole: 1}}}")
    assert load(path).analysis.operating_points == {
        "pneumothorax": {"pneumothorax": 0.35, "other": "youden", "whole": 1.0}
    }
    assert load(None).analysis.operating_points == {}


def test_thresholds_of_a_site_come_from_the_environment_too(monkeypatch):
    monkeypatch.setenv("HILUM_ANALYSIS__OPERATING_POINTS", '{"adult-pneumonia": {"lung-opacity": 0.25}}')
    assert load(None).analysis.operating_points == {"adult-pneumonia": {"lung-opacity": 0.25}}
    monkeypatch.setenv("HILUM_ANALYSIS__OPERATING_POINTS", '{"adult-pneumonia": {"lung-opacity": NaN}}')
    with pytest.raises(Misconfigured, match="nan is neither a threshold"):
        load(None)
