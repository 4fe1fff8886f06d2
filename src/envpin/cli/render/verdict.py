"""What a finished merge says on a terminal: where it is, its verdict, and how it was proved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.sizes import counted

if TYPE_CHECKING:
    from envpin.replay.merge import Merged


def result_lines(merged: Merged) -> list[str]:
    """The lines that a person reads after the merge."""
    record = merged.record
    checked = record.verification
    rows = checked["recomputed"]
    lines = [
        f"merged      {merged.out}",
        f"verdict     {record.verdict.kind} (base weights: {record.verdict.base_words})",
        f"untouched   {counted(checked['untouched'], 'tensor')}, equal to the base's byte for byte",
        (
            f"changed     {counted(checked['changed'] + len(checked['added']), 'tensor')}; "
            f"{counted(rows['rows'], 'row')} "
            f"of {rows['tensors']} recomputed in float64, worst error {rows['worst']:.2f} of what rounding allows"
        ),
    ]
    if checked.get("dequantized"):
        lines.insert(3, f"dequantized {counted(checked['dequantized'], 'further tensor')}, checked on disk")
    if checked["not_recomputed"]:
        lines.append(
            f"            {counted(len(checked['not_recomputed']), 'tensor')} judged by the model's outputs alone"
        )
    probe = checked.get("probe")
    if probe:
        lines.append(
            f"outputs     |merged - adapter| / |adapter - base| = {probe['noise']:.3g} / {probe['moved']:.3g} "
            f"= {probe['ratio']:.3g}" + _expected(probe.get("expected"))
            if probe["ratio"] is not None
            else "outputs     the adapter moves nothing"
        )
    else:
        lines.append(f"outputs     not compared: {checked.get('probe_note')}")
    lines += [f"note        {note}" for note in record.notes]
    return lines


def _expected(ratio: float | None) -> str:
    return "" if ratio is None else f" (rounding alone explains {ratio:.3g})"
