"""What cards say of versions: exact ones of programs, series and floors of people."""

from __future__ import annotations

import pytest

from envpin.inference.statements import card_signals, card_statements
from envpin.inference.versions import known_releases

EXACT, SERIES, BOUNDS = "exact", "series", "bounds"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- PEFT 0.11.1", (EXACT, "0.11.1", False)),
        ("* PEFT: 0.11.1", (EXACT, "0.11.1", False)),
        ("• PEFT 0.11.1", (EXACT, "0.11.1", False)),
        ("2. PEFT 0.11.1", (EXACT, "0.11.1", False)),
        ("- **PEFT**: 0.11.1", (EXACT, "0.11.1", False)),
        ("- PEFT version: v0.11.1", (EXACT, "0.11.1", False)),
        ("- PEFT `0.11.1`", (EXACT, "0.11.1", False)),
        ("- PEFT 版本：0.11.1", (EXACT, "0.11.1", False)),
        ("- PEFT (0.11.1)", (EXACT, "0.11.1", False)),
        ("- PEFT 0.11.1 (from source)", (EXACT, "0.11.1", False)),
        ("- [PEFT](https://example.org/peft) 0.11.1", (EXACT, "0.11.1", False)),
        ("- PEFT 0.6.3.dev0", (EXACT, "0.6.3.dev0", False)),
        ("PEFT 0.11.1", (EXACT, "0.11.1", True)),
        ("| PEFT | 0.11.1 |", (EXACT, "0.11.1", True)),
        ("pip install -q peft==0.11.1", (EXACT, "0.11.1", True)),
        ("- PEFT 0.11.x", (SERIES, "0.11", False)),
        ("- PEFT 0.13.*", (SERIES, "0.13", False)),
        ("- PEFT 0.11+", (BOUNDS, ">=0.11", True)),
        ("- PEFT >= 0.11", (BOUNDS, ">=0.11", True)),
        ("- PEFT ≥ 0.11", (BOUNDS, ">=0.11", True)),
        ("- PEFT 0.11 or newer", (BOUNDS, ">=0.11", True)),
        ("- PEFT: at least 0.11", (BOUNDS, ">=0.11", True)),
        ("- PEFT 0.11 及以上", (BOUNDS, ">=0.11", True)),
        ("- PEFT ~= 0.11", (BOUNDS, "~=0.11", True)),
        ("- PEFT <0.13", (BOUNDS, "<0.13", True)),
        ("- PEFT >=0.11, <0.13", (BOUNDS, ">=0.11,<0.13", True)),
        ("- PEFT 0.11 - 0.12", (BOUNDS, ">=0.11,<0.13", True)),
        ("- PEFT 0.11-0.12", (BOUNDS, ">=0.11,<0.13", True)),
    ],
)
def test_a_line_is_read_in_the_manner_that_it_is_written(line: str, expected: tuple[str, str, bool]) -> None:
    assert card_statements(f"### Framework versions\n\n{line}\n")["peft"] == expected


@pytest.mark.parametrize(
    "line",
    [
        "- PEFT LoRA",
        "PEFT 0.11.1 was used",
        "- Transformers are great",
        "- PEFT: latest",
        "- PEFT 0.1x",
        "- PEFT 0",
        "- Sentence Transformers: 3.3.0",
        "| PEFT | 0.11.1 | 0.12.0 |",
    ],
)
def test_prose_states_nothing(line: str) -> None:
    assert card_statements(line) == {}


def test_a_local_label_is_part_of_an_exact_version() -> None:
    assert card_statements("- Pytorch 2.3.0+cu121")["torch"].version == "2.3.0+cu121"


def test_an_exact_version_stands_over_a_floor_wherever_it_is() -> None:
    assert card_statements("- PEFT 0.12.0\n- PEFT 0.11+\n")["peft"].version == "0.12.0"


def test_a_floor_is_weak_and_states_nothing() -> None:
    (found,) = card_signals("README.md", "- PEFT 0.11+", "peft", known_releases()["peft"])
    assert (found.strength, found.stated) == ("weak", False)
    assert "0.10.0" not in found.admits
    assert "0.11.0" in found.admits


def test_what_a_program_wrote_stands_over_what_a_person_did() -> None:
    said = card_statements("- PEFT 0.12.0\n\n```\npip install peft==0.14.0\n```\n| PEFT | 0.13.0 |\n")["peft"]
    assert said == ("exact", "0.12.0", False)


def test_a_version_by_hand_is_weak_and_names_its_release() -> None:
    (found,) = card_signals("README.md", "peft==0.12.0", "peft", known_releases()["peft"])
    assert (found.strength, found.stated, set(found.admits)) == ("weak", True, {"0.12.0"})


def test_a_candidate_stands_for_the_release_that_it_became() -> None:
    assert known_releases()["transformers"].stated("5.0.0rc1") == {"5.0.0"}
    assert known_releases()["transformers"].stated("4.45.0.dev0") == {"4.44.2", "4.45.0"}


@pytest.mark.parametrize(
    "card",
    [
        "-\u00a0PEFT\u00a00.11.1\n",
        "<ul><li>PEFT 0.11.1</li><li>Transformers 4.42.3</li></ul>\n",
        "<table><tr><td>PEFT</td><td>0.11.1</td></tr></table>\n",
    ],
)
def test_what_a_web_page_gives_is_read_as_the_line_that_it_shows(card: str) -> None:
    assert card_statements(card)["peft"].version == "0.11.1"
