"""The states of the heat map, and the page as text."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from envpin.core.resources import data_path
from envpin.matrix.load import load_matrix, parse_matrix
from envpin.matrix.results import EvidenceRun
from envpin.matrix.support import load_support
from envpin.report.matrix_cells import Cell, all_series, by_series, cells
from envpin.report.matrix_page import MARK, render_matrix

SUPPORT = load_support()
MATRIX = load_matrix(data_path("compat_matrix.toml"))
LLAMA_31 = MATRIX.families["llama3.1"]
STEPS = ("load", "forward", "generate", "train", "reload", "merge")


def run(
    version: str, *outcomes: str, family: str = "llama3.1", peft: str = "0.12.0", error: str = ""
) -> list[EvidenceRun]:
    common = {"family": family, "packages": {"transformers": version, "peft": peft, "torch": "2.4.0"}, "python": "3.11",
              "date": "2026-11-27", "platform": "linux-x86_64", "tool": "a test"}  # fmt: skip
    return [
        msgspec.convert(
            {**common, "capability": step, "outcome": outcome, "error": error if outcome == "fail" else ""}, EvidenceRun
        )
        for step, outcome in zip(STEPS, outcomes, strict=False)
    ]


def cell(version: str, entries: list[EvidenceRun]) -> Cell:
    return cells(LLAMA_31, entries, MATRIX.breaks, SUPPORT)[version]


@pytest.mark.parametrize(
    ("outcomes", "state", "partly"),
    [
        ((), "static", False), (("ok",), "load", False), (("ok",) * 4, "train", False),
        (("ok",) * 6, "merge-verified", False),
        (("fail", "untestable"), "fails", False), (("timeout",), "fails", False), (("untestable",), "static", False),
        (("ok", "ok", "ok", "fail", "ok"), "load", True), (("ok",) * 5 + ("fail",), "train", True),
    ],
)  # fmt: skip
def test_runs_make_states(outcomes: tuple[str, ...], state: str, partly: bool) -> None:
    found = cell("4.43.1", run("4.43.1", *outcomes))
    assert (found.state, found.partly) == (state, partly)


def test_a_release_that_does_not_know_the_type() -> None:
    assert cell("4.27.4", []) == Cell(grade=None)
    assert cell("4.27.4", run("4.27.4", "fail")).state == "fails"


def test_the_better_of_two_environments_counts_and_the_failure_shows() -> None:
    found = cell("4.43.1", run("4.43.1", *["ok"] * 6) + run("4.43.1", "ok", "ok", "ok", "fail", peft="0.17.1"))
    assert (found.state, found.fails, found.partly) == ("merge-verified", "train", True)


def test_a_break_marks_what_knows_the_type() -> None:
    found = cells(LLAMA_31, [], MATRIX.breaks, SUPPORT)
    assert [found[version].broken for version in ("4.27.4", "4.28.0", "4.42.4", "4.43.0")] == [False, True, True, False]


def test_a_series_is_its_best_release_unless_one_was_seen_to_fail() -> None:
    series = by_series(cells(LLAMA_31, run("4.42.4", "fail") + run("4.43.1", *["ok"] * 6), MATRIX.breaks, SUPPORT))
    assert list(series) == all_series(SUPPORT)
    assert (series["4.42"].state, series["4.43"].state, series["4.44"].state) == ("fails", "merge-verified", "static")
    mixed = by_series(cells(LLAMA_31, run("4.43.0", "fail") + run("4.43.1", "ok"), MATRIX.breaks, SUPPORT))["4.43"]
    assert (mixed.state, mixed.partly) == ("load", True)


HOSTILE = "</script><script>window.broken=1</script><img src=x onerror=window.broken=1>{{ 7*7 }}\u2028'\"&"


def embedded(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    document: dict[str, Any] = json.loads(found)
    return document


def test_the_page_is_whole_and_small() -> None:
    entries = {one.id: one for one in run("4.43.1", *["ok"] * 6) + run("4.42.4", "fail", error="ValueError: `rope`")}
    text = render_matrix(MATRIX, SUPPORT, entries, day="2026-11-27")
    assert MARK in text[:1000]
    assert "default-src 'none'" in text
    assert len(text.encode()) < 2_000_000
    assert text.count("<tr data-family=") == 2 * len(MATRIX.families)
    assert not re.findall(r"(?:src|srcset|action)\s*=|url\(|@import|\bfetch\(|XMLHttpRequest", text)
    data = embedded(text)
    assert [one["id"] for one in data["families"]] == list(MATRIX.families)
    (llama,) = [one for one in data["families"] if one["id"] == "llama3.1"]
    assert [one["packages"]["transformers"] for one in llama["runs"]] == ["4.42.4", "4.43.1"]
    assert llama["runs"][0]["said"] == {"load": "ValueError: `rope`"}
    assert set(data["types"]) == set(SUPPORT.model_types)


def test_nothing_of_the_matrix_becomes_markup() -> None:
    text = parse_matrix_with(HOSTILE)
    assert "window.broken=1</script>" not in text
    assert "<img" not in text
    assert "49" not in re.findall(r"<th scope=\"row\">(.*?)</th>", text, re.DOTALL)[0]
    (family,) = embedded(text)["families"]
    assert family["title"] == HOSTILE
    assert family["runs"][0]["said"] == {"load": HOSTILE}


def parse_matrix_with(hostile: str) -> str:
    quoted = json.dumps(hostile)
    matrix = parse_matrix(f"schema = 1\n[families.odd]\ntitle = {quoted}\nunpinnable = {quoted}\nnotes = [{quoted}]\n")
    entries = {one.id: one for one in run("4.43.1", "fail", family="odd", error=hostile)}
    return render_matrix(matrix, SUPPORT, entries, day="2026-11-27")
