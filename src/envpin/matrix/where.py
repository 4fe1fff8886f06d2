"""Where the user's own files about versions are: the overlay of the matrix, and what `matrix collect` wrote."""

from __future__ import annotations

import os
from pathlib import Path

from envpin.core.resources import config_path

# The shipped matrix has some hundred kB; an overlay of a user has less.
MATRIX_BYTES = 16_000_000


def overlay_path() -> Path | None:
    """The user's own matrix: the file that `ENVPIN_MATRIX` names (none where it is empty), else `matrix.toml` in the
    configuration folder, where it exists."""
    named = os.environ.get("ENVPIN_MATRIX")
    if named is not None:
        return Path(named) if named.strip() else None
    usual = usual_overlay()
    return usual if usual.is_file() else None


def usual_overlay() -> Path:
    """Where the overlay is when `ENVPIN_MATRIX` does not say."""
    return config_path() / "matrix.toml"


def own_support_path() -> Path | None:
    """What the user's own `matrix collect` wrote or will write; None where `ENVPIN_MATRIX` says to use nothing of
    theirs."""
    return _own("support.json")


def own_stack_path() -> Path | None:
    """The same of `matrix collect --stack`."""
    return _own("stack.json")


def _own(name: str) -> Path | None:
    named = os.environ.get("ENVPIN_MATRIX")
    return None if named is not None and not named.strip() else config_path() / name
