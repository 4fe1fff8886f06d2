"""How errors announce themselves in logs: the form of the files in this folder, read and checked.

A new wording is an entry in one of these files, chosen by what it is about; its `sample` is its test. What runs reads
`packed.json`, which `scripts/collect_known.py` makes of them: reading TOML takes longer than most logs.
"""

from __future__ import annotations

import re
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.core.errors import InputError
from envpin.core.findings import Severity  # noqa: TC001  msgspec reads the annotations
from envpin.core.typed_json import NOT_OF_ITS_SHAPE
from envpin.matrix.fields import load_fields
from envpin.matrix.support import load_support

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parent
# A shorter literal stands in too many lines.
_TELLING = 8
# A backtick of a pattern that nothing makes optional; sets of characters and what is escaped stay as they are.
_BACKTICK = re.compile(r"(?P<other>\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|`[?*{])|`")


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line that holds `anchor` and matches `pattern` speaks of `code`.

    `anchor` is a literal that a search over raw bytes finds fast. `sample` is a real line, `source` where it was read.
    `after` names a text that one of the ten lines before has to hold, where the line alone is too common; `unless` is a
    pattern, and `unless_after` a text in the ten lines before, that speaks against it. `near` is a pattern that the
    lines around have to match, where other fields have such lines as well; `in_field` is for lines that any program
    prints: they count where something else in the log is of this field. `severity` differs from the catalogue's for
    lines that only warn. `wraps` is for a line that says less than what it passes on: it is left out where another line
    of the same code was found. `says` and `fix` are this wording's own words, where the catalogue's are too wide;
    `{name}` in them is what the pattern's group of that name holds. `around` names what reads the lines
    around, of those in ../context/following.py, where they say more than this one. `of_the_hub` is for what is said of
    the Hub alone: many a program goes on without it, and stops at something else. In a pattern, FIELDS stands for the
    names of peft's configuration fields, MODEL_TYPES for the model types that transformers ever knew, REMOVED_TYPES for
    those that it no longer knows, PEFT_METHODS for peft's, and the names of `[words]` for what they are given there.
    """

    code: str
    anchor: str
    pattern: str
    sample: str
    source: str
    after: str | None = None
    severity: Severity | None = None
    wraps: bool = False
    unless: str | None = None
    unless_after: str | None = None
    near: str | None = None
    in_field: bool = False
    says: str | None = None
    fix: tuple[str, ...] = ()
    around: str | None = None
    of_the_hub: bool = False


class SignatureFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: signatures of one kind. `words` are parts of patterns by name, for the patterns of every file."""

    signature: tuple[Signature, ...]
    words: dict[str, str] = {}


class Matcher:
    """One signature; its patterns are compiled when its anchor is first met: all of them take longer than most logs."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(_spelled_out(self.signature.pattern))

    @cached_property
    def unless(self) -> re.Pattern[str] | None:
        return None if self.signature.unless is None else re.compile(_spelled_out(self.signature.unless))

    @cached_property
    def near(self) -> re.Pattern[str] | None:
        return None if self.signature.near is None else re.compile(_spelled_out(self.signature.near))


@cache
def load_signatures() -> tuple[Signature, ...]:
    """Every signature that travels with envpin, by file and in the order of each."""
    return tuple(signature for file in _files().values() for signature in file.signature)


@cache
def matchers(signatures: tuple[Signature, ...] | None = None) -> Mapping[bytes, tuple[Matcher, ...]]:
    """These signatures, or all of them, by their anchor."""
    by_anchor: dict[bytes, list[Matcher]] = {}
    for one in load_signatures() if signatures is None else signatures:
        by_anchor.setdefault(_searched(one.anchor).encode(), []).append(Matcher(one))
    return {anchor: tuple(some) for anchor, some in by_anchor.items()}


@cache
def _files() -> Mapping[str, SignatureFile]:
    return msgspec.json.decode((FOLDER / "packed.json").read_bytes(), type=dict[str, SignatureFile])


def read_folder() -> Mapping[str, SignatureFile]:
    """Every file of signatures by its name, as it was written.

    Raises:
        InputError: one is not TOML, or breaks the schema.
    """
    return {path.stem: read_signatures(path) for path in sorted(FOLDER.glob("*.toml"))}


def read_signatures(path: Path) -> SignatureFile:
    """One file of signatures.

    Raises:
        InputError: it is not TOML, or breaks the schema.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=SignatureFile)
    except NOT_OF_ITS_SHAPE as error:
        raise InputError(f"`{path.name}` is not a file of signatures: {error}", path=path) from error


def _searched(anchor: str) -> str:
    """The longest part of an anchor that has no backtick: a page that shows a message as Markdown takes them away."""
    longest = max(anchor.split("`"), key=len)
    return longest if len(longest) >= _TELLING else anchor


def _spelled_out(pattern: str) -> str:
    pattern = _BACKTICK.sub(lambda found: found["other"] or "`?", pattern)
    if any(name in pattern for name in _names()):
        for name, words in _words().items():
            pattern = pattern.replace(name, words)
    return pattern


@cache
def _names() -> tuple[str, ...]:
    """The names in patterns, known without the tables that some of them stand for."""
    own = (name for file in _files().values() for name in file.words)
    return ("REMOVED_TYPES", "MODEL_TYPES", "PEFT_METHODS", "FIELDS", *own)


@cache
def _words() -> Mapping[str, str]:
    """What the names in patterns stand for. REMOVED_TYPES and MODEL_TYPES are no part of each other."""
    support = load_support()
    removed = (
        one for one in support.model_types if (window := support.window(one)) is not None and window[1] is not None
    )
    return {
        "REMOVED_TYPES": "|".join(map(re.escape, sorted(removed))),
        "MODEL_TYPES": "|".join(map(re.escape, sorted(support.model_types))),
        "PEFT_METHODS": "|".join(sorted(load_fields().packages["peft"].classes)),
        "FIELDS": "|".join(sorted(load_fields().first_releases())),
        **{name: words for file in _files().values() for name, words in file.words.items()},
    }
