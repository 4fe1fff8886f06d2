"""What the matrix knows to work together bounds what is resolved: declared requirements leave some of it open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpin.core.errors import ResolutionError
from envpin.core.toml_input import parse_toml
from envpin.matrix.load import load_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from envpin.matrix.types import Relation

# A bound may bring another release into play, which has a relation of its own.
_ROUNDS = 3


def compile_bounded(
    compiled: Callable[[Sequence[str]], str], constraints: Sequence[str], pinned: Collection[str]
) -> str:
    """The lock that `compiled` makes of constraints, within the relations of the matrix.

    What is in `pinned` was asked for exactly, and stays. Where nothing fits within the relations, the lock is as it was
    without them: the matrix may be wrong about releases that are newer than it.

    Raises:
        ResolutionError, and what else `compiled` raises.
    """
    text = compiled(constraints)
    bounds: list[str] = []
    for _ in range(_ROUNDS):
        more = [one for one in broken_bounds(_versions(text), pinned, load_matrix().relations) if one not in bounds]
        if not more:
            break
        bounds += more
        try:
            text = compiled((*constraints, *bounds))
        except ResolutionError:
            break
    return text


def broken_bounds(versions: Mapping[str, str], pinned: Collection[str], relations: Sequence[Relation]) -> list[str]:
    """The constraints that the relations put on what is not in `pinned`, where `versions` break them. Pure."""
    return [
        f"{one.other}{one.needs}"
        for one in relations
        if one.package in versions
        and one.other in versions
        and one.other not in pinned
        and SpecifierSet(one.versions).contains(versions[one.package], prereleases=True)
        and not SpecifierSet(one.needs).contains(versions[one.other], prereleases=True)
    ]


def _versions(text: str) -> dict[str, str]:
    packages = parse_toml(text).get("packages")
    return {
        one["name"]: one["version"]
        for one in (packages if isinstance(packages, list) else [])
        if isinstance(one, dict) and isinstance(one.get("name"), str) and isinstance(one.get("version"), str)
    }
