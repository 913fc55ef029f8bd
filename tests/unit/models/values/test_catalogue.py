"""The table of findings and bundles: whole in every language, and what the shipped bundles say of themselves."""

from __future__ import annotations

import pytest

from models.bundle import store
from models.values import catalogue, codes


def test_what_a_bundle_tells_has_a_row() -> None:
    assert {label for row in catalogue.BUNDLES.values() for label in row.labels} == set(catalogue.FINDINGS)


def test_the_english_name_is_the_label_as_people_read_it() -> None:
    read = {label: row.name.en for label, row in catalogue.FINDINGS.items()}
    read |= {name: row.name.en for name, row in catalogue.BUNDLES.items() if row.name is not None}
    assert read == {label: label.replace("-", " ").capitalize() for label in read}


@pytest.mark.parametrize("tag", ["de", "fr"])
def test_every_name_is_there_in_every_language(tag: str) -> None:
    named = catalogue.names(tag)
    assert all(named.values())
    assert set(named) >= {row.name.en for row in catalogue.FINDINGS.values()}
    assert named["Lung opacity"] == {"de": "Verschattung der Lunge", "fr": "Opacité pulmonaire"}[tag]


def test_shipped_bundles_are_in_the_table_and_their_labels_are_coded_as_there() -> None:
    for shipped in store.find(store.shipped()):
        manifest = shipped.manifest
        assert tuple(label.name for label in manifest.labels) == catalogue.BUNDLES[manifest.name].labels
        for label in manifest.labels:
            row = catalogue.FINDINGS[label.name]
            assert label.code.to_code() == row.code
            assert (None if label.laterality is None else label.laterality.to_code()) == row.side
            assert label.colour_rgb in (None, row.colour_rgb)


def test_a_finding_lies_where_its_row_says_and_a_structure_nowhere_else() -> None:
    assert catalogue.site_of(codes.PNEUMOTHORAX) == codes.PLEURA
    assert catalogue.site_of(codes.LUNG_OPACITY) == codes.LUNG
    assert catalogue.site_of(codes.HEART) is None
