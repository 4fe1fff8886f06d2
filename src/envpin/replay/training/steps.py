"""Where two traces part: the first step at which something differs, and what. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from envpin.manifest.trace import Trace, TraceStep

# In the order in which a step makes them: the first that differs is where to look for the cause.
Sign = Literal["initial adapter", "batch", "learning rate", "loss", "gradient norm", "number of steps", "adapter"]
Rows = Literal["order", "content", "all content", "number", "padding"]


class Apart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first thing that differs, at `step`; 0 is before the first one. `rows` says of batches how they differ,
    `changed` how many rows of that step are others."""

    step: int
    sign: Sign
    before: str | None = None
    after: str | None = None
    rows: Rows | None = None
    changed: int | None = None


class Gaps(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far apart losses are: the largest relative gap and its step, over `steps` that both sides have."""

    steps: int
    largest: float = 0.0
    at: int | None = None
    norm: float = 0.0


def first_apart(recorded: Trace, repeated: Trace, *, steps: int | None = None) -> Apart | None:
    """None where everything that both recorded is equal, up to step `steps`."""
    first, second = _digest(recorded), _digest(repeated)
    if first is not None and second is not None and first != second:
        return Apart(step=0, sign="initial adapter", before=first[:12], after=second[:12])
    for old, new in _pairs(recorded, repeated, steps):
        if old.batch is not None and new.batch is not None and old.batch.digest != new.batch.digest:
            rows, changed = how_rows_differ(recorded, repeated, old.step)
            return Apart(step=old.step, sign="batch", before=old.batch.digest[:12], after=new.batch.digest[:12],
                         rows=rows, changed=changed)  # fmt: skip
        for sign, one, other in (
            ("learning rate", old.lr, new.lr), ("loss", old.loss, new.loss),
            ("gradient norm", old.grad_norm, new.grad_norm),
        ):  # fmt: skip
            if one is not None and other is not None and one != other:
                return Apart(step=old.step, sign=sign, before=str(one), after=str(other))  # type: ignore[arg-type]
    if steps is None and (more := _more_steps(recorded, repeated)) is not None:
        return more
    if recorded.final and repeated.final and steps is None and recorded.final.digest != repeated.final.digest:
        last = max((one.step for one in recorded.steps), default=0)
        return Apart(step=last, sign="adapter", before=(recorded.final.digest or "")[:12],
                     after=(repeated.final.digest or "")[:12])  # fmt: skip
    return None


def _more_steps(recorded: Trace, repeated: Trace) -> Apart | None:
    """The first step that one run made and the other did not, where both have steps; not of saves of one run."""
    if recorded.run is not None and recorded.run == repeated.run:
        return None
    made = [max((one.step for one in side.steps), default=0) for side in (recorded, repeated)]
    if 0 in made or made[0] == made[1]:
        return None
    return Apart(step=min(made) + 1, sign="number of steps", before=str(made[0]), after=str(made[1]))


def compared_steps(recorded: Trace, repeated: Trace, *, steps: int | None = None) -> int:
    return len(_pairs(recorded, repeated, steps))


def gaps(recorded: Trace, repeated: Trace, *, steps: int | None = None) -> Gaps:
    """The largest relative gaps of loss and gradient norm; a value that is no finite number is infinitely far off."""
    largest, at, norm = 0.0, None, 0.0
    pairs = _pairs(recorded, repeated, steps)
    for old, new in pairs:
        gap = relative(old.loss, new.loss)
        if gap > largest:
            largest, at = gap, old.step
        norm = max(norm, relative(old.grad_norm, new.grad_norm))
    return Gaps(steps=len(pairs), largest=largest, at=at, norm=norm)


def relative(one: float | str | None, other: float | str | None) -> float:
    if one == other or one is None or other is None:
        return 0.0
    if isinstance(one, str) or isinstance(other, str):
        return float("inf")
    return abs(one - other) / max(abs(one), abs(other), 1e-12)


def how_rows_differ(recorded: Trace, repeated: Trace, step: int) -> tuple[Rows, int]:
    """Whether the rows of this step come in another order, or hold something else; and how many are others.

    A changed row leaves its neighbours where they are; another order moves nearly all, and brings rows that the other
    side has elsewhere; another template or tokenizer leaves none as it was.
    """
    before, after = recorded.at()[step].batch, repeated.at()[step].batch
    if before is None or after is None:
        return "content", 0
    if (before.micro, len(before.rows)) != (after.micro, len(after.rows)):
        return "number", abs(len(before.rows) - len(after.rows))
    apart = [pair for pair in zip(before.rows, after.rows, strict=True) if pair[0] != pair[1]]
    known = {row for one in recorded.steps if one.batch for row in one.batch.rows}
    held = {row for one in repeated.steps if one.batch for row in one.batch.rows}
    if not apart:  # or a tensor that no row holds
        return "padding", 0
    if not known & held:
        return "all content", len(apart)
    moved = all(old in held and new in known for old, new in apart)  # both are met on the other side
    return "order" if moved or not _some_in_place(recorded, repeated) else "content", len(apart)


def _some_in_place(recorded: Trace, repeated: Trace) -> bool:
    """Whether a quarter of all rows or more are where they were, as hardly any is in another order."""
    rows = [
        one == other
        for old, new in _pairs(recorded, repeated, None)
        if old.batch is not None and new.batch is not None
        for one, other in zip(old.batch.rows, new.batch.rows, strict=False)
    ]
    return sum(rows) * 4 >= len(rows)


def _pairs(recorded: Trace, repeated: Trace, steps: int | None) -> list[tuple[TraceStep, TraceStep]]:
    others = repeated.at()
    return [
        (one, others[one.step]) for one in recorded.steps if one.step in others and (steps is None or one.step <= steps)
    ]


def _digest(trace: Trace) -> str | None:
    return trace.initial.adapter.digest if trace.initial and trace.initial.adapter else None
