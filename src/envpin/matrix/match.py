"""Which family is this model? Pure: a config and a name in, a family with its reasons out. Never raises on any JSON.

The config decides, the name only breaks ties: anybody may call a folder anything. Of the families whose signs all
hold, the one with the most signs wins. What the config cannot tell apart is said to be ambiguous.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from envpin.matrix.architectures import architecture_type, foreign_class, squashed
from envpin.matrix.candidates import FamilyCandidate, examine, rivals, why_not
from envpin.matrix.conditions import Need, held_conditions, needs_of, pins_within
from envpin.matrix.names import name_match
from envpin.matrix.nearest import (
    era_pins,
    oldest_day,
    own_release,
    proved_pins,
)
from envpin.matrix.parts import method_floor, not_run, part_floors, risen, spelling_floors, with_floors, yarn_floor
from envpin.matrix.signs import shorten, value_at
from envpin.matrix.spelling import misread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envpin.matrix.parts import Floor
    from envpin.matrix.support import Support
    from envpin.matrix.types import Family, Kind, Matrix, Sign, TypeName

# exact: the config is that of one family. ambiguous: it fits several and nothing else decides; the family named is the
# likelier. by name: there was no config, and a name proves nothing. not listed: the model is of no family; pins come
# from what the index tells about its type. unknown: nothing was recognised, or no release knows the type.
Certainty = Literal["exact", "ambiguous", "by name", "not listed", "unknown"]
# Names of models have under 100 characters; patterns are not run over more than a stranger's text of this length.
_NAME_LIMIT = 512


class Considered(NamedTuple):
    """Another family, and why it is not this one."""

    family: str
    reason: str


class Match(NamedTuple):
    """The answer. `basis` says what it rests on; `window` is the first and last transformers that knows the type.

    `kind` is as that of a family, None where nothing was recognised; `notes` are the family's, or of a named type.
    """

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
    needs: tuple[Need, ...] = ()
    kind: Kind | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_one(self) -> bool:
        """Whether what it says holds for the model: by its config, or by a name that is of one family or type only."""
        return self.certainty in {"exact", "not listed"} or (self.certainty == "by name" and not self.alternatives)

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
    parts: tuple[Floor, ...] = ()
    fields: tuple[Floor, ...] = ()

    @property
    def floors(self) -> tuple[Floor, ...]:
        """What the parts of the config, the quantization of the weights and a yarn ask for."""
        return (*self.parts, *self.fields)

    @property
    def nowhere(self) -> list[str]:
        """What no collected release of transformers knows, said."""
        newest = self.support.newest() if self.support else ""
        return [f"no release up to {newest} {one.reason}" for one in self.floors if one.release is None]

    @property
    def window(self) -> tuple[str, str | None] | None:
        return self.support.window(self.kind) if self.support else None


def match(
    config: Mapping[str, object] | None, name: str | None, matrix: Matrix, support: Support | None = None
) -> Match:
    """The family of the model with this config.json and this name (a Hub id or a folder name); either may be None.

    With `support`, a model that the matrix does not list gets versions from what the index tells about its type.
    """
    name = name[:_NAME_LIMIT] if isinstance(name, str) and name.strip() else None
    usable = config if isinstance(config, dict) and config else None
    kind, how = _model_type(usable, support)
    if usable is not None and usable.keys() & {"_diffusers_version", "_class_name"} and "diffusers" in matrix.types:
        return _out_of_scope(matrix.types["diffusers"], "the config is that of a part of a diffusers model")
    if usable is None or kind is None:
        return _by_name(name, matrix, support, empty=config is not None)
    candidates = [
        examine(family, usable, name)
        for family in matrix.families.values()
        if kind in family.match.model_type or how in family.match.architectures
    ]
    typed = f"`model_type` is `{shorten(kind)}`" if how is None else f"no `model_type`; the architecture is `{how}`"
    parts = part_floors(kind, usable, support) if support is not None else ()
    asked = (method_floor(usable), yarn_floor(usable), *spelling_floors(usable)) if support is not None else ()
    fields = tuple(one for one in asked if one is not None)
    spelt = [f"transformers 5 wrote this config: releases before {one.release} {one.words}" for one in misread(usable)]
    question = _Question(
        config=usable, kind=kind, name=name, matrix=matrix, support=support, parts=parts, fields=fields
    )
    evidence = [typed, *_other_name(name, candidates, matrix), *question.nowhere, *spelt]
    if all(one.missing for one in candidates) or any(one.release is None for one in parts):
        return _not_listed(question, candidates, evidence)
    return _choose(question, candidates, evidence)


def _model_type(config: Mapping[str, object] | None, support: Support | None) -> tuple[str | None, str | None]:
    """The model type, and the architecture that it was guessed from, if it was."""
    if config is None:
        return None, None
    kind = config.get("model_type")
    if isinstance(kind, str) and kind.strip():
        return kind.strip(), None
    architectures = config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else None
    if isinstance(first, str) and first.isidentifier():
        return architecture_type(first, support.model_types if support else ()), first
    return None, None


def _choose(question: _Question, candidates: Sequence[FamilyCandidate], evidence: list[str]) -> Match:
    config, name = question.config, question.name
    fitting = [one for one in candidates if not one.missing]
    best = max(fitting, key=lambda one: one.rank)
    family = best.family
    evidence += [f"`{sign.path}` is {shorten(value_at(config, sign.path))}" for sign in family.match.require]
    evidence += [*best.decided, *best.supporting]
    if best.named:
        evidence.append(f"the name `{shorten(name)}` is one of its names")
    foreign = foreign_class(question.kind, config) if family.kind == "native" else None
    if foreign is not None:
        evidence.append(f"{foreign}: what was run of the family is no proof for it")
    equals, copies = ([], []) if best.named else rivals(best, fitting, candidates)
    considered = [Considered(family=one.family.id, reason=why_not(one, best)) for one in candidates if one is not best]
    held = held_conditions(family, config, name)
    evidence += [_said(sign, config) for one in held for sign in one.when]
    own = needs_of(family, held)
    needs = with_floors(own, question.floors, question.kind, question.support) if question.support else own
    pins, python, newer = _pins_of(family, needs if held or needs != own else (), question, evidence)
    return Match(
        family=family,
        certainty="ambiguous" if equals or foreign else "exact",
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
        needs=needs,
        kind=family.kind,
        notes=(*family.notes, *not_run(family.id, config, native=family.kind == "native")),
    )


def _pins_of(
    family: Family, needs: Sequence[Need], question: _Question, evidence: list[str]
) -> tuple[Mapping[str, str], str | None, str | None]:
    """The pins of the family where nothing speaks against them; `needs` are there only where a condition holds."""
    config, support, breaks = question.config, question.support, question.matrix.breaks
    if question.nowhere:
        return {}, None, None
    pins, python, newer = family.pins, family.python, family.exclude_newer
    if needs and pins:
        pins, python, newer = pins_within(family, needs, support, breaks) or ({}, None, None)
    own = _own_version(config)
    if family.kind == "remote-code" and not pins and own is not None and support is not None:
        release, _ = own_release(question.kind, own, support)
        evidence.append(f"`transformers_version` is {shorten(own)}: what its own code was saved with")
        pins, python, newer = (era_pins(release, support, breaks) if release else None) or (pins, python, newer)
    return pins, python, newer


def _said(sign: Sign, config: Mapping[str, object]) -> str:
    if sign.path.startswith("derived."):
        return "`head_dim` is not `hidden_size` / `num_attention_heads`"
    return f"`{sign.path}` is {shorten(value_at(config, sign.path))}"


def _not_listed(question: _Question, candidates: Sequence[FamilyCandidate], evidence: list[str]) -> Match:
    """No family fits: versions from the config itself and from the index."""
    config, kind, support = question.config, question.kind, question.support
    if candidates and all(one.missing for one in candidates):
        evidence.append("no family of this type fits all its signs")
    elif not candidates:
        evidence.append(f"no family of the matrix has the type `{shorten(kind)}`")
    own = _own_version(config)
    if own is not None:
        evidence.append(f"`transformers_version` is {shorten(own)}: what saved this config")
    release, why = own_release(kind, own, support)
    evidence += why
    needs: tuple[Need, ...] = ()
    if support is not None:
        needs, release = with_floors((), question.floors, kind, support), risen(release, question.floors, support)
    lost = next((one for one in question.parts if one.release is None), None)
    brings_code = isinstance(config.get("auto_map"), dict) and question.window is None
    if question.window is None and support is not None and not (brings_code and release in support.positions):
        release = None
        evidence += ["`auto_map` names its own code, and nothing says with which release it was saved"] * brings_code
    elif brings_code and release is not None:
        evidence.append("`auto_map` names its own code, which was saved with that release")
    elif own is not None and isinstance(config.get("auto_map"), dict) and support and not support.knows(own, kind):
        evidence.append(
            f"`auto_map` names its own code, of the days of {shorten(own)}: the pins are for the native class"
        )
    pins, python, newer = _pins_of_type(question, release, evidence, native=not brings_code)
    return Match(
        family=None,
        certainty="not listed" if (question.window or release) and lost is None else "unknown",
        basis="config",
        evidence=tuple(dict.fromkeys(evidence)),
        considered=tuple(
            Considered(family=one.family.id, reason="; ".join(one.missing) or "no release knows all its parts")
            for one in candidates
        ),
        pins=pins,
        python=python,
        exclude_newer=newer,
        model_type=kind,
        transformers_version=own,
        window=question.window,
        needs=needs,
        kind="remote-code" if brings_code else "native" if question.window else None,
    )


def _pins_of_type(
    question: _Question, release: str | None, evidence: list[str], *, native: bool
) -> tuple[Mapping[str, str], str | None, str | None]:
    """What fits a release; where that is older than all that was ever proved, the oldest that was proved instead."""
    support, matrix = question.support, question.matrix
    if release is None:
        return {}, None, None
    era = era_pins(release, support, matrix.breaks)
    if era is None or support is None:
        return {"transformers": release}, None, None
    if native and (era[2] < oldest_day(matrix) or "peft" not in era[0]):
        proved = proved_pins(question.kind, matrix, support)
        if proved is not None:
            evidence.append(f"transformers {release} is older than all known-good pins: the oldest of those instead")
            return proved
    return era


def _out_of_scope(named: TypeName, reason: str) -> Match:
    return Match(
        family=None, certainty="unknown", basis="config", evidence=(reason,), kind=named.kind,
        notes=(named.note,) if named.note else (),
    )  # fmt: skip


def _by_name(name: str | None, matrix: Matrix, support: Support | None, *, empty: bool) -> Match:
    """Without a config that says its type, the name is all there is."""
    evidence = ["the config says no type"] if empty else []
    if name is None:
        return Match(family=None, certainty="unknown", basis="none", evidence=(*evidence, "there is no name either"))
    found = _called_so(name, matrix)
    if found:
        evidence.append(f"`{shorten(name)}` is a family of the matrix")
    else:
        lengths = {family.id: name_match(family.match, name) for family in matrix.families.values()}
        longest = max(lengths.values(), default=0)
        typed = {kind: name_match(one, name) for kind, one in matrix.types.items()}
        kind = max(typed, key=lambda one: typed[one], default=None)
        if kind is not None and typed[kind] > longest:
            return _by_type_name(name, kind, matrix, support, evidence)
        found = [matrix.families[key] for key, length in lengths.items() if length == longest > 0]
        if not found:
            return Match(
                family=None, certainty="unknown", basis="none",
                evidence=(*evidence, f"the name `{shorten(name)}` is like none of the matrix"),
            )  # fmt: skip
        evidence.append(f"the name `{shorten(name)}` is like its names; no config was there to confirm it")
    family = found[0]
    kind = family.match.model_type[0] if family.match.model_type else None
    held = held_conditions(family, None, name)
    needs = needs_of(family, held)
    pins, python, newer = family.pins, family.python, family.exclude_newer
    if held and pins:
        pins, python, newer = pins_within(family, needs, support, matrix.breaks) or ({}, None, None)
    return Match(
        family=family,
        certainty="by name",
        basis="name",
        evidence=tuple(evidence),
        alternatives=tuple(other.id for other in found[1:]),
        pins=pins,
        python=python,
        exclude_newer=newer,
        model_type=kind,
        window=support.window(kind) if support and kind else None,
        needs=needs,
        kind=family.kind,
        notes=family.notes,
    )


def _called_so(name: str, matrix: Matrix) -> list[Family]:
    """The family with this id, or those whose id, or else type, has the same letters: `phi4`, `qwen2_5_vl`."""
    if name in matrix.families:
        return [matrix.families[name]]
    letters = squashed(name)
    if "/" in name or not letters:
        return []
    every = matrix.families.values()
    return [one for one in every if squashed(one.id) == letters] or [
        one for one in every if letters in map(squashed, one.match.model_type)
    ]


def _by_type_name(name: str, kind: str, matrix: Matrix, support: Support | None, evidence: list[str]) -> Match:
    """A name of a model type that no family has: what the index tells about the type."""
    named = matrix.types[kind]
    notes = (named.note,) if named.note else ()
    if named.kind == "other":
        evidence.append(f"the name `{shorten(name)}` is like those of {kind} models")
        return Match(
            family=None, certainty="unknown", basis="name", evidence=tuple(evidence), kind="other", notes=notes
        )
    evidence.append(f"the name `{shorten(name)}` is that of the type `{kind}`; no config was there to confirm it")
    question = _Question(config={}, kind=kind, name=name, matrix=matrix, support=support)
    release = None
    if named.kind == "native":
        release, why = own_release(kind, None, support)
        evidence += why
    pins, python, newer = _pins_of_type(question, release, evidence, native=True)
    return Match(
        family=None, certainty="by name", basis="name", evidence=tuple(evidence), pins=pins, python=python,
        exclude_newer=newer, model_type=kind, window=question.window, kind=named.kind, notes=notes,
    )  # fmt: skip


def _other_name(name: str | None, candidates: Sequence[FamilyCandidate], matrix: Matrix) -> list[str]:
    """A warning where the name points to a family that the config rules out."""
    if name is None or any(one.named for one in candidates):
        return []
    lengths = {family.id: name_match(family.match, name) for family in matrix.families.values()}
    best = max(lengths, key=lambda key: lengths[key], default=None)
    if best is None or not lengths[best]:
        return []
    return [f"the name `{shorten(name)}` looks like {matrix.families[best].title}, but the config decides"]


def _own_version(config: Mapping[str, object]) -> str | None:
    version = config.get("transformers_version")
    return version if isinstance(version, str) and version.strip() else None
