"""What an error that nothing else explains is most like: a vote of the known errors nearest to it. Pure but for
collected data.

`known.json` was written by `scripts/collect_known.py`: errors of public trackers that a person judged, and the samples
of the signatures, each as the features by which two errors are compared. A vote is a guess: the answer says so, shows
the nearest error and where it was seen, and there is none where the votes are split or nothing is near.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from envpin.diagnose.logs.context.callers import is_of_transformers
from envpin.diagnose.logs.facts.collected import read_collected
from envpin.diagnose.logs.facts.model_types import model_type_of
from envpin.diagnose.logs.facts.releases import BLAMES, release_words
from envpin.diagnose.logs.facts.roles import OF_THE_FIELD
from envpin.diagnose.logs.facts.symbols import owner_of, used_in_scripts
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of, known_libraries, of_the_stack, shown_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from envpin.diagnose.logs.text.frames import Frame

# Measured over all judged sets, each without what its own threads gave (benchmarks/wild_logs.py --held-out): of 18
# guesses 13 are right. With less agreement, each guess more was as often wrong as right.
VOTERS = 12
POWER = 2
_AGREEMENT, _NEAR = 0.5, 0.2
_STRONG_AGREEMENT, _VERY_NEAR, _THE_SAME = 0.75, 0.4, 0.9
# No error tells more than its beginning does, and of the lines around it the last ones.
_READ = 1_500
_LINES_AROUND = 14
_WORDS_AROUND = 40
_ERROR = re.compile(r"([A-Z]\w*(?:Error|Exception))\b")
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*|\d+\.\d+")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SHOWN = 140
# Where the facts about names are silent, every release has the name.
_TOLD_BY_FACTS = re.compile(r"annot import name '\w+' from 'transformers'")
# Libraries whose names are words of other fields as well.
_PLAIN_WORDS = frozenset({"swift", "evaluate", "lightning", "outlines", "triton", "fla", "awq"})
# What loggers put before each line says nothing of the error.
_PREFIX = re.compile(
    r"(?m)^(?:\[rank\d+\]:|\([^()\n]*pid=\d+\)|(?:ERROR|WARNING|INFO) \d\d-\d\d [\d:]+ \[[^\]\n]*\]|\s)+"
)


class _Text(NamedTuple):
    """One known error; `length` is that of all its features."""

    code: str
    source: str
    line: str
    length: float


class _File(msgspec.Struct, frozen=True):
    """`having` are for each of the features the texts that have it."""

    features: str
    having: tuple[tuple[int, ...], ...]
    texts: tuple[_Text, ...]


class Vote(NamedTuple):
    """The cause for which the nearest errors vote, with what `share`; `line` is the nearest one of that cause."""

    code: str
    share: float
    likeness: float
    line: str
    source: str


def features_of(text: str) -> set[str]:
    """What an error and the lines around it are compared by: its words, pairs and parts of them, the packages whose
    names it holds, and the library, function and file of its frames."""
    lines = [one for one in _PREFIX.sub("", text).split("\n") if one.strip()]
    errors = [one for one in lines if _ERROR.search(one)][-2:] or lines[-2:]
    said = " ".join(errors)[:_READ]
    found = _ERROR.search(said)
    exception = "none" if found is None else found[1]
    words = _WORD.findall(said)
    plain = [one.lower() for one in words]
    features = {f"exception {exception}", *plain, *(f"{one} {two}" for one, two in pairwise(plain))}
    for word in words:
        features.update(f"part {part.lower()}" for part in _PART.findall(word) if len(part) > 2)
        if (package := _package_of(word)) is not None:
            features |= {f"of {package}", f"of {package} {exception}"}
    for line in [one for one in lines if one not in errors][-_LINES_AROUND:]:
        features.update(f"near {word.lower()}" for word in _WORD.findall(line)[:_WORDS_AROUND])
    return features | set(_of_frames(of_the_stack(frames_of(text)), exception))


def _of_frames(frames: list[Frame], exception: str) -> Iterator[str]:
    if not frames:
        return
    deepest = frames[-1]
    yield from (f"in {deepest.library}", f"in {deepest.library} {exception}", f"function {deepest.function}")
    yield from (f"file {part}" for part in re.split(r"[/\\_.]", deepest.path))
    yield from (f"through {one.library}" for one in frames[:-1])


def _owner(word: str) -> str | None:
    """The package whose name a word is, or that defines it."""
    if word.lower() in known_libraries() - _PLAIN_WORDS:
        return shown_name(word.lower())
    return None if _ERROR.fullmatch(word) else owner_of(word)


def _package_of(word: str) -> str | None:
    """The same, and transformers for what is called as its classes are."""
    return _owner(word) or ("transformers" if word[:1].isupper() and is_of_transformers(word) else None)


def weight(texts: int, of: int) -> float:
    """What a feature tells that so many of the known texts have: the rarer it is, the more."""
    return math.log((1 + of) / texts)


def vote(features: Collection[str], without: Collection[str] = ()) -> Vote | None:
    """What the known errors nearest to these features say, but for those that were seen at the addresses `without`."""
    texts, having, numbers = _file().texts, _file().having, _numbers()
    own = [numbers[one] for one in features if one in numbers]
    if not own:
        return None
    weights = {one: weight(len(having[one]), len(texts)) for one in own}
    alone = weight(1, len(texts)) ** 2 * (len(features) - len(own))
    length = math.sqrt(sum(one**2 for one in weights.values()) + alone)
    likeness: dict[int, float] = defaultdict(float)
    for feature, weighs in weights.items():
        for at in having[feature]:
            likeness[at] += weighs**2 / length / texts[at].length
    voters = (at for at in likeness if texts[at].source not in without)
    nearest = [(at, likeness[at]) for at in sorted(voters, key=lambda at: -likeness[at])[:VOTERS]]
    if not nearest:
        return None
    votes: dict[str, float] = defaultdict(float)
    for at, like in nearest:
        votes[texts[at].code] += like**POWER
    first, like = nearest[0]
    if like >= _THE_SAME:
        return Vote(texts[first].code, 1.0, like, texts[first].line, texts[first].source)
    code, most = max(votes.items(), key=lambda one: one[1])
    at, like = next((at, like) for at, like in nearest if texts[at].code == code)
    return Vote(code, most / sum(votes.values()), like, texts[at].line, texts[at].source)


def explain_nearest(
    text: str, around: str = "", *, strong: bool = False, without: Collection[str] = ()
) -> Explained | None:
    """A guess at what an error says together with the lines of its traceback; `around` may state releases.

    None where the votes are split or agree that there is nothing to say, nothing is near, or the text does not speak of
    this field. `strong` guesses only where nearly all of what is near agrees.
    """
    if _TOLD_BY_FACTS.search(text) is not None or not _is_of_the_field(text):
        return None
    package = package_in(text)
    told = vote(features_of(text), without)
    if told is None or not told.code or not _agrees(told, strong=strong):
        return None
    line = told.line if len(told.line) <= _SHOWN else f"{told.line[:_SHOWN]}…"
    says = (
        f"a guess by likeness, as no rule knows this error: of the {VOTERS} known ones nearest to it "
        f"{told.share:.0%} by weight are of this cause; the nearest is `{line}`"
    )
    if told.code in BLAMES:
        released = release_words(package or BLAMES[told.code], f"{text}\n{around}")
        if released is None:
            return None
        says = f"{says}; {released}"
    return Explained(told.code, says, (f"read how the nearest one was resolved: {told.source}",))


def _agrees(told: Vote, *, strong: bool) -> bool:
    if strong:
        return told.share >= _STRONG_AGREEMENT and told.likeness >= _VERY_NEAR
    return told.share >= _AGREEMENT and told.likeness >= _NEAR


def _is_of_the_field(text: str) -> bool:
    """Whether an error speaks of this field: by its frames, by a name of a package, and where it has no frames by its
    words alone."""
    if of_the_stack(frames_of(text)):
        return True
    words = _words_of_errors(text)
    if 'File "' in text:
        owners = {word: _owner(word) for word in words}
        return any(
            used_in_scripts(owner) if owner is not None else model_type_of(word) is not None
            for word, owner in owners.items()
        )
    return OF_THE_FIELD.search(text) is not None or any(map(_package_of, words))


def package_in(text: str) -> str | None:
    """The package of this field of which an error speaks: that of its deepest frame, or whose names it holds."""
    frames = of_the_stack(frames_of(text))
    if frames:
        return shown_name(str(frames[-1].library))
    return next((package for word in _words_of_errors(text) if (package := _package_of(word))), None)


def _words_of_errors(text: str) -> list[str]:
    lines = text.strip().split("\n")
    errors = [one for one in lines if _ERROR.search(one)] or lines
    return [word for one in reversed(errors) for word in _WORD.findall(one)]


@cache
def _file() -> _File:
    return read_collected("known.json", _File, most=2_000_000)


@cache
def _numbers() -> Mapping[str, int]:
    return {feature: at for at, feature in enumerate(_file().features.split("\n"))}
