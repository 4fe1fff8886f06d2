"""Values of a config.json, wherever a model that also sees or hears keeps those of its language model. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def text_value(config: Mapping[str, object], key: str) -> int | None:
    """A size in a config, or in the `text_config` of a model that also sees or hears."""
    for part in (config, config.get("text_config"), config.get("llm_config")):
        value = part.get(key) if isinstance(part, dict) else None
        if type(value) is int:
            return value
    return None


def text_flag(config: Mapping[str, object], key: str) -> bool | None:
    """A truth value in a config; the outer one counts, as it does in transformers."""
    for part in (config, config.get("text_config")):
        value = part.get(key) if isinstance(part, dict) else None
        if isinstance(value, bool):
            return value
    return None
