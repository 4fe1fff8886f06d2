"""Relations of the matrix bound what is resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import ResolutionError
from envpin.envs.locks.bounded import broken_bounds, compile_bounded
from envpin.matrix.load import load_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.mark.parametrize(
    ("torch", "numpy", "expected"),
    [("2.0.1", "2.2.0", ["numpy<2"]), ("2.2.2", "2.0.0", ["numpy<2"]), ("2.3.0", "2.2.0", []), ("2.0.1", "1.26.4", [])],
)
def test_torch_built_against_numpy_1_bounds_numpy(torch: str, numpy: str, expected: list[str]) -> None:
    assert broken_bounds({"torch": torch, "numpy": numpy}, (), load_matrix().relations) == expected


def test_what_was_asked_for_exactly_is_not_bounded() -> None:
    assert broken_bounds({"torch": "2.0.1", "numpy": "2.2.0"}, {"numpy"}, load_matrix().relations) == []


def _lock(**versions: str) -> str:
    return "\n".join(f'[[packages]]\nname = "{name}"\nversion = "{version}"' for name, version in versions.items())


def test_a_broken_relation_is_resolved_again_with_its_bound() -> None:
    asked: list[tuple[str, ...]] = []

    def compiled(constraints: Sequence[str]) -> str:
        asked.append(tuple(constraints))
        return _lock(torch="2.0.1", numpy="1.26.4" if "numpy<2" in constraints else "2.2.0")

    assert "1.26.4" in compile_bounded(compiled, ("pillow<11",), {"torch": "2.0.1"})
    assert asked == [("pillow<11",), ("pillow<11", "numpy<2")]


def test_what_cannot_be_bounded_stays_as_it_was() -> None:
    def compiled(constraints: Sequence[str]) -> str:
        if constraints:
            raise ResolutionError("nothing fits")
        return _lock(torch="2.0.1", numpy="2.2.0")

    assert "2.2.0" in compile_bounded(compiled, (), {"torch": "2.0.1"})
