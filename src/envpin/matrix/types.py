"""The types of `compat_matrix.toml`, schema 1. Frozen, keyword-only; an unknown field is an error, because a typing
mistake in a hand-edited table must not pass as knowledge. docs/reference/matrix.md explains every field."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from envpin.matrix.literals import required_literal

SCHEMA = 1

# What is known about a statement, from hearsay to proof. A grade says what was really run, never what was hoped.
Grade = Literal["declared", "reported", "static", "import", "load", "train", "merge-verified"]
GRADES: tuple[Grade, ...] = ("declared", "reported", "static", "import", "load", "train", "merge-verified")

# native: transformers has the architecture; remote-code: the checkpoint brings its own modelling code;
# other: not a model that transformers loads at all, so nothing can be pinned.
Kind = Literal["native", "remote-code", "other"]


# Which way over the boundary of a break an adapter goes that it hits.
Crossing = Literal["into", "out-of"]


class Sign(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One condition on a value of config.json. `path` is dotted (`rope_scaling.rope_type`); exactly one test is set,
    and None, which TOML cannot write, is one that is not.

    Apart from what config.json holds, `derived.own_head_dim` is true where `head_dim` is not hidden_size / heads.

    `equals` compares as JSON does, with 8 and 8.0 equal. `one_of` is a list of such values. `at_least` and `at_most`
    are inclusive bounds of a number. `present` asks whether a value that is not null exists. `version_at_least` and
    `version_below` compare a version string such as `transformers_version`.
    """

    path: str
    equals: Any = None
    one_of: tuple[Any, ...] | None = None
    at_least: float | None = None
    at_most: float | None = None
    present: bool | None = None
    version_at_least: str | None = None
    version_below: str | None = None


class Recognition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a family is told from a config and a name.

    A config belongs to the family when its `model_type` is listed (or, without one, its first architecture) and
    every sign of `require` holds. Among equals, one `decisive` sign that holds settles it, as a known size does;
    `support` signs only break ties, and so does `names`: regular expressions, matched
    anywhere in the lower-cased Hub name or folder name, because anybody may call a folder anything. `only_by_name` is
    for fine-tunes whose config is that of another family: they match only when the name does too.
    """

    model_type: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    require: tuple[Sign, ...] = ()
    decisive: tuple[Sign, ...] = ()
    support: tuple[Sign, ...] = ()
    names: tuple[str, ...] = ()
    only_by_name: bool = False

    @property
    def literals(self) -> tuple[str, ...]:
        """For each of `names` letters that it cannot match without; empty where it has none for sure."""
        return tuple(map(required_literal, self.names))


class TypeName(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What models without a family of their own are called: so that their name, alone, gives their model type.

    `names` are patterns as those of `Recognition`. A `kind` other than native has a `note` that says what follows.
    """

    names: tuple[str, ...]
    kind: Kind = "native"
    note: str | None = None

    @property
    def literals(self) -> tuple[str, ...]:
        """As `Recognition.literals`."""
        return tuple(map(required_literal, self.names))


class Requirement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A version specifier of one package (PEP 440), why it is needed, and what that claim rests on."""

    versions: str
    reason: str
    grade: Grade = "declared"
    source: str | None = None


class Condition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A requirement of some models of a family only: of those whose config satisfies every sign of `when`, and, where
    there is no config, of those whose name one of `names` matches. `shape` is the tiny model of that kind whose runs
    prove it (`llama3.1/own-head-dim`)."""

    package: str
    versions: str
    when: tuple[Sign, ...]
    reason: str
    names: tuple[str, ...] = ()
    shape: str | None = None
    grade: Grade = "declared"
    source: str | None = None
    evidence: tuple[str, ...] = ()

    @property
    def literals(self) -> tuple[str, ...]:
        """As `Recognition.literals`."""
        return tuple(map(required_literal, self.names))


