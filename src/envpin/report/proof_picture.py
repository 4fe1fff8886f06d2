"""What was proved of each tensor of a merge, as a grid: a row for a layer, a column for a kind of tensor. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.replay.record import MergeRecord

# From what says most to what says least: a cell of several tensors shows the last of theirs.
State = Literal["equal", "whole", "recomputed", "outputs", "unknown", "changed"]
STATES: dict[State, tuple[str, str]] = {
    "equal": ("=", "left alone by the adapter: the base's own, compared on disk"),
    "whole": ("W", "taken whole from the adapter, equal to the bit"),
    "recomputed": ("R", "changed by the adapter: rows recomputed in float64, within what rounding allows"),
    "outputs": ("o", "judged by the outputs of the model alone"),
    "unknown": ("?", "which check it passed is not recorded"),
    "changed": ("×", "its bytes have changed since the merge"),
}
_RANK = {state: at for at, state in enumerate(STATES)}


class PictureCell(NamedTuple):
    """`number` tensors of one layer and one kind, in the state that says least of theirs."""

    state: State
    number: int

    @property
    def glyph(self) -> str:
        return STATES[self.state][0]


class PictureGrid(NamedTuple):
    """One stack of layers. `rows` are pairs of a layer's number and its cells by column; no cell: no such tensor."""

    stack: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[PictureCell | None, ...]], ...]


class Picture(NamedTuple):
    """`single` are tensors outside of any layer. `states` has the state of every tensor, in the order of the files."""

    grids: tuple[PictureGrid, ...]
    single: tuple[tuple[str, State], ...]
    states: dict[str, State]

    @property
    def counts(self) -> dict[State, int]:
        """How many tensors are in each state that occurs."""
        held = list(self.states.values())
        return {state: held.count(state) for state in STATES if state in held}


def states_of(record: MergeRecord, *, changed: Iterable[str] = (), names: Iterable[str] = ()) -> dict[str, State]:
    """What the record says of each tensor. `changed` are those whose bytes are not those of the merge any more.

    `names` are the tensors of the files, for a record that lists none.
    """
    lists = record.merge.get("tensors")
    listed = [str(name) for name in lists] if isinstance(lists, dict) else list(names)
    touched = _touched(record.merge.get("operations"))
    whole, outputs = (_strings(record.verification.get(key)) for key in ("equal", "not_recomputed"))
    other: State = "unknown" if touched is None else "equal"
    found: dict[str, State] = {}
    for name in listed:
        if name in outputs:
            found[name] = "outputs"
        elif name in whole:
            found[name] = "whole"
        else:
            found[name] = "recomputed" if touched is not None and name in touched else other
    return found | dict.fromkeys((name for name in changed if name in found), "changed")


def _touched(operations: object) -> set[str] | None:
    """The tensors that were written anew; None where the engine did not list its operations."""
    if not isinstance(operations, list):
        return None
    return {name for one in operations if isinstance(one, dict) for name in _strings(one.get("tensors"))}


def _strings(value: object) -> set[str]:
    return {one for one in value if isinstance(one, str)} if isinstance(value, list) else set()


_LAYERED = re.compile(r"(.*?)\.(\d{1,6})\.(.+)")


def picture(states: Mapping[str, State]) -> Picture:
    """The grids of these tensors. What numbers a name has after that of its layer (experts) is folded into one cell."""
    stacks: dict[str, dict[int, dict[str, list[State]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    single: list[tuple[str, State]] = []
    for name, state in states.items():
        parts = _LAYERED.fullmatch(name)
        if parts is None:
            single.append((name, state))
            continue
        column = re.sub(r"(?<=\.)\d+(?=\.)", "*", parts[3].removesuffix(".weight"))
        stacks[parts[1]][int(parts[2])][column].append(state)
    grids = [_grid(stack, layers) for stack, layers in stacks.items()]
    return Picture(grids=tuple(grids), single=tuple(single), states=dict(states))


def _grid(stack: str, layers: Mapping[int, Mapping[str, list[State]]]) -> PictureGrid:
    columns = tuple(dict.fromkeys(column for number in sorted(layers) for column in layers[number]))
    rows = [
        (number, tuple(_cell(layers[number][one]) if one in layers[number] else None for one in columns))
        for number in sorted(layers)
    ]
    return PictureGrid(stack=stack, columns=columns, rows=tuple(rows))


def _cell(held: list[State]) -> PictureCell:
    return PictureCell(state=max(held, key=_RANK.__getitem__), number=len(held))
