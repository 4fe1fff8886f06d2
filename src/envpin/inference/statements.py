"""Versions that a card states, in the words of programs and of people. Pure: text in, signals out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from envpin.inference.combine import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.inference.combine import Strength
    from envpin.inference.versions import Known

# Trainers write `- PEFT 0.11.1`; people `* **PEFT**: >=0.11`, `- PEFT 0.11+`, `- PEFT version: v0.11 or newer`.
_LINE = re.compile(
    r"^[ \t]*[-*][ \t]+\**(?P<word>PEFT|Transformers|Py[Tt]orch|Torch|Tokenizers)\**(?:[ \t]+version)?:?\**:?[ \t]*"
    r"(?P<at_least>>=|≥)?(?:==|~=)?[ \t]*`?v?(?P<version>\d[\w.+@*-]{0,60}?)`?(?P<open>\+|[ \t]+(?:or|and)[ \t]+"
    r"(?:newer|later|higher|above|up))?[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_PACKAGES = {"peft": "peft", "transformers": "transformers", "pytorch": "torch", "torch": "torch",
             "tokenizers": "tokenizers"}  # fmt: skip
# exact: one release; series: `0.11`, `0.11.x`; at least: `0.11+`, `>=0.11`, which is a reader's floor and no record.
Manner = Literal["exact", "series", "at least"]


def card_statements(card: str) -> dict[str, tuple[Manner, str]]:
    """Package to what a card says of its version: the last exact one, where there is none the last of the others."""
    found: dict[str, tuple[Manner, str]] = {}
    for line in _LINE.finditer(card):
        package = _PACKAGES[line["word"].lower()]
        manner, version = _read(line["version"], floor=bool(line["at_least"] or line["open"]))
        if package not in found or manner == "exact" or found[package][0] != "exact":
            found[package] = (manner, version)
    return found


def _read(version: str, *, floor: bool) -> tuple[Manner, str]:
    series = re.fullmatch(r"(\d+(?:\.\d+)*)\.[x*]", version)
    if floor:
        return "at least", series[1] if series else version
    return ("series", series[1]) if series else ("exact", version)


def card_signals(file: str, card: str, package: str, known: Known) -> Iterator[Signal]:
    """What a card says of one package."""
    said = card_statements(card).get(package)
    if said is None:
        return
    manner, version = said
    if manner == "exact":
        yield stated_signal(package, version, file, known)
        return
    wanted = f">={version}" if manner == "at least" else f"=={version}.*"
    strength: Strength = "weak" if manner == "at least" else "strong"
    admits = known.within(wanted)
    if admits and len(admits) < len(known.versions):
        yield Signal(package=package, strength=strength, file=file, says=f"{package} {wanted}", admits=admits)


def stated_signal(
    package: str, version: str, file: str, known: Known, *, strength: Strength = "strong", word: str | None = None
) -> Signal:
    """A version that a file names outright; it admits nothing where no such release is known."""
    admits = known.stated(version.strip())
    says = f"{word or package} {version.strip()[:60]}"
    if not admits:
        says += ", which is no release that is known"
    return Signal(package=package, strength=strength, file=file, says=says, admits=admits, stated=True)
