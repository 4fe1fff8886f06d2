"""A family that has the model's type, held against the model: which of its signs hold, and what it is not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envpin.matrix.names import name_match
from envpin.matrix.signs import holds, shorten, value_at, wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envpin.matrix.types import Family

_ONLY_ITS_NAME = "its config is the same; only a name tells it apart"


class FamilyCandidate(NamedTuple):
    """`missing` says why it is not this family; `named` is how many letters its name covers."""

    family: Family
    missing: tuple[str, ...]
    named: int
    decided: tuple[str, ...]
    supporting: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, int, int, int]:
        return (len(self.family.match.require), int(self.named > 0), int(bool(self.decided)), len(self.supporting))


def examine(family: Family, config: Mapping[str, object], name: str | None) -> FamilyCandidate:
    """The family, with those of its signs that this config and name hold."""
    recognition = family.match
    missing = [
        f"`{sign.path}` is {shorten(value_at(config, sign.path))}, not {wanted(sign)}"
        for sign in recognition.require
        if not holds(sign, config)
    ]
    named = name_match(family.match, name)
    if not missing and recognition.only_by_name and not named:
        missing.append(_ONLY_ITS_NAME)
    decided, supporting = (
        tuple(f"`{sign.path}` is {shorten(value_at(config, sign.path))}" for sign in signs if holds(sign, config))
        for signs in (recognition.decisive, recognition.support)
    )
    return FamilyCandidate(family=family, missing=tuple(missing), named=named, decided=decided, supporting=supporting)


def rivals(
    best: FamilyCandidate, fitting: Sequence[FamilyCandidate], candidates: Sequence[FamilyCandidate]
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


def why_not(one: FamilyCandidate, best: FamilyCandidate) -> str:
    """Why the answer is `best` and not this one."""
    if one.missing:
        return "; ".join(one.missing)
    if len(one.family.match.require) < len(best.family.match.require):
        return "fits too, but says less"
    if best.named and not one.named:
        return "fits too; the name decides"
    return "fits too; fewer of its weaker signs hold"
