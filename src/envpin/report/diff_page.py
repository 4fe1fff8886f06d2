"""The page of a comparison, from the document that `envpin diff A B --json` prints. Self-contained."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from envpin.core.errors import InputError
from envpin.core.typed_json import NOT_OF_ITS_SHAPE
from envpin.diagnose.diff import SECTIONS, Change
from envpin.diagnose.fold import FoldedChange, fold
from envpin.report.template import MARK, page
from envpin.version import __version__

ROWS = 500


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    section: str
    what: str
    before: str | None = None
    after: str | None = None
    note: str = ""


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    changes: tuple[_Row, ...]
    before: str = "before"
    after: str = "after"
    not_compared: str | None = None


class SectionOfChanges(NamedTuple):
    """Differences of one section, patterns folded; `number` of them before folding, `left_out` patterns not shown."""

    title: str
    rows: tuple[FoldedChange, ...]
    number: int
    left_out: int


def render_diff(data: bytes, *, path: str) -> str:
    """The page as text.

    Raises:
        InputError: `data` is not what `envpin diff --json` prints.
    """
    try:
        read = msgspec.json.decode(data, type=_Document)
    except NOT_OF_ITS_SHAPE as error:
        raise InputError(f"`{path}` is not what `envpin diff A B --json` prints: {error}", path=path) from error
    changes = [Change(one.section, one.what, one.before, one.after, one.note) for one in read.changes]
    found = []
    for name in [*SECTIONS, *sorted({one.section for one in changes} - set(SECTIONS))]:
        own = [one for one in changes if one.section == name]
        folded = fold(own)
        if own:
            found.append(SectionOfChanges(name, tuple(folded[:ROWS]), len(own), max(0, len(folded) - ROWS)))
    return page("diff.html", read=read, sections=found, generator=f"{MARK} {__version__}")
