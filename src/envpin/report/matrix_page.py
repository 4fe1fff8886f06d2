"""The page of the matrix, "which versions work for my model": one self-contained file, no network, all escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from envpin.core.sizes import counted
from envpin.matrix.architectures import class_rules
from envpin.matrix.conditions import needs_of, pins_within
from envpin.matrix.names import VETO_ENDINGS, VETOES
from envpin.matrix.nearest import era_pins
from envpin.matrix.parts import LOOKED_UP, method_releases
from envpin.matrix.results import PROVES
from envpin.matrix.spelling import tables
from envpin.report.matrix_cells import all_series, by_series, cells, releases_inside, series_of
from envpin.report.template import page
from envpin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.support import Support
    from envpin.matrix.types import Break, Condition, Family, Matrix, Statement
    from envpin.report.matrix_cells import Cell

MARK = '<meta name="generator" content="envpin matrix html'
_STEPS = [*PROVES]
_GLYPHS = {"none": "", "static": "·", "import": "i", "load": "L", "train": "T", "merge-verified": "M", "fails": "×"}


def render_matrix(matrix: Matrix, support: Support, evidence: Mapping[str, EvidenceRun], *, day: str) -> str:
    """The page as text. `evidence` holds the committed results by id, `day` is the date that the page names."""
    by_family: dict[str, list[EvidenceRun]] = {}
    for entry in evidence.values():
        by_family.setdefault(entry.family, []).append(entry)
    series = all_series(support)
    rows = []
    for family in matrix.families.values():
        found = by_series(cells(family, by_family.get(family.id, ()), matrix.breaks, support))
        pinned = series_of(family.pins.get("transformers", ""))
        rows.append({"family": family, "pinned": pinned, "cells": [_cell(found[one]) for one in series]})
    data = {
        "families": [_family(one, by_family.get(one.id, ()), support, matrix) for one in matrix.families.values()],
        "breaks": {name: _break(entry, support) for name, entry in matrix.breaks.items()},
        "series": series,
        "releases": [_release(one.version, support, matrix) for one in support.transformers],
        "types": dict(sorted(support.model_types.items())),
        "named": {kind: msgspec.to_builtins(one) for kind, one in matrix.types.items()},
        "parts": dict(LOOKED_UP),
        "methods": method_releases(),
        "classes": class_rules(),
        "spelling": tables(),
        "vetoes": {"words": sorted(VETOES), "endings": VETO_ENDINGS},
    }
    proved = sum(one.grade == "merge-verified" for one in matrix.families.values())
    description = (
        f"Versions of transformers, peft and torch for {counted(len(rows), 'model family')}, {proved} proved to the "
        f"merge by {counted(len(evidence), 'run')} up to transformers {support.newest()}."
    )
    return page(
        "matrix.html", data=data, description=description, rows=rows, series=series, day=day,
        years=_years(series, support),
        version=__version__, runs=len(evidence), types=len(support.model_types),
        first=support.transformers[0].version, last=support.newest(), releases=len(support.transformers),
        proved=proved, glyphs=_GLYPHS,
    )  # fmt: skip


def _cell(cell: Cell) -> dict[str, str]:
    classes = [cell.state, *(["partly"] if cell.partly else ()), *(["broken"] if cell.broken else ())]
    return {"classes": " ".join(classes), "glyph": _GLYPHS[cell.state]}


def _years(series: list[str], support: Support) -> list[dict[str, object]]:
    """The years in which the series began, each with the number of them."""
    begun: dict[str, str] = {}
    for release in support.transformers:
        begun.setdefault(series_of(release.version), release.date[:4])
    years: list[dict[str, Any]] = []
    for one in series:
        # A series of an older line may begin after one of a newer: the columns follow versions, so the year may return.
        if years and years[-1]["year"] == begun[one]:
            years[-1]["count"] += 1
        else:
            years.append({"year": begun[one], "count": 1})
    return years


def _release(version: str, support: Support, matrix: Matrix) -> dict[str, object]:
    release = support.transformers[support.positions[version]]
    pins, python, newer = era_pins(version, support, matrix.breaks) or ({"transformers": version}, "3.11", None)
    return {"version": version, "date": release.date, "yanked": release.yanked, "pins": pins, "python": python,
            "newer": newer}  # fmt: skip


def _family(family: Family, entries: Iterable[EvidenceRun], support: Support, matrix: Matrix) -> dict[str, object]:
    body: dict[str, object] = msgspec.to_builtins(family)
    windows = {kind: support.window(kind) for kind in family.match.model_type}
    return {
        "models": (), "notes": (), "breaks": (), "known_good": (), "requires": {}, "match": {},
        "kind": "native", "unpinnable": None, **body,
        "overlay": family.id in matrix.overlaid, "windows": windows, "runs": _runs(entries, support),
        "conditions": [_condition(one, family, support, matrix) for one in family.conditions],
        "support": [_statement(one, support) for one in family.support],
    }  # fmt: skip


def _statement(one: Statement, support: Support) -> dict[str, object]:
    """With the number of releases that its versions name, so that it is seen how many were not run."""
    return {"capability": one.capability, "package": one.package, "versions": one.versions, "tested": one.tested,
            "of": max(support.releases_inside(one.versions, one.package), one.tested)}  # fmt: skip


def _condition(one: Condition, family: Family, support: Support, matrix: Matrix) -> dict[str, object]:
    """With the pins of a model that meets it, so that the page need not compare versions."""
    found = pins_within(family, needs_of(family, [one]), support, matrix.breaks)
    packages, python, newer = found or ({}, None, None)
    pins = {"packages": packages, "python": python, "exclude_newer": newer} if found else None
    return {"when": [msgspec.to_builtins(sign) for sign in one.when], "names": one.names, "pins": pins,
            "package": one.package, "versions": one.versions, "reason": one.reason}  # fmt: skip


def _runs(entries: Iterable[EvidenceRun], support: Support) -> list[dict[str, object]]:
    """One for each environment, and pair of environments, that a family was run in: its steps in their order, and
    what the ones said that failed."""
    grouped: dict[tuple[object, ...], list[EvidenceRun]] = {}
    for entry in entries:
        versions, trained = _shown(entry.packages), _shown(entry.trained_with)
        key = (support.positions.get(versions.get("transformers", ""), -1), tuple(versions.items()), entry.python,
               entry.platform, tuple(trained.items()))  # fmt: skip
        grouped.setdefault(key, []).append(entry)
    return [_run(members) for _, members in sorted(grouped.items())]


def _run(members: list[EvidenceRun]) -> dict[str, object]:
    one = members[0]
    steps = sorted(members, key=lambda entry: _STEPS.index(entry.capability))
    said = {entry.capability: entry.error for entry in steps if entry.error and not _follows(entry)}
    return {
        "packages": _shown(one.packages), "python": one.python, "platform": one.platform,
        "date": max(entry.date for entry in members), "steps": [[entry.capability, entry.outcome] for entry in steps],
        **({"trained_with": _shown(one.trained_with)} if one.trained_with else {}),
        **({"said": said} if said else {}),
    }  # fmt: skip


def _follows(entry: EvidenceRun) -> bool:
    """Whether it was only not run because a step before it failed, which says nothing new."""
    return entry.outcome == "untestable" and entry.error.startswith("needs ")


def _shown(packages: Mapping[str, str]) -> dict[str, str]:
    return {name: packages[name] for name in ("transformers", "peft", "torch") if name in packages}


def _break(entry: Break, support: Support) -> dict[str, object]:
    body: dict[str, object] = msgspec.to_builtins(entry)
    inside = releases_inside(entry, support)
    return {"silent": False, "grade": "reported", **body, "inside": [at for at, here in enumerate(inside) if here]}
