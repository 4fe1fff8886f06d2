"""The page of a finished search: one self-contained file, no network, every value escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envpin.report.template import page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def render(report: Mapping[str, object], *, headline: str, issue: str) -> str:
    """The page as text. `report` is the body of the `--json` document (see docs/how-to/bisect.md)."""
    return page("bisect.html", headline=headline, issue=issue, report=_with_defaults(report), points=_points(report))


def render_environments(body: Mapping[str, Any], *, headline: str, words: Sequence[str]) -> str:
    """The page of a search over environments. `body` is its `--json` document, `words` the answer line by line."""
    releases = {name: _with_defaults(report) for name, report in body["releases"].items() if report is not None}
    return page("bisect_environments.html", headline=headline, words=words, body=body, releases=releases)


_OPTIONAL = {"untestable": (), "error": "", "traceback": "", "moved": (), "changed_files": (), "others": (),
             "reason": None, "pin": None, "warnings": ()}  # fmt: skip


def _with_defaults(report: Mapping[str, Any]) -> dict[str, object]:
    """Empty fields are left out of the document; a template needs them."""
    return {**_OPTIONAL, **report}


def _points(report: Mapping[str, Any]) -> list[dict[str, object]]:
    """Each release that was probed, in order of date then version, with its worst verdict and its runs."""
    order = {"good": 0, "untestable": 1, "other-fail": 2, "bad": 3}
    points: dict[str, dict[str, Any]] = {}
    for row in report["rows"]:
        point = points.setdefault(row["version"], {**row, "verdicts": []})
        point["verdicts"].append(row["verdict"])
        if order[row["verdict"]] > order[point["verdict"]]:
            point["verdict"] = row["verdict"]
    for point in points.values():
        kinds = {verdict for verdict in point["verdicts"] if verdict in {"good", "bad"}}
        if len(kinds) == 2:
            point["verdict"] = "flaky"
    return sorted(points.values(), key=lambda point: (_numbers(point["version"]), point["version"]))


def _numbers(version: str) -> list[int]:
    return [int(piece) if piece.isdigit() else -1 for piece in version.replace("rc", ".").split(".")]
