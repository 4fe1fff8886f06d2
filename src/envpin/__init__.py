"""envpin: pin, rebuild and prove the environment that an adapter was trained in.

The public Python API is re-exported lazily, so that `import envpin` costs next to nothing inside a training run. What
is not named here is private. For training scripts (`envpin.api`):

- `record(model, tokenizer, output_dir)` writes `envpin.json` next to what was saved there;
- `watch()` does so for every later save of this process;
- `TrainerCallback` does both for a `transformers.Trainer`, `accelerate_tracker()` the second for an `Accelerator`;
- `log_merge(merged)` puts the record of a merge into the active run of MLflow, W&B or Trackio.

For everything after training (`envpin.public`): `check`, `infer`, `plan`, `replay_merge`, `prove`, `read_manifest` and
`resolve`. They raise `EnvpinError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.version import __version__

if TYPE_CHECKING:
    from envpin.api import RecordingWarning, TrainerCallback, accelerate_tracker, log_merge, record, watch
    from envpin.public import (
        EnvpinError,
        check,
        infer,
        plan,
        prove,
        read_manifest,
        replay_merge,
        resolve,
    )

__all__ = [
    "EnvpinError",
    "RecordingWarning",
    "TrainerCallback",
    "__version__",
    "accelerate_tracker",
    "check",
    "infer",
    "log_merge",
    "plan",
    "prove",
    "read_manifest",
    "record",
    "replay_merge",
    "resolve",
    "watch",
]
# Nothing else of the API may be imported inside a training environment.
_TRAINING = frozenset({"RecordingWarning", "TrainerCallback", "accelerate_tracker", "log_merge", "record", "watch"})
# What IPython asks a module for on `%load_ext envpin`; no part of the API.
_NOTEBOOK = frozenset({"load_ipython_extension", "unload_ipython_extension"})


def __getattr__(name: str) -> object:
    if name in _TRAINING:
        from envpin import api

        return getattr(api, name)
    if name in _NOTEBOOK:
        from envpin.recording import notebook

        return getattr(notebook, name)
    if name in __all__:
        from envpin import public

        return getattr(public, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
