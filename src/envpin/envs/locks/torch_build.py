"""Which build of torch a lock has, and what to say where it is not the one that was wanted. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.errors import NetworkError, ResolutionError
from envpin.core.events import Note
from envpin.core.sizes import size_words
from envpin.core.torch_builds import backend_of, is_companion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpin.core.errors import EnvpinError
    from envpin.envs.locks.lock import Lock
    from envpin.envs.locks.torch_wish import TorchWish


def torch_of(lock: Lock) -> str | None:
    """The version of torch in a lock for one platform, with its label; None where it has none."""
    return next(iter(lock.versions_of("torch")), None)


def torch_bytes(lock: Lock) -> int:
    """The bytes of the wheels of torch, and of what a CUDA build brings along, as far as the lock says them."""
    return sum(
        max((wheel.size or 0 for wheel in package.wheels or ()), default=0)
        for package in lock.packages
        if package.name == "torch" or is_companion(package.name)
    )


def other_build(wish: TorchWish, lock: Lock, missed: Sequence[EnvpinError]) -> Note | None:
    """What to say of a lock whose torch is another build than the one that was wished for; None where it is that.

    A warning where the wanted build is the recorded one.
    """
    held = torch_of(lock)
    if held is None or wish.fits(held) or not missed:
        return None
    size = torch_bytes(lock)
    much = f" ({size_words(size)} to download with what it brings along)" if size else ""
    why = "cannot be had" + (f", as {_reason(wish, missed)}" if _reason(wish, missed) else "")
    said = "was recorded, and" if wish.recorded else "was looked for and"
    return Note(
        message=f"torch of the build `{wish.label}` {said} {why}: torch {held} is used instead{much}",
        level="warning" if wish.recorded else "info",
    )


def not_to_be_had(wish: TorchWish | None, missed: Sequence[EnvpinError]) -> EnvpinError:
    """The error where no way worked: what the user's own index said, unless the build is all that is missing."""
    first = missed[0]
    if wish is None or not isinstance(first, ResolutionError):
        return first
    reason = _reason(wish, missed)
    missing = f"was not found: {reason}" if reason else "is in no index"
    return ResolutionError(
        f"{first.message}\n  the build `{wish.label}` of torch {missing}",
        hint=first.hint,
    )


def _reason(wish: TorchWish, missed: Sequence[EnvpinError]) -> str:
    if any(isinstance(fault, NetworkError) for fault in missed[1:]):
        return f"the index of `{backend_of(wish.label)}` cannot be reached and your own does not have it"
    return ""
