"""`matrix lint` finds no fault in the shipped matrix."""

from __future__ import annotations

from datetime import date

from envpin.core.resources import data_path
from envpin.evidence.lint import lint
from envpin.matrix.load import load_matrix
from envpin.matrix.results import load_results
from envpin.matrix.support import load_support

SUPPORT = load_support()


def test_the_shipped_matrix_has_no_fault() -> None:
    locks = {path.name.removeprefix("pylock.").removesuffix(".toml"): path.read_bytes()
             for path in data_path("lockfiles").glob("pylock.*.toml")}  # fmt: skip
    today = max([date.today().isoformat(), "2026-11-24"])  # noqa: DTZ011  a day is all that is compared
    assert lint(load_matrix(), SUPPORT, locks=locks, evidence=load_results(), today=today) == []