class KnownGood(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Versions that work together. `packages` are pinned exactly; everything else is what existed at `exclude_newer`.

    `lock` is the stem of a file of `lockfiles/` (`llama3-1` for `pylock.llama3-1.toml`), or None where none is kept.
    `evidence` names entries of the committed results that `matrix verify` wrote.
    """

    python: str
    packages: dict[str, str]
    exclude_newer: str
    source: str
    grade: Grade = "declared"
    lock: str | None = None
    lock_sha256: str | None = None
    evidence: tuple[str, ...] = ()


class Statement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What runs showed of one capability over the releases of one package: it works in `versions`.

    `versions` reaches from the first to the last release that was seen to work and leaves out (`!=`) those seen to
    fail; `tested` counts the releases inside that were run. `evidence` names the runs at its edges. `envpin matrix add`
    writes statements, and only where the outcomes are simple.
    """

    capability: str
    package: str
    versions: str
    tested: int
    grade: Grade
    evidence: tuple[str, ...]


class Family(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One family of models. `id` is its key in the table; the first entry of `known_good` is the recommended one."""

    title: str
    id: str = ""
    kind: Kind = "native"
    match: Recognition = Recognition()
    requires: dict[str, Requirement] = {}
    conditions: tuple[Condition, ...] = ()
    known_good: tuple[KnownGood, ...] = ()
    support: tuple[Statement, ...] = ()
    breaks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unpinnable: str | None = None

    @property
    def pins(self) -> dict[str, str]:
        """Package to version, as recommended; empty where nothing can be pinned."""
        return dict(self.known_good[0].packages) if self.known_good else {}

    @property
    def python(self) -> str | None:
        return self.known_good[0].python if self.known_good else None

    @property
    def exclude_newer(self) -> str | None:
        """A date (`2024-08-01`) or timestamp; no release younger than it belongs into this family's environment."""
        return self.known_good[0].exclude_newer if self.known_good else None

    @property
    def lock(self) -> str | None:
        """The stem of the committed lock, without `pylock.` and `.toml`."""
        return self.known_good[0].lock if self.known_good else None

    @property
    def grade(self) -> Grade | None:
        """How well the recommended pins are proved."""
        return self.known_good[0].grade if self.known_good else None


class Break(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A release that stopped something from working.

    `alongside` holds versions of other packages without which the fault is not there. `crossing` says which adapters a
    silent fault hits: those made outside `versions` and taken into them (the usual), or those taken out of them.
    `versions` is the specifier of the releases that have the fault. `symptom` is a regular expression over an error
    log and `sample` a text that it matches; a `silent` break has neither, because nothing is printed.
    """

    package: str
    versions: str
    title: str
    affects: tuple[str, ...]
    ways_out: tuple[str, ...]
    source: str
    id: str = ""
    alongside: dict[str, str] = {}
    crossing: Crossing = "into"
    silent: bool = False
    symptom: str | None = None
    sample: str | None = None
    grade: Grade = "reported"
    evidence: tuple[str, ...] = ()

    @property
    def windows(self) -> dict[str, str]:
        """Package to the versions that have the fault together."""
        return {self.package: self.versions, **self.alongside}

    @property
    def by_versions_alone(self) -> bool:
        """Whether these versions have the fault whatever they are given; else an adapter or a base has to cross."""
        return not self.silent or self.affects == ("merge",)


class Relation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Versions of `package` in `versions` work only with versions of `other` in `needs`."""

    package: str
    versions: str
    other: str
    needs: str
    reason: str
    grade: Grade = "declared"
    source: str | None = None


class Matrix(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`types` maps model types that no family has to their names. `overlay` is the user's own file that was put on
    top, if any, and `overlaid` the families that come from it."""

    schema: int
    families: dict[str, Family] = {}
    types: dict[str, TypeName] = {}
    breaks: dict[str, Break] = {}
    relations: tuple[Relation, ...] = ()
    overlay: str | None = None
    overlaid: tuple[str, ...] = ()
