"""The recipes of tiny models: which families have one, and what it is made from.

They are data files of the worker that makes the models (`workers/tiny/recipes/*.json`); nothing of its code is needed
to read them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHIPPED = Path(__file__).resolve().parents[1] / "workers" / "tiny" / "recipes"


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`config` is a whole config.json, in the style of the family's own; `targets` are the layers that people train,
    `task` is peft's `task_type`. A shape of a family that needs other versions than the rest of it has a recipe of its
    own, under the family's name and its own: `llama3.1/own-head-dim`."""

    task: str | None
    targets: tuple[str, ...]
    config: dict[str, object]


def family_of(recipe: str) -> str:
    """The family of a recipe, which is its name but for the shape."""
    return recipe.partition("/")[0]


@cache
def load_recipes() -> Mapping[str, Recipe]:
    """Every recipe by its family."""
    found: dict[str, Recipe] = {}
    for path in sorted(_SHIPPED.glob("*.json")):
        found |= msgspec.json.decode(path.read_bytes(), type=dict[str, Recipe])
    return found
