"""Signs of a family: one row for each test, the three spellings of one setting, and how values are shown."""

from __future__ import annotations

from typing import Any

import pytest

from envpin.matrix.signs import holds, release_of, shorten, value_at, wanted
from envpin.matrix.types import Sign


@pytest.mark.parametrize(
    ("test", "satisfied", "unsatisfied"),
    [
        ({"equals": 4}, [4, 4.0], [5, "4", None, True]),
        ({"equals": 1}, [1], [True]),
        ({"equals": True}, [True], [1, "true", None]),
        ({"one_of": ("a", "b")}, ["a", "b"], ["c", None]),
        ({"at_least": 10}, [10, 11, 10.0], [9, "10", None, True]),
        ({"at_most": 10}, [10, 9], [11, "10", None, False]),
        ({"version_at_least": "4.43"}, ["4.43", "4.43.1", "5.0.0.dev0"], ["4.42.9", "x", 5, None]),
        ({"version_below": "4.43"}, ["4.42.9", "4"], ["4.43", "4.43.0", "5", "x", 3, None]),
        ({"present": True}, [0, "", False, []], [None]),
        ({"present": False}, [None], [0, False]),
    ],
)
def test_holds_by_each_test(test: dict[str, Any], satisfied: list[Any], unsatisfied: list[Any]) -> None:
    sign = Sign(path="x", **test)
    assert [holds(sign, {"x": value}) for value in satisfied] == [True] * len(satisfied)
    assert [holds(sign, {"x": value}) for value in unsatisfied] == [False] * len(unsatisfied)


@pytest.mark.parametrize(
    ("path", "config", "value"),
    [
        ("a.b", {"a": {"b": 1}}, 1),
        ("a.b", {"a": [1]}, None),
        ("text.n", {"text_config": {"n": 1}, "n": 2}, 1),
        ("text.n", {"n": 2}, 2),
        ("text.n", {"text_config": 3, "n": 2}, 2),
        ("rope_scaling.rope_type", {"rope_scaling": {"rope_type": "llama3"}}, "llama3"),
        ("rope_scaling.rope_type", {"rope_scaling": {"type": "yarn"}}, "yarn"),
        ("rope_scaling.rope_type", {"rope_parameters": {"rope_type": "yarn"}}, "yarn"),
        ("rope_scaling.rope_type", {"rope_parameters": {"rope_type": "default"}}, None),
        ("rope_scaling.factor", {"rope_parameters": {"factor": 8}}, 8),
        ("rope_theta", {"rope_parameters": {"rope_theta": 5.0}}, 5.0),
        ("rope_theta", {"rope_theta": 4.0, "rope_parameters": {"rope_theta": 5.0}}, 4.0),
    ],
)
def test_value_at_reads_each_spelling(path: str, config: dict[str, Any], value: object) -> None:
    assert value_at(config, path) == value


@pytest.mark.parametrize(
    ("text", "release"),
    [("4.43.1.dev0", (4, 43, 1)), ("1.2.3.4.5", (1, 2, 3, 4)), ("5", (5,)), ("v4", None), ("", None), (4.43, None)],
)
def test_release_of_reads_how_a_version_starts(text: object, release: tuple[int, ...] | None) -> None:
    assert release_of(text) == release


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        ({"equals": 32000.0}, "32000"), ({"one_of": ("a", "b")}, "one of a, b"), ({"at_least": 3}, "at least 3"),
        ({"at_most": 3}, "at most 3"), ({"version_at_least": "4.43"}, "4.43 or later"),
        ({"version_below": "5"}, "before 5"), ({"present": True}, "present"), ({"present": False}, "absent"),
    ],
)  # fmt: skip
def test_wanted_says_each_test_in_words(sign: dict[str, Any], words: str) -> None:
    assert wanted(Sign(path="x", **sign)) == words


def test_shorten_keeps_sixty_letters_and_nothing_that_a_terminal_obeys() -> None:
    assert shorten("x" * 60) == "x" * 60
    assert shorten("x" * 61) == "x" * 59 + "…"
    assert shorten("a\x1b[2Jb") == "a?[2Jb"
    assert (shorten(None), shorten(3.0), shorten([1])) == ("absent", "3", "[1]")
