"""What the verdicts on single tensors come to: a few troubles, each named once, with where and how much. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from envpin.core.sizes import counted, verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpin.host.verbs import ProveReply, TensorVerdict, VerdictCounts

# A model whose untouched tensors differ this often was not merged into this base.
_MOSTLY = 0.5
# Causes of single tensors that another base explains as well.
_OF_ANOTHER_BASE = {"other-base", "other-change", "differs-from-base", "wrong-scale", "wrong-rows", "other-values"}


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Something wrong with a merge. `code` is stable; `tensors` are all that it concerns, `layers` their numbers."""

    code: str
    message: str
    tensors: tuple[str, ...]
    layers: tuple[int, ...]
    factor: tuple[float, float] | None = None


def total(counts: VerdictCounts) -> int:
    return counts.equal + counts.rounding + counts.not_compared + counts.wrong


def is_proved(counts: VerdictCounts) -> bool:
    """Whether every tensor was compared, and none is wrong."""
    return total(counts) > 0 and not counts.wrong and not counts.not_compared


def troubles(answer: ProveReply) -> tuple[Trouble, ...]:
    """Every trouble, the one that concerns most tensors first."""
    wrong = [one for one in answer.listed if one.state == "wrong"]
    found: list[Trouble] = []
    strange = [one for one in wrong if not one.changed and one.cause == "differs-from-base"]
    untouched = total(answer.counts) - total(answer.changed)
    if untouched and len(strange) > max(1, _MOSTLY * untouched):
        swept = [one for one in wrong if one.cause in _OF_ANOTHER_BASE]
        message = (
            f"{len(strange)} of {counted(untouched, 'tensor')} that the adapter leaves alone "
            f"{verb(len(strange), 'is', 'are')} not the base's"
        )
        found.append(_trouble("other-base", f"it was merged into another base: {message}", swept))
        wrong = [one for one in wrong if one.cause not in _OF_ANOTHER_BASE]
    groups: dict[str, list[TensorVerdict]] = defaultdict(list)
    for one in wrong:
        groups[_code(one)].append(one)
    for code, members in groups.items():
        found.append(_trouble(code, _message(code, members, answer), members))
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
    "peft-names": "tensors have names that peft gives and transformers does not load (the model was saved wrapped)",
    "unmerged": "the adapter's own tensors are in it: the model was saved before merging",
    "extra": "tensors are there that neither base nor adapter has",
    "wrong-rows": "single rows are wrong",
    "not-finite": "values are not finite",
    "untouched-changed": "tensors changed that the adapter leaves alone",
    "other-shape": "shapes are not those that a merge has",
    "unexplained": "tensors differ, and envpin does not know why",
}


def _message(code: str, members: Sequence[TensorVerdict], answer: ProveReply) -> str:
    text = _ONE.get(code, _ONE["unexplained"])
    changed, wrong = total(answer.changed), answer.counts.wrong
    if code == "not-applied":
        touched = [one for one in members if one.changed]
        if len(touched) == changed == wrong:
            text += ", or the base given holds it already"
        elif len(touched) != changed:
            text += f" to {len(touched)} of {counted(changed, 'tensor')}"
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
    return next((int(piece) for piece in name.split(".") if piece.isdecimal() and len(piece) < 10), None)


def to_json(answer: ProveReply, found: tuple[Trouble, ...]) -> dict[str, object]:
    """For `--json`: the counts, each trouble, and each tensor that is not plainly right."""
    return {
        "proved": is_proved(answer.counts),
        "counts": _counts(answer.counts),
        "changed": _counts(answer.changed),
        "troubles": msgspec.to_builtins(found),
        "listed": msgspec.to_builtins(answer.listed),
        "lost_in_rounding": list(answer.lost),
        "ways": answer.ways,
        "dtypes": {"base": answer.base_dtypes, "merged": answer.merged_dtypes},
        "notes": list(answer.notes),
    }


def _counts(counts: VerdictCounts) -> dict[str, int]:
    return {
        "tensors": total(counts),
        "equal": counts.equal,
        "rounding": counts.rounding,
        "not_compared": counts.not_compared,
        "wrong": counts.wrong,
    }
