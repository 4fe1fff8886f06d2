"""How an environment is provided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envpin.envs.store.wheels import WheelShelf


@dataclass(frozen=True, kw_only=True, slots=True)
class Provision:
    """`shelves` hold kept wheels, that of the store first; with `keep_wheels` every
    wheel is put there before it is installed. `max_download` is in bytes."""

    shelves: tuple[WheelShelf, ...]
    offline: bool = False
    keep_wheels: bool = False
    max_download: int | None = None
