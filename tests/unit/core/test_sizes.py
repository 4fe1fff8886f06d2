"""A sentence that counts things says `1 file` and `2 files`: `core/sizes.counted` alone knows plurals."""

from __future__ import annotations

import re

import pytest

from envpin.core.sizes import counted, size_words, verb
from tests.support.places import SOURCE

# What runs elsewhere imports nothing of envpin, and so no owner of plurals.
_ELSEWHERE = ("workers", "recording/hook", "demo/scripts", "bundle/scripts")
# What is counted in this tree. A noun that comes new is added here by whoever counts it.
_NOUNS = [
    "adapters",
    "blockers",
    "blocks",
    "breaks",
    "bytes",
    "causes",
    "dates",
    "days",
    "differences",
    "digests",
    "elements",
    "entries",
    "environments",
    "factors",
    "families",
    "faults",
    "files",
    "folders",
    "labels",
    "layers",
    "lines",
    "locks",
    "models",
    "modules",
    "moves",
    "names",
    "opcodes",
    "packages",
    "pairs",
    "parameters",
    "pieces",
    "problems",
    "probes",
    "processes",
    "releases",
    "rows",
    "runs",
    "samples",
    "searches",
    "shards",
    "steps",
    "tensors",
    "tests",
    "tokens",
    "types",
    "values",
    "wheels",
    "workers",
]
_VALUE = r"\{(?P<value>[^{}\"':!]+(?:\[[\"'][a-z_]+[\"']\])?)(?::,)?\}"
_COUNT = re.compile(
    _VALUE + rf" (?:(?!is |are |has |have |knows |for |of |with )[a-z-]+ ){{0,2}}?(?:{'|'.join(_NOUNS)})\b"
)
_BY_HAND = re.compile(
    r"""\{['"]s['"] if |\(s\)[ "',:.]|['"](?:y|ies|family|families|entry|entries)['"] if [^"']*[<>=!] 1\b"""
)
# Words of a release or of a kind before what only looks like a noun that is counted.
_NO_COUNT = re.compile(r"_?[A-Z_]+(?:\[.*\])?|version|last|kind|name|which|one|own|release")


def counting_lines(text: str) -> list[str]:
    """The lines with a count whose noun was made plural, or not, by hand."""
    return [
        line.strip()
        for line in text.splitlines()
        if _BY_HAND.search(line) or any(_NO_COUNT.fullmatch(found["value"]) is None for found in _COUNT.finditer(line))
    ]


def test_no_sentence_makes_its_own_plural() -> None:
    wrong = {}
    for path in SOURCE.rglob("*.py"):
        place = path.relative_to(SOURCE).as_posix()
        if (
            not place.startswith(_ELSEWHERE)
            and place != "core/sizes.py"
            and (lines := counting_lines(path.read_text()))
        ):
            wrong[place] = lines
    assert not wrong, "use core/sizes.counted: " + "; ".join(f"{place}: {lines}" for place, lines in wrong.items())


@pytest.mark.parametrize(
    "line",
    [
        'f"5 GB in {len(own)} environments"', 'f"{count} file{\'s\' if count > 1 else \'\'}"', 'f"{n:,} more bytes"',
        'f"{n} file(s) changed"', "noun = 'family' if len(rows) == 1 else 'families'", "f\"{one['probes']} probes\"",
    ],
)  # fmt: skip
def test_a_plural_by_hand_is_found(line: str) -> None:
    assert counting_lines(line)


@pytest.mark.parametrize("line", ["f\"{counted(n, 'file')} changed\"", 'f"{_LIMIT} bytes"', 'f"{version} breaks"'])
def test_what_counts_nothing_or_by_its_owner_is_not(line: str) -> None:
    assert counting_lines(line) == []


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (0, "file", "0 files"), (1, "file", "1 file"), (2000, "file", "2,000 files"), (2, "entry", "2 entries"),
        (2, "day", "2 days"), (2, "search", "2 searches"), (2, "process", "2 processes"),
        (1, "more byte", "1 more byte"), (None, "row", "? rows"),
    ],
)  # fmt: skip
def test_a_noun_goes_with_its_count(count: int | None, noun: str, said: str) -> None:
    assert counted(count, noun) == said


def test_one_byte_is_no_bytes() -> None:
    assert (size_words(1), size_words(2)) == ("1 byte", "2 bytes")


def test_a_verb_goes_with_its_count() -> None:
    assert [verb(count, "is", "are") for count in (0, 1, 2)] == ["are", "is", "are"]
