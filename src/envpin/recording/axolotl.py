"""A plugin for Axolotl, named in its YAML: `plugins: [envpin.recording.axolotl.EnvpinPlugin]`.

Axolotl's own base class is not imported: the plugin answers every hook that its manager calls
(https://github.com/axolotl-ai-cloud/axolotl, `integrations/base.py`), and says None to all but the two whose result
the manager iterates over or merges without asking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.api import watch

if TYPE_CHECKING:
    from collections.abc import Callable


class EnvpinPlugin:
    """Records every save of the run that names it. Axolotl makes it before it loads the base."""

    def __init__(self) -> None:
        watch()

    def get_adapter_capabilities(self) -> list[object]:
        """No kinds of adapters of its own."""
        return []

    def get_lora_config_kwargs(self, *_arguments: object, **_named: object) -> dict[str, object]:
        """Nothing for LoraConfig."""
        return {}

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)
        return _nothing


def _nothing(*_arguments: object, **_named: object) -> None:
    return None
