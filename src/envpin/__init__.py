"""envpin: pin, rebuild and prove the environment that an adapter was trained in.

The public Python API is re-exported lazily, so that `import envpin` costs next to nothing inside a training run:

- `record(model, tokenizer, output_dir)` writes `envpin.json` beside what was saved there;
- `watch()` does so for every later save of this process;
- `TrainerCallback` does both for a `transformers.Trainer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envpin.api import TrainerCallback, record, watch

__version__ = "0.1.0"
__all__ = ["TrainerCallback", "__version__", "record", "watch"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from envpin import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
