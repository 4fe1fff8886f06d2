"""What the verdicts on single tensors come to: a few troubles, each named once, with where and how much. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

STATES = ("equal", "rounding", "not-compared", "wrong")
# A model whose untouched tensors differ this often was not merged into this base.
_MOSTLY = 0.5
# Causes of single tensors that another base explains as well.
_OF_ANOTHER_BASE = {"other-base", "other-change", "differs-from-base", "wrong-scale", "wrong-rows", "other-values"}


class TensorVerdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One tensor that is wrong or was not compared, as the worker judged it."""

    tensor: str
    state: str
    changed: bool = False
    way: str | None = None
    cause: str | None = None
    why: str | None = None
    factor: float | None = None
    error: float | None = None
    rows: tuple[int, ...] = ()
    wrong_rows: int = 0
    other: str | None = None
    lost: bool = False


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Something wrong with a merge. `code` is stable; `tensors` are all that it concerns, `layers` their numbers."""

    code: str
    message: str
    tensors: tuple[str, ...]
    layers: tuple[int, ...]
    factor: tuple[float, float] | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    equal: int = 0
    rounding: int = 0
    not_compared: int = 0
    wrong: int = 0

    @property
    def total(self) -> int:
        return self.equal + self.rounding + self.not_compared + self.wrong

    @property
    def proved(self) -> bool:
        """Whether every tensor was compared, and none is wrong."""
        return self.total > 0 and not self.wrong and not self.not_compared


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker found."""

    counts: Counts
    changed: Counts
    lost: tuple[str, ...]
    ways: dict[str, int]
    listed: tuple[TensorVerdict, ...]
    tensors: dict[str, str]
    notes: tuple[str, ...]
    dtypes: dict[str, dict[str, int]]
    torch: str


def troubles(answer: Answer) -> tuple[Trouble, ...]:
    """Every trouble, the one that concerns most tensors first."""
    wrong = [one for one in answer.listed if one.state == "wrong"]
    found: list[Trouble] = []
    strange = [one for one in wrong if not one.changed and one.cause == "differs-from-base"]
    untouched = answer.counts.total - answer.changed.total
    if untouched and len(strange) > max(1, _MOSTLY * untouched):
        swept = [one for one in wrong if one.cause in _OF_ANOTHER_BASE]
        message = f"{len(strange)} of {untouched} tensors that the adapter leaves alone are not the base's"
        found.append(_trouble("other-base", f"it was merged into another base: {message}", swept))
        wrong = [one for one in wrong if one.cause not in _OF_ANOTHER_BASE]
    groups: dict[str, list[TensorVerdict]] = defaultdict(list)
    for one in wrong:
        groups[_code(one)].append(one)
    for code, members in groups.items():
        found.append(_trouble(code, _message(code, members, answer.changed.total), members))
    return tuple(sorted(found, key=lambda one: (-len(one.tensors), one.code)))


def _code(one: TensorVerdict) -> str:
    if one.cause == "differs-from-base" and not one.changed:
        return "untouched-changed"
    return {"other-change": "other-adapter", "other-values": "other-adapter", None: "unexplained"}.get(
        one.cause, one.cause or "unexplained"
    )


_ONE: dict[str, str] = {
    "not-applied": "the adapter was not applied",
    "applied-twice": "the adapter was applied twice",
    "wrong-scale": "the adapter was applied at another scale",
    "sign": "the adapter was subtracted",
    "other-base": "it was merged into other weights than the base's",
    "other-adapter": "what changed is not this adapter's change",
    "other-layer": "layers carry the change of another layer",
    "factors-swapped": "A and B of different layers were multiplied",
    "transposed": "the change was added transposed",
    "rank-lost": "a part of the adapter's rank is missing",
    "requantized": "the weights went through fewer bits",
    "precision-lost": "the weights went through a lower precision than they are stored in",
    "rounded-twice": "the weights were rounded to another 16-bit format on the way",
    "head-tied": "the head goes with the embedding, and training moved the two apart",
    "head-untied": "the head was parted from the embedding that it is tied to",
    "missing": "tensors are missing",
    "extra": "tensors are there that neither base nor adapter has",
    "wrong-rows": "single rows are wrong",
    "not-finite": "values are not finite",
    "untouched-changed": "tensors changed that the adapter leaves alone",
    "other-shape": "shapes are not those that a merge has",
    "unexplained": "tensors differ, and envpin does not know why",
}


def _message(code: str, members: Sequence[TensorVerdict], changed: int) -> str:
    text = _ONE.get(code, _ONE["unexplained"])
    if code == "not-applied":
        touched = [one for one in members if one.changed]
        text += "" if len(touched) == changed else f" to {len(touched)} of {changed} tensors"
    details = list(dict.fromkeys(one.why for one in members if one.why))
    return f"{text}: {details[0]}" if len(details) == 1 else text


def _trouble(code: str, message: str, members: Sequence[TensorVerdict]) -> Trouble:
    factors = [one.factor for one in members if one.factor is not None]
    numbers = {number for one in members if (number := layer_of(one.tensor)) is not None}
    return Trouble(
        code=code,
        message=message,
        tensors=tuple(one.tensor for one in members),
        layers=tuple(sorted(numbers)),
        factor=(min(factors), max(factors)) if factors and code in {"wrong-scale", "applied-twice", "sign"} else None,
    )


def layer_of(name: str) -> int | None:
    """The number of the layer that a tensor belongs to: the first number in its name."""
    return next((int(piece) for piece in name.split(".") if piece.isdigit()), None)


def to_json(answer: Answer, found: tuple[Trouble, ...]) -> dict[str, Any]:
    """For `--json`: the counts, each trouble, and each tensor that is not plainly right."""
    return {
        "proved": answer.counts.proved,
        "counts": {"tensors": answer.counts.total, **msgspec.to_builtins(answer.counts)},
        "changed": {"tensors": answer.changed.total, **msgspec.to_builtins(answer.changed)},
        "troubles": msgspec.to_builtins(found),
        "listed": msgspec.to_builtins(answer.listed),
        "lost_in_rounding": list(answer.lost),
        "ways": answer.ways,
        "dtypes": answer.dtypes,
        "notes": list(answer.notes),
    }
