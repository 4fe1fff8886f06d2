"""Configurations of tiny models, one per family: scaled down, but with every feature that tells the family apart.

Each is written as the family's own `config.json` on the Hub is written, never through a configuration class, so that a
release too old for the family fails on it exactly as it fails on the real one. `targets` are what people train.
"""

from typing import Any, Dict

from . import experts, llama, other, parts, qwen, text, vision

RECIPES: Dict[str, Dict[str, Any]] = {}
for _table in (llama, qwen, text, experts, vision, parts, other):
    RECIPES.update(_table.RECIPES)
