"""Where the data files that travel with envpin are: inside the wheel, or at the root of a checkout."""

from __future__ import annotations

from pathlib import Path

from envpin.errors import InputError

_PACKAGE = Path(__file__).resolve().parent


def data_path(name: str) -> Path:
    """The path of `compat_matrix.toml` or `lockfiles`.

    Raises:
        InputError: the installation is incomplete.
    """
    for root in (_PACKAGE / "data", _PACKAGE.parents[1]):
        candidate = root / name
        if candidate.exists():
            return candidate
    raise InputError(f"`{name}` is missing from this installation of envpin", path=name, hint="reinstall envpin")
