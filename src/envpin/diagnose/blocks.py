"""Tensors of a model as a template: names with the texts of their shapes, and stacks of like parts. Pure.

A shape is a text of lengths with commas between them: `?` is one that nothing tells, `2*b*c+1` is computed from values
by their letters. A stack is `[count, kinds, first]`: each of its parts is of one of the kinds, and the first one is
`first`, where that is not null. `scripts/collect_forms.py` makes them, and loads this file: standard library only.
"""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Shape = tuple[int | None, ...]
    Held = Mapping[str, tuple[int, ...]]
    # Of names: the text of a shape, or a stack, which holds blocks itself.
    Block = Mapping[str, object]
    Stack = tuple[str, list[Block], Block | None]

# More parts than any stack has: a config that asks for more is not believed.
MOST_PARTS = 4_096
_TERM = re.compile(r"[^+]+")


class UnknownCountError(Exception):
    """A stack whose number of parts the values do not tell, or that nothing has."""


class Lengths:
    """Shapes by their texts, computed once each."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self._values = values
        self._shapes: dict[str, Shape] = {"": ()}

    def length(self, text: str) -> int | None:
        """Sums of products of numbers, letters and quotients; None where a value is missing."""
        try:
            return sum(prod(map(self._factor, term.split("*"))) for term in _TERM.findall(text))
        except (KeyError, ZeroDivisionError):
            return None

    def _factor(self, text: str) -> int:
        over, _, under = text.partition("//")
        number = int(over) if over.isdigit() else self._values[over]
        return number // self._values[under] if under else number

    def shape(self, text: str) -> Shape:
        if text not in self._shapes:
            self._shapes[text] = tuple(map(self.length, text.split(",")))
        return self._shapes[text]


def fits(found: tuple[int, ...], wanted: Shape) -> bool:
    return len(found) == len(wanted) and all(
        want is None or one == want for one, want in zip(found, wanted, strict=True)
    )


def unfolded(block: Block, lengths: Lengths, held: Held, before: str = "") -> Iterator[tuple[str, Shape]]:
    """Every tensor with its shape; a part of a stack of several kinds is of that which `held` comes closest to."""
    for name, one in block.items():
        if isinstance(one, str):
            yield before + name, lengths.shape(one)
        else:
            yield from _parts(f"{before}{name}.", cast("Stack", one), lengths, held)


def _parts(before: str, stack: Stack, lengths: Lengths, held: Held) -> Iterator[tuple[str, Shape]]:
    written, kinds, first = stack
    count = lengths.length(written)
    if count is None or not 0 <= count <= MOST_PARTS:
        raise UnknownCountError(before)
    for number in range(count):
        choices = kinds if first is None or number else [first]
        parts = [dict(unfolded(one, lengths, held, f"{before}{number}.")) for one in choices]
        best = min(parts, key=lambda one: _distance(one, held)) if len(parts) > 1 else parts[0]
        yield from best.items()


def _distance(part: Mapping[str, Shape], held: Held) -> tuple[int, int]:
    """How many tensors of a part are not there as it has them; of those that fit whole the one that takes most."""
    return sum(name not in held or not fits(held[name], one) for name, one in part.items()), -len(part)


def stacks(block: Block, lengths: Lengths, before: str = "") -> Iterator[tuple[str, int]]:
    """The places of the outermost stacks, with the number of their parts."""
    for name, one in block.items():
        if not isinstance(one, str):
            yield f"{before}{name}.", lengths.length(cast("Stack", one)[0]) or 0
