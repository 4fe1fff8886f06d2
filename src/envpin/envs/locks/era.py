"""The time that pins come from: what is not pinned should be what existed then, not what exists today."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from envpin.core.eras import COMPANION_DAYS
from envpin.core.errors import InputError
from envpin.core.versions import same_release
from envpin.envs.locks.requirements import exact_pins
from envpin.remote.index import Index

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        appeared += [one.uploaded for one in known if one.uploaded is not None and same_release(one.version, version)]
    if not appeared:
        return None
    limit = max(appeared) + dt.timedelta(days=COMPANION_DAYS)
    return limit.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
