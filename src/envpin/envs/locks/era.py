"""The time that pins come from: what is not pinned should be what existed then, not what exists today."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from envpin.core.errors import InputError
from envpin.envs.locks.requirements import exact_pins
from envpin.remote.index import Index

if TYPE_CHECKING:
    from collections.abc import Sequence

# Companions of a release (tokenizers, accelerate, …) often follow it by a few days.
GRACE = dt.timedelta(days=7)


def era_limit(requirements: Sequence[str], *, offline: bool = False) -> str | None:
    """The time (RFC 3339) some days after the newest pinned release appeared.

    None where nothing is pinned exactly, or the index knows no date of any pinned release.

    Raises:
        NetworkError: the index cannot be reached, or `offline` and it was never asked.
    """
    index = Index(offline=offline)
    appeared: list[dt.datetime] = []
    for name, version in exact_pins(requirements).items():
        try:
            known = index.releases(name)
        except InputError:
            continue  # a package of a local folder; the index has no say
        appeared += [one.uploaded for one in known if one.uploaded is not None and _same(one.version, version)]
    return (max(appeared) + GRACE).astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if appeared else None


def _same(released: str, pinned: str) -> bool:
    from packaging.version import Version

    return Version(released) == Version(Version(pinned).public)
