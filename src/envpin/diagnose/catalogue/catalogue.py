"""The causes that envpin can name: one entry per code, in the words of the docs page that is made from them.

The entries are in the TOML files of this folder. `docs/reference/findings.md` is written by `scripts/findings_page.py`;
a test compares the two.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.core.command_text import command_text
from envpin.core.errors import InputError
from envpin.core.findings import Evidence, Finding, Severity
from envpin.core.typed_json import NOT_OF_ITS_SHAPE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = Path(__file__).parent
# The order of the page: what is asked about most comes first.
_FILES = ("weights", "files", "versions", "running", "determinism")


class Cause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`fix` are steps in order; `{adapter}`, `{base}` and `{model}` in them are filled where they are known."""

    severity: Severity
    meaning: str
    detected: str
    fix: tuple[str, ...]


class CauseGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: `causes` by their code."""

    title: str
    causes: dict[str, Cause]


@cache
def load_groups() -> tuple[CauseGroup, ...]:
    """The groups in the order of the page."""
    return tuple(read_group(FOLDER / f"{name}.toml") for name in _FILES)


def read_group(path: Path) -> CauseGroup:
    """One file of the catalogue.

    Raises:
        InputError: it is not TOML, or breaks the schema.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=CauseGroup)
    except NOT_OF_ITS_SHAPE as error:
        raise InputError(f"`{path.name}` is not a file of the catalogue: {error}", path=path) from error


@cache
def load_catalogue() -> Mapping[str, Cause]:
    """Every cause by its code."""
    return {code: cause for group in load_groups() for code, cause in group.causes.items()}


def finding(
    code: str,
    message: str,
    evidence: Iterable[Evidence] = (),
    *,
    severity: Severity | None = None,
    fix: Iterable[str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Finding:
    """A finding of this code, with the catalogue's severity and fix unless others are given.

    `names` fill the catalogue's fix (`{adapter}`, `{base}`).
    """
    cause = load_catalogue()[code]
    known = {name: command_text(value) for name, value in (names or {}).items()}
    values = _Names({"adapter": "ADAPTER", "base": "BASE", "model": "MODEL"} | known)
    steps = tuple(fix) if fix is not None else tuple(step.format_map(values) for step in cause.fix)
    return Finding(code=code, severity=severity or cause.severity, message=message, evidence=tuple(evidence), fix=steps)


class _Names(dict[str, str]):
    """Names that are not known stand for themselves, in capitals."""

    def __missing__(self, key: str) -> str:
        return key.upper()


def findings_page() -> str:
    """The text of docs/reference/findings.md."""
    lines = [
        "# Findings",
        "",
        "`check`, `diagnose`, `replay` and `scan` name causes by these codes. A **blocker** stops a merge or a load; a",
        "**warning** does not, but the result may not be what was meant; an **info** is worth knowing.",
        "",
        "This page is made from `src/envpin/diagnose/catalogue/*.toml` by `scripts/findings_page.py`.",
    ]
    for group in load_groups():
        lines += ["", f"## {group.title}"]
        for code, cause in group.causes.items():
            lines += [
                "",
                f"### `{code}`",
                "",
                f"*{cause.severity}.* {cause.meaning}",
                "",
                f"- Detected by: {cause.detected}",
                f"- Fix: {cause.fix[0]}" if len(cause.fix) == 1 else "- Fix:",
                *([] if len(cause.fix) == 1 else [f"  {at}. {step}" for at, step in enumerate(cause.fix, 1)]),
            ]
    return "\n".join(lines) + "\n"
