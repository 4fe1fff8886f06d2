"""Which family is this model? Pure: a config and a name in, a family with its reasons out. Never raises on any JSON.

The config decides, the name only breaks ties: anybody may call a folder anything. Of the families whose signs all
hold, the one with the most signs wins. What the config cannot tell apart is said to be ambiguous.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from envpin.matrix.nearest import (
    architecture_type,
    era_pins,
    has_new_rope_spelling,
    nearest_family,
    own_release,
    proved_pins,
)
from envpin.matrix.signs import holds, release_of, shorten, value_at, wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envpin.matrix.support import Support
    from envpin.matrix.types import Family, Matrix

# exact: one family. ambiguous: the config fits several and nothing else decides; the family named is the likelier.
# nearest: the model is not in the matrix; pins come from what the index tells. unknown: nothing was recognised.
Certainty = Literal["exact", "ambiguous", "nearest", "unknown"]
# Names of models have under 100 characters; patterns are not run over more than a stranger's text of this length.
_NAME_LIMIT = 512
_ONLY_ITS_NAME = "its config is the same; only a name tells it apart"


class Considered(NamedTuple):
    """Another family, and why it is not this one."""

    family: str
    reason: str


class Match(NamedTuple):
    """The answer. `basis` says what it rests on; `window` is the first and last transformers that knows the type."""

    family: Family | None
    certainty: Certainty
    basis: Literal["config", "name", "none"]
    evidence: tuple[str, ...] = ()
    considered: tuple[Considered, ...] = ()
    alternatives: tuple[str, ...] = ()
    pins: Mapping[str, str] = MappingProxyType({})
    python: str | None = None
    exclude_newer: str | None = None
    model_type: str | None = None
    transformers_version: str | None = None
    window: tuple[str, str | None] | None = None

    @property
    def requirements(self) -> tuple[str, ...]:
        """The pins as requirement lines."""
        return tuple(f"{package}=={version}" for package, version in self.pins.items())


class _Question(NamedTuple):
    config: Mapping[str, object]
    kind: str
    name: str | None
    matrix: Matrix
    support: Support | None

    @property
    def window(self) -> tuple[str, str | None] | None:
        return self.support.window(self.kind) if self.support else None


class _Candidate(NamedTuple):
    family: Family
    missing: tuple[str, ...]
    named: int
    decided: tuple[str, ...]
    supporting: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, int, int, int]:
        return (len(self.family.match.require), int(self.named > 0), int(bool(self.decided)), len(self.supporting))


def match(
    config: Mapping[str, object] | None, name: str | None, matrix: Matrix, support: Support | None = None
) -> Match:
    """The family of the model with this config.json and this name (a Hub id or a folder name); either may be None.

    With `support`, a model that the matrix does not list gets versions from what the index tells about its type.
    """
    name = name[:_NAME_LIMIT] if isinstance(name, str) and name.strip() else None
    usable = config if isinstance(config, dict) and config else None
    kind, how = _model_type(usable)
    if usable is None or kind is None:
        return _by_name(name, matrix, support, empty=config is not None)
    candidates = [
        _examine(family, usable, name)
        for family in matrix.families.values()
        if kind in family.match.model_type or how in family.match.architectures
    ]
    typed = f"`model_type` is `{shorten(kind)}`" if how is None else f"no `model_type`; the architecture is `{how}`"
    question = _Question(config=usable, kind=kind, name=name, matrix=matrix, support=support)
    evidence = [typed, *_other_name(name, candidates, matrix)]
    if all(one.missing for one in candidates):
        return _not_listed(question, candidates, evidence)
    return _choose(question, candidates, evidence)


def _model_type(config: Mapping[str, object] | None) -> tuple[str | None, str | None]:
    """The model type, and the architecture that it was guessed from, if it was."""
    if config is None:
        return None, None
    kind = config.get("model_type")
    if isinstance(kind, str) and kind.strip():
        return kind.strip(), None
    architectures = config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else None
    if isinstance(first, str) and first.isidentifier():
        return architecture_type(first), first
    return None, None


def _examine(family: Family, config: Mapping[str, object], name: str | None) -> _Candidate:
    recognition = family.match
    missing = [
        f"`{sign.path}` is {shorten(value_at(config, sign.path))}, not {wanted(sign)}"
        for sign in recognition.require
        if not holds(sign, config)
    ]
    named = name_match(family, name)
    if not missing and recognition.only_by_name and not named:
        missing.append(_ONLY_ITS_NAME)
    decided, supporting = (
        tuple(f"`{sign.path}` is {shorten(value_at(config, sign.path))}" for sign in signs if holds(sign, config))
        for signs in (recognition.decisive, recognition.support)
    )
    return _Candidate(family=family, missing=tuple(missing), named=named, decided=decided, supporting=supporting)


def _choose(question: _Question, candidates: Sequence[_Candidate], evidence: list[str]) -> Match:
    config, name = question.config, question.name
    fitting = [one for one in candidates if not one.missing]
    best = max(fitting, key=lambda one: one.rank)
    family = best.family
    evidence += [f"`{sign.path}` is {shorten(value_at(config, sign.path))}" for sign in family.match.require]
    evidence += [*best.decided, *best.supporting]
    if best.named:
        evidence.append(f"the name `{shorten(name)}` is one of its names")
    equals, copies = ([], []) if best.named else _rivals(best, fitting, candidates)
    considered = [Considered(family=one.family.id, reason=_why_not(one, best)) for one in candidates if one is not best]
    pins, python, newer = family.pins, family.python, family.exclude_newer
    if has_new_rope_spelling(config) and (release_of(pins.get("transformers")) or (5,)) < (5,):
        evidence.append("transformers 5 wrote `rope_parameters`; 4 would silently read rope_theta as 10000")
        own = _own_version(config)
        release, _ = own_release(question.kind, own if (release_of(own) or ()) >= (5,) else "5.0.0", question.support)
        pins, python, newer = (era_pins(release, question.support) if release else None) or ({}, None, None)
    own = _own_version(config)
    if family.kind == "remote-code" and not pins and own is not None and question.support is not None:
        release, _ = own_release(question.kind, own, question.support)
        evidence.append(f"`transformers_version` is {shorten(own)}: what its own code was saved with")
        pins, python, newer = (era_pins(release, question.support) if release else None) or (pins, python, newer)
    return Match(
        family=family,
        certainty="ambiguous" if equals else "exact",
        basis="config",
        evidence=tuple(dict.fromkeys(evidence)),
        considered=tuple(considered),
        alternatives=(*equals, *copies),
        pins=pins,
        python=python,
        exclude_newer=newer,
        model_type=question.kind,
        transformers_version=_own_version(config),
        window=question.window,
    )


def _rivals(
    best: _Candidate, fitting: Sequence[_Candidate], candidates: Sequence[_Candidate]
) -> tuple[list[str], list[str]]:
    """Families that this config could be as well: those it does not decide between, and those only a name tells."""
    signs = len(best.family.match.require)
    equals = [
        one.family.id for one in fitting
        if one is not best and not best.decided and len(one.family.match.require) == signs
    ]  # fmt: skip
    copies = [
        one.family.id for one in candidates
        if one.missing == (_ONLY_ITS_NAME,) and len(one.family.match.require) == signs
    ]  # fmt: skip
    return equals, copies


def _why_not(one: _Candidate, best: _Candidate) -> str:
    if one.missing:
        return "; ".join(one.missing)
    if len(one.family.match.require) < len(best.family.match.require):
        return "fits too, but says less"
    if best.named and not one.named:
        return "fits too; the name decides"
    return "fits too; fewer of its weaker signs hold"


def _not_listed(question: _Question, candidates: Sequence[_Candidate], evidence: list[str]) -> Match:
    """No family fits: the nearest one as a hint, versions from the config itself and from the index."""
    config, kind, support = question.config, question.kind, question.support
    closest = (
        min(candidates, key=lambda one: len(one.missing)).family
        if candidates
        else nearest_family(kind, question.matrix)
    )
    if candidates:
        evidence.append("no family of this type fits all its signs")
    else:
        evidence.append(f"no family of the matrix has the type `{shorten(kind)}`")
    own = _own_version(config)
    if own is not None:
        evidence.append(f"`transformers_version` is {shorten(own)}: what saved this config")
    release, why = own_release(kind, own, support)
    evidence += why
    era = era_pins(release, support) if release else None
    if era and support and "peft" not in era[0]:
        evidence.append(f"there was no peft yet beside transformers {release}: the oldest known-good pins instead")
        era = proved_pins(kind, question.matrix, support) or era
    lent = (closest.pins, closest.python, closest.exclude_newer) if closest else ({}, None, None)
    pins, python, newer = era or lent
    if release and era is None:
        pins = {**pins, "transformers": release}
    known = closest is not None or bool(support and support.window(kind))
    return Match(
        family=closest,
        certainty="nearest" if known or release else "unknown",
        basis="config",
        evidence=tuple(dict.fromkeys(evidence)),
        considered=tuple(Considered(family=one.family.id, reason="; ".join(one.missing)) for one in candidates),
        pins=pins,
        python=python,
        exclude_newer=newer,
        model_type=kind,
        transformers_version=own,
        window=question.window,
    )


def _by_name(name: str | None, matrix: Matrix, support: Support | None, *, empty: bool) -> Match:
    """Without a config that says its type, the name is all there is."""
    evidence = ["the config says no type"] if empty else []
    if name is None:
        return Match(family=None, certainty="unknown", basis="none", evidence=(*evidence, "there is no name either"))
    if name in matrix.families:
        found = [matrix.families[name]]
        evidence.append(f"`{name}` is a family of the matrix")
    else:
        lengths = {family.id: name_match(family, name) for family in matrix.families.values()}
        longest = max(lengths.values(), default=0)
        found = [matrix.families[key] for key, length in lengths.items() if length == longest > 0]
        if not found:
            return Match(
                family=None, certainty="unknown", basis="none",
                evidence=(*evidence, f"the name `{shorten(name)}` is like none of the matrix"),
            )  # fmt: skip
        evidence.append(f"the name `{shorten(name)}` is like its names; no config was there to confirm it")
    family = found[0]
    kind = family.match.model_type[0] if family.match.model_type else None
    return Match(
        family=family,
        certainty="ambiguous" if len(found) > 1 else "exact",
        basis="name",
        evidence=tuple(evidence),
        alternatives=tuple(other.id for other in found[1:]),
        pins=family.pins,
        python=family.python,
        exclude_newer=family.exclude_newer,
        model_type=kind,
        window=support.window(kind) if support and kind else None,
    )


def name_match(family: Family, name: str | None) -> int:
    """How many letters of the name the family's best pattern covers; 0 for none."""
    if name is None or not family.match.names:
        return 0
    lowered = name.lower()
    longest = 0
    for pattern, literal in zip(family.match.names, family.match.literals, strict=True):
        # Compiling a pattern costs a hundred times what this test does, and most families are of other names.
        if literal in lowered and (found := re.search(pattern, lowered)):
            longest = max(longest, len(found[0]))
    return longest


def _other_name(name: str | None, candidates: Sequence[_Candidate], matrix: Matrix) -> list[str]:
    """A warning where the name points to a family that the config rules out."""
    if name is None or any(one.named for one in candidates):
        return []
    lengths = {family.id: name_match(family, name) for family in matrix.families.values()}
    best = max(lengths, key=lambda key: lengths[key], default=None)
    if best is None or not lengths[best]:
        return []
    return [f"the name `{shorten(name)}` looks like {matrix.families[best].title}, but the config decides"]


def _own_version(config: Mapping[str, object]) -> str | None:
    version = config.get("transformers_version")
    return version if isinstance(version, str) and version.strip() else None
