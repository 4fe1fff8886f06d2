"""The page of a scan: one self-contained file, no network, every value escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envpin.report.template import page

if TYPE_CHECKING:
    from collections.abc import Mapping

# A browser lays out a table of some thousand rows well enough; the document that `--json` prints has all of them.
ROWS = 2000


def render(document: Mapping[str, Any]) -> str:
    """The page as text. `document` is what `scan --json` prints."""
    entries = document["entries"]
    return page("scan.html", scan=document, entries=entries[:ROWS], left_out=max(0, len(entries) - ROWS))
