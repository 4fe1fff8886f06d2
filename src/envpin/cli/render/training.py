"""What a repeated training run says on a terminal: verdict, first step apart, cause, and what was ruled out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.sizes import counted, verb

if TYPE_CHECKING:
    from envpin.replay.training.facts import FactDifference
    from envpin.replay.training.judge import TrainJudgement
    from envpin.replay.training.steps import Apart

_SHOWN = 6
_ROWS = {
    "order": "its rows come in another order",
    "all content": "all its rows hold something else",
    "padding": "its rows are padded in another way",
    "number": "it has another number of rows or batches",
}


def judgement_lines(found: TrainJudgement) -> list[str]:
    """The lines that a person reads after the repeat."""
    lines = [f"verdict     {found.verdict} ({counted(found.steps, 'step')} compared; adapter: {found.adapter})"]
    if found.first is not None:
        lines.append(f"first apart {apart_words(found.first)}")
    if found.cause is not None:
        doubt = "" if found.certain else " (the most likely; not the only one left)"
        lines.append(f"cause       {found.cause}{doubt}")
    lines += [f"            {_fact(fact)}" for fact in found.because[:_SHOWN]]
    if found.note:
        lines.append(f"note        {found.note}")
    if found.gaps is not None and found.gaps.at is not None:
        lines.append(f"losses      at most {found.gaps.largest:.2g} apart (relative, at step {found.gaps.at})")
    if found.noise is not None:
        lines.append(f"noise       the repeat differs from its own repeat by {found.noise.later:.2g} at most")
    elif found.verdict == "diverged":
        lines.append("noise       not measured")
    if found.ruled_out:
        lines.append(f"ruled out   {', '.join(found.ruled_out)}")
    lines += [f"also        {_fact(fact)}" for fact in found.also[:_SHOWN]]
    if len(found.also) > _SHOWN:
        lines.append(f"            and {len(found.also) - _SHOWN} more (--json lists them)")
    return lines


def apart_words(first: Apart) -> str:
    """The first thing that differs, in words."""
    at = "before the first step" if first.step == 0 else f"step {first.step}"
    if first.sign == "adapter":  # of a run without a trace nothing earlier was compared
        at = "at the end"
    values = f" {first.before} → {first.after}" if first.before and first.sign != "batch" else ""
    rows = _ROWS.get(first.rows or "", "")
    if first.rows == "content":
        rows = f"{first.changed} of its rows {verb(first.changed or 0, 'holds', 'hold')} something else"
    return f"{at}: {first.sign}{values}" + (f", {rows}" if rows else "")


def _fact(fact: FactDifference) -> str:
    return f"{fact.what}: {fact.before} → {fact.after}"
