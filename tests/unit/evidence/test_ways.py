"""Versions read from the sentences of ways out."""

from __future__ import annotations

import pytest

from envpin.core.resources import data_path
from envpin.evidence.ways import fits_way, read_way
from envpin.matrix.load import load_matrix


@pytest.mark.parametrize(
    ("text", "packages", "fits"),
    [
        ("merge on transformers <= 4.51.3", {"transformers": "4.51.3"}, True),
        ("merge on transformers <= 4.51.3", {"transformers": "4.52.0"}, False),
        ("peft >= 0.16 with transformers 4.52 to 5.3", {"transformers": "5.3.0", "peft": "0.18.1"}, True),
        ("peft >= 0.16 with transformers 4.52 to 5.3", {"transformers": "5.4.0", "peft": "0.18.1"}, False),
        ("peft >= 0.16 with transformers 4.52 to 5.3", {"transformers": "5.3.0", "peft": "0.15.2"}, False),
        ("merge on transformers 4.57", {"transformers": "4.57.6"}, True),
        ("merge on transformers 4.57", {"transformers": "4.58.0"}, False),
        ("transformers 4.57.6", {"transformers": "4.57.1"}, False),
        ("peft >= 0.19, which converts them", {"peft": "0.21.2"}, True),
        ("peft >= 0.19", {"transformers": "5.0.0"}, False),
        ("transformers 5.0 and later", {"transformers": "5.9.1"}, True),
        ("the config.json of the original model", {"transformers": "5.0.0"}, False),
        ("peft 0.18.1 or newer files", {"peft": "0.18.1"}, True),
    ],
)  # fmt: skip
def test_way_out_fits_the_versions_that_it_names(text: str, packages: dict[str, str], *, fits: bool) -> None:
    assert fits_way(read_way(text), packages) is fits


def test_ways_out_of_the_matrix_that_name_a_version_are_read() -> None:
    for entry in load_matrix(data_path("compat_matrix.toml")).breaks.values():
        for way in entry.ways_out:
            named = any(
                f"{name} {sign}" in way for name in ("transformers", "peft", "torch") for sign in "<>=0123456789"
            )
            assert bool(read_way(way)) == named, way
