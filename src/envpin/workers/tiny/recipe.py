"""Recipes of tiny models, one per family: scaled down, but with every feature that tells the family apart.

They are data (`recipes/*.json`). Each `config` is written as the family's own `config.json` on the Hub is written,
never through a configuration class, so that a release too old for the family fails on it exactly as it fails on the
real one. Windows of attention are 16 tokens, shorter than the probe's inputs, so that a window that a release forgets
changes the logits.
"""

from __future__ import annotations

import json
import os
from typing import Dict, List, NamedTuple, Optional

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recipes")


class TinyRecipe(NamedTuple):
    """`targets` are the layers that people train; `task` is what peft calls task_type."""

    task: Optional[str]
    targets: List[str]
    config: Dict[str, object]


def load_recipes() -> Dict[str, TinyRecipe]:
    """Every recipe by its family."""
    found: Dict[str, TinyRecipe] = {}
    for name in sorted(os.listdir(_FOLDER)):
        with open(os.path.join(_FOLDER, name), encoding="utf-8") as stream:
            for family, entry in json.load(stream).items():
                found[family] = TinyRecipe(**entry)
    return found
