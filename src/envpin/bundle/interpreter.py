"""A Python that can be moved: one of uv's own builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.errors import InputError
from envpin.envs.uv.command import find_uv

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.envs.locks.fitting import Target


def relocatable_python(target: Target, *, offline: bool) -> Path:
    """The folder of a relocatable Python of that version, installed by uv where it is not there yet.

    Raises:
        InputError: it is for another platform than this one's.
        NoInterpreterError, NetworkError: uv cannot get it.
    """
    if target.platform is not None and target.name != type(target)(platform=None, python=target.python).name:
        raise InputError(
            f"a Python for {target.name} cannot be had on this machine", hint="leave out --with-python, or bundle there"
        )
    return find_uv().managed_python(target.python, offline=offline)
