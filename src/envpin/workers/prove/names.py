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
        fitting = [one for one in self._by_end.get(_end(wanted), []) if _numbers(one) == numbers]
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
        if other in taken and taken[other] == other:
            continue  # the exact name has it
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


def _common(one: str, other: str) -> int:
    length = 0
    for mine, theirs in zip(reversed(_pieces(one)), reversed(_pieces(other))):  # noqa: B905 (Python 3.8)
        if mine != theirs:
            break
        length += 1
    return length
