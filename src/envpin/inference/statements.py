"""Versions that a card states, in the words of programs and of people. Pure: text in, signals out.

Trainers write `- PEFT 0.11.1`; people `* **PEFT**: >=0.11`, `- PEFT 0.11+`, `| transformers | 4.44.2 |`,
`- PEFT 版本：0.12.0`, `pip install peft==0.12.0`. What is no version, no bound and no range states nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from envpin.inference.combine import Signal
from envpin.inference.pinned import mentioned_pins
from envpin.inference.versions import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.inference.combine import Strength
    from envpin.inference.versions import Known

_PACKAGES = {"peft": "peft", "transformers": "transformers", "pytorch": "torch", "torch": "torch",
             "tokenizers": "tokenizers", "trl": "trl"}  # fmt: skip
# A line that begins with a package: bullets of any kind, numbers, cells of a table, bold, code, a link.
_LINE = re.compile(
    r"^[ \t]*(?P<bullet>(?:[-*+•·–][ \t]+|\d{1,2}[.)][ \t]+)?)(?P<cell>\|?)[ \t]*[*`_\[]{0,4}"
    r"(?P<word>PEFT|Transformers|PyTorch|Torch|Tokenizers|TRL)[*`_]{0,3}(?:\]\([^()\n]{1,200}\))?[*`_]{0,3}"
    r"[ \t]*(?:version|版本)?[ \t]*[*`_]{0,3}[ \t]*[:：=|]?[*`_]{0,3}[ \t]*(?P<rest>[^\n]{1,120})$",
    re.MULTILINE | re.IGNORECASE,
)
_VERSION = r"v?(\d[\w.]*(?:[+@-]\w[\w.]*)?(?:\.[*x])?)"
_PLAIN = re.compile(rf"(?:===?[ \t]*)?{_VERSION}(?:[ \t]+\([^()]*\))?")
_FLOOR = re.compile(
    rf"(?:(?P<sign>>=?|≥|at least|minimum|min\.?)[ \t]*)?{_VERSION}"
    r"(?P<open>[ \t]*\+|[ \t]*(?:or|and)[ \t]+(?:newer|later|higher|above|up)|[ \t]*(?:及以上|以上|或更高))?",
    re.IGNORECASE,
)
_RANGE = re.compile(rf"{_VERSION}[ \t]*(?:[-–~至]|to)[ \t]*{_VERSION}", re.IGNORECASE)
_BOUND = r"(?:[<>!~=]=?|===)[ \t]*[\w.*+-]{1,40}"
_BOUNDS = re.compile(rf"{_BOUND}(?:[ \t]*,[ \t]*{_BOUND}){{0,4}}")
# What a web page gives for a space, and the tags that begin or end a line or a cell of it.
_SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u202f\u3000"), " ")
_BLOCK = re.compile(r"</?(?:li|ul|ol|p|br|tr|div|h[1-6])\b[^<>\n]{0,80}>", re.IGNORECASE)
_CELL = re.compile(r"</t[dh]>[ \t]*<t[dh]\b[^<>\n]{0,80}>|</?t[dh]\b[^<>\n]{0,80}>", re.IGNORECASE)
# exact: one release; series: `0.11`, `0.11.x`; bounds: `>=0.11`, `~=0.11.0`, which is a reader's and no record.
Manner = Literal["exact", "series", "bounds"]


class CardStatement(NamedTuple):
    """What a card says of one package: a version, a series, or a set of specifiers. `by_hand`: no program writes so."""

    manner: Manner
    version: str
    by_hand: bool = False


def card_statements(card: str) -> dict[str, CardStatement]:
    """Package to what a card says of its version: the last exact one, where there is none the last of the others."""
    found: dict[str, CardStatement] = {}
    card = _CELL.sub(" | ", _BLOCK.sub("\n", card.translate(_SPACES)))
    for line in _LINE.finditer(card):
        package = _PACKAGES[line["word"].lower()]
        said = _read(line["rest"], by_hand=bool(line["cell"] or not line["bullet"]))
        if said is not None and _outranks(said, found.get(package)):
            found[package] = said
    for package, version in mentioned_pins(card):
        said = CardStatement("exact", version, by_hand=True)
        if _outranks(said, found.get(package)):
            found[package] = said
    return found


def _outranks(said: CardStatement, other: CardStatement | None) -> bool:
    """Whether it replaces what stands before it: what programs write over what people do, exact ones over bounds."""
    return other is None or (said.manner == "exact", not said.by_hand) >= (other.manner == "exact", not other.by_hand)


def _read(rest: str, *, by_hand: bool) -> CardStatement | None:
    text = rest.strip(" \t`_|").removeprefix("**").removesuffix("**").strip(" `")
    if text[:1] in {"(", "（"} and text[-1:] in {")", "）"}:
        text = text[1:-1].strip()
    if (plain := _PLAIN.fullmatch(text)) is not None:
        series = re.fullmatch(r"(\d+(?:\.\d+)+)\.[x*]", plain[1])
        if series or parse(plain[1]) is None or "." not in plain[1]:
            return CardStatement("series", series[1], by_hand) if series else _between(text)
        return CardStatement("exact", plain[1], by_hand)
    if (floor := _FLOOR.fullmatch(text)) is not None and (floor["sign"] or floor["open"]):
        sign = ">" if floor["sign"] == ">" else ">="
        version = re.sub(r"\.[x*]$", "", floor[2])
        return CardStatement("bounds", f"{sign}{version}", by_hand=True) if parse(version) is not None else None
    if _BOUNDS.fullmatch(text):
        return CardStatement("bounds", text.replace(" ", ""), by_hand=True)
    return _between(text)


def _between(text: str) -> CardStatement | None:
    """`4.40 - 4.44`, `0.11 to 0.12`: the last series is meant as a whole."""
    found = _RANGE.fullmatch(text)
    if found is None or (first := parse(found[1])) is None or (last := parse(found[2])) is None or last < first:
        return None
    past = ".".join(map(str, (*last.release[:-1], last.release[-1] + 1)))
    return CardStatement("bounds", f">={found[1]},<{past}", by_hand=True)


def card_signals(file: str, card: str, package: str, known: Known) -> Iterator[Signal]:
    """What a card says of one package."""
    said = card_statements(card).get(package)
    if said is None:
        return
    strength: Strength = "weak" if said.by_hand else "strong"
    if said.manner == "exact":
        signal = stated_signal(package, said.version, file, known, strength=strength)
        if signal.admits or not said.by_hand:
            yield signal
        return
    wanted = f"=={said.version}.*" if said.manner == "series" else said.version
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
    return Signal(
        package=package, strength=strength, file=file, says=says, admits=admits, stated=True, version=version.strip()
    )  # fmt: skip
