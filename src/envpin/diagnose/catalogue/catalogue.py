"""The causes that envpin can name: one entry per code, in the words of the docs page that is made from them.

`docs/reference/findings.md` is written by `scripts/findings_page.py`; a test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envpin.core.findings import Evidence, Finding
from envpin.diagnose.catalogue.files import FILES
from envpin.diagnose.catalogue.versions import VERSIONS
from envpin.diagnose.catalogue.weights import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.core.findings import Severity
    from envpin.diagnose.catalogue.cause import Cause


class Group(NamedTuple):
    title: str
    causes: tuple[Cause, ...]


GROUPS: tuple[Group, ...] = (
    Group("Weights: shapes, names, vocabulary, quantization", WEIGHTS),
    Group("Files and folders", FILES),
    Group("Versions and environment", VERSIONS),
)
CATALOGUE: Mapping[str, Cause] = {cause.code: cause for group in GROUPS for cause in group.causes}


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
    cause = CATALOGUE[code]
    values = _Names({"adapter": "ADAPTER", "base": "BASE", "model": "MODEL"} | dict(names or {}))
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
        "This page is made from `src/envpin/diagnose/catalogue/catalogue.py` by `scripts/findings_page.py`.",
    ]
    for group in GROUPS:
        lines += ["", f"## {group.title}"]
        for cause in group.causes:
            lines += [
                "",
                f"### `{cause.code}`",
                "",
                f"*{cause.severity}.* {cause.meaning}",
                "",
                f"- Detected by: {cause.detected}",
                f"- Fix: {cause.fix[0]}" if len(cause.fix) == 1 else "- Fix:",
                *([] if len(cause.fix) == 1 else [f"  {at}. {step}" for at, step in enumerate(cause.fix, 1)]),
            ]
    return "\n".join(lines) + "\n"
