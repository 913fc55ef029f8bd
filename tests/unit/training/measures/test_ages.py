"""Bands of ages."""

from training.measures.ages import age_band


def test_ages_fall_into_bands_whose_names_sort():
    names = [age_band(years, (1, 6, 16, 80)) for years in (0.5, 1, 5.9, 6, 15, 79.5, 80, 101)]
    assert names == [
        "00 to 00",
        "01 to 05",
        "01 to 05",
        "06 to 15",
        "06 to 15",
        "16 to 79",
        "80 and older",
        "80 and older",
    ]
    assert names == sorted(names)
