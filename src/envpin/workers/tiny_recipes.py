"""Configurations of tiny models, one per family: scaled down, but with every feature that tells the family apart.

Each is written as the family's own `config.json` on the Hub is written, never through a configuration class, so that a
release too old for the family fails on it exactly as it fails on the real one. `targets` are what people train.
"""

from typing import Any, Dict

from . import tiny_experts, tiny_llama, tiny_other, tiny_parts, tiny_qwen, tiny_text, tiny_vision

RECIPES: Dict[str, Dict[str, Any]] = {}
for _table in (tiny_llama, tiny_qwen, tiny_text, tiny_experts, tiny_vision, tiny_parts, tiny_other):
    RECIPES.update(_table.RECIPES)
