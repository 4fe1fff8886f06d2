"""What cards say of versions: exact ones of programs, series and floors of people."""

from __future__ import annotations

import pytest

from envpin.inference.statements import card_signals, card_statements
from envpin.inference.versions import known_releases


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- PEFT 0.11.1", ("exact", "0.11.1")),
        ("* PEFT: 0.11.1", ("exact", "0.11.1")),
        ("- **PEFT**: 0.11.1", ("exact", "0.11.1")),
        ("- PEFT version: v0.11.1", ("exact", "0.11.1")),
        ("- PEFT `0.11.1`", ("exact", "0.11.1")),
        ("- PEFT 0.6.3.dev0", ("exact", "0.6.3.dev0")),
        ("- PEFT 0.11+", ("at least", "0.11")),
        ("- PEFT >= 0.11", ("at least", "0.11")),
        ("- PEFT 0.11 or newer", ("at least", "0.11")),
        ("- PEFT 0.11.x", ("series", "0.11")),
    ],
)
def test_a_line_is_read_in_the_manner_that_it_is_written(line: str, expected: tuple[str, str]) -> None:
    assert card_statements(f"### Framework versions\n\n{line}\n")["peft"] == expected


@pytest.mark.parametrize("line", ["- PEFT LoRA", "PEFT 0.11.1 was used", "- Transformers are great", "- PEFT: latest"])
def test_prose_states_nothing(line: str) -> None:
    assert card_statements(line) == {}


def test_a_local_label_is_part_of_an_exact_version() -> None:
    assert card_statements("- Pytorch 2.3.0+cu121")["torch"] == ("exact", "2.3.0+cu121")


def test_an_exact_version_stands_over_a_floor_wherever_it_is() -> None:
    assert card_statements("- PEFT 0.12.0\n- PEFT 0.11+\n")["peft"] == ("exact", "0.12.0")


def test_a_floor_is_weak_and_states_nothing() -> None:
    (found,) = card_signals("README.md", "- PEFT 0.11+", "peft", known_releases()["peft"])
    assert (found.strength, found.stated) == ("weak", False)
    assert "0.10.0" not in found.admits
    assert "0.11.0" in found.admits
