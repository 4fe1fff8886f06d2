"""Which stored tensor another program means by a name: the same one, under prefixes that differ between releases.

peft puts `base_model.model.` in front; transformers has moved the words before `layers.` several times
(`model.layers…`, `model.language_model.layers…`, `language_model.model.layers…`). What stays is the end of the name,
and every number in it.
"""

from typing import Dict, Iterable, List, Optional, Tuple

_OLD = {"gamma": "weight", "beta": "bias"}


class Names:
    """Finds names by their ends. Standard library only."""

    def __init__(self, names: Iterable[str]) -> None:
        self._all = set(names)
        self._by_end: Dict[Tuple[str, ...], List[str]] = {}
        for name in sorted(self._all):
            self._by_end.setdefault(_end(name), []).append(name)

    def find(self, wanted: str) -> Optional[str]:
        """The stored name that `wanted` means: itself, else the only one with the longest common end and the same
        numbers; None where there is none, or two that fit alike."""
        if wanted in self._all:
            return wanted
        numbers = _numbers(wanted)
        ending = self._by_end.get(_end(wanted), [])
        fitting = [one for one in ending if _numbers(one) == numbers and not _apart(wanted, one)]
        if not fitting:
            return None
        lengths = [_common(wanted, one) for one in fitting]
        best = max(lengths)
        longest = [one for one, length in zip(fitting, lengths) if length == best]  # noqa: B905 (Python 3.8)
        return longest[0] if len(longest) == 1 else None


def paired(ours: Iterable[str], theirs: Iterable[str]) -> Dict[str, str]:
    """Our names to theirs, one to one; what has no partner is left out."""
    found = Names(theirs)
    pairs: Dict[str, str] = {}
    taken: Dict[str, str] = {}
    for name in sorted(ours):
        other = found.find(name)
        if other is None:
            continue
        if other in taken and (taken[other] == other or _common(taken[other], other) > _common(name, other)):
            continue  # the exact name has it, or one that fits better: an encoder's own, and not its head's
        if other in taken:
            pairs.pop(taken[other], None)
        pairs[name], taken[other] = other, name
    return pairs


def layer_of(name: str) -> Optional[int]:
    """The number of the layer that a tensor belongs to: the first number in its name."""
    return next((int(one) for one in name.split(".") if one.isdecimal() and len(one) < 10), None)


def _pieces(name: str) -> List[str]:
    pieces = name.split(".")
    pieces[-1] = _OLD.get(pieces[-1], pieces[-1])
    return pieces


def _end(name: str) -> Tuple[str, ...]:
    return tuple(_pieces(name)[-2:])


def _numbers(name: str) -> Tuple[str, ...]:
    return tuple(one for one in name.split(".") if one.isdigit())


def _apart(one: str, other: str) -> bool:
    """Whether names without a number are of different modules: not as many words before their common end, and none of
    them alike. `pooler.dense.weight` is not `cls.predictions.transform.dense.weight`, while `backbone.norm.weight` may
    be `model.norm.weight`. With numbers, those tell which layer it is."""
    length = _common(one, other)
    mine, theirs = _pieces(one)[:-length], _pieces(other)[:-length]
    if not mine or not theirs or len(mine) == len(theirs) or _numbers(one):
        return False
    return set(mine).isdisjoint(theirs)


def _common(one: str, other: str) -> int:
    length = 0
    for mine, theirs in zip(reversed(_pieces(one)), reversed(_pieces(other))):  # noqa: B905 (Python 3.8)
        if mine != theirs:
            break
        length += 1
    return length
