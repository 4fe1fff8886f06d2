"""Which Python a run had, and which one fits pins: a version is its series (`3.11`). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.version import Version

from envpin.inference.versions import Known, allows

if TYPE_CHECKING:
    from envpin.inference.combine import Range

PYTHON = "python"
# `3.11.9`; W&B has written `CPython 3.11.9` since its core is Go.
_VERSION = re.compile(r"(?:C?Python[ \t]+|python-)?(3\.\d{1,2})(?:\.\d[\w.+]*|\.\*)?", re.IGNORECASE)
# Of each Python the first and the last release of torch with wheels of it on PyPI, as uv resolved them on 2026-11-30.
_TORCH = {
    "3.8": ("1.4", "2.4.1"), "3.9": ("1.8", "2.8.0"), "3.10": ("1.11", "2.14.1"), "3.11": ("1.13", None),
    "3.12": ("2.2.0", None), "3.13": ("2.5.0", None), "3.14": ("2.9.0", None),
}  # fmt: skip
PYTHONS = Known(package=PYTHON, versions=tuple(_TORCH), dates={})


def series_of(text: str) -> str | None:
    """`3.11` of `3.11.9`; None for what names no CPython."""
    found = _VERSION.fullmatch(text.strip()[:60])
    return found[1] if found else None


def has_torch(python: str, torch: str) -> bool:
    """Whether that torch has wheels for that Python."""
    first, last = _TORCH.get(python, ("0", None))
    release = Version(torch)
    return release >= Version(first) and (last is None or release <= Version(last))


def stated_python(found: Range | None, wanted: str | None) -> str | None:
    """The newest Python that the files name and that transformers' own requirement `wanted` lets in."""
    if found is None:
        return None
    named = found.versions if found.known else tuple(one for one in found.versions if one in found.hinted)
    fitting = [one for one in named if not wanted or allows(wanted, f"{one}.99")]
    return fitting[-1] if fitting else None
