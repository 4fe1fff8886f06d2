"""Why a lock is not for a Python or a platform, in words. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.envs.locks.fitting import Target, lacking

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpin.core.errors import EnvironmentSetupError
    from envpin.envs.locks.lock import Lock

# The oldest Python that a lock is made for, and the newest one that there is (3.15, of October 2026): every one between
# them is promised or left out with a reason. Raise them as Pythons come and go.
OLDEST_MINOR = 10
NEWEST_MINOR = 15
GAP = "a lock promises no Python beyond one that is left out"
# In uv's words, pinned by tests/integration/test_uv_contract.py.
_DECLARED = re.compile(r"\b([A-Za-z0-9][\w.-]*)==([\w.!+]+) (?:depends on|requires) Python ?(>=?[\d.]+\d)")

# Platform, Python (`3.13`), reason.
LeftOut = tuple[str, str, str]


def without_wheels(lock: Lock, platform: str, python: str, fault: EnvironmentSetupError | None = None) -> str:
    """The packages without a wheel for that platform and Python; else what uv said, where it was asked."""
    missing = lacking(lock, Target(platform=platform, python=python))
    if missing:
        return f"no wheel of {', '.join(missing[:3])}" + (f" and {len(missing) - 3} more" if missing[3:] else "")
    return fault.message.splitlines()[-1].strip() if fault is not None else GAP


def declared(fault: EnvironmentSetupError | None, python: str) -> str:
    """Why a lock does not begin at `python`: what a package declares, by `fault`; None where all resolves there."""
    if fault is None:
        return "not asked for (`--python`)"
    found = _DECLARED.search(re.sub(r"\s+", " ", fault.message))
    return f"{found[1]} {found[2]} declares Python {found[3]}" if found else f"nothing resolves on Python {python}"


def in_words(found: Sequence[LeftOut]) -> list[str]:
    """One line for each reason, with the platforms that share it: `linux-x86_64, … with Python 3.13 to 3.15: …`."""
    platforms: dict[tuple[str, str], list[str]] = {}
    for platform, python, why in found:
        platforms.setdefault((python, why), []).append(platform)
    pythons: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (python, why), names in platforms.items():
        pythons.setdefault((why, tuple(names)), []).append(python)
    return [
        f"{', '.join(names)} with Python {span}: {why}"
        for (why, names), some in pythons.items()
        for span in _spans(some)
    ]


def _spans(pythons: Sequence[str]) -> Iterator[str]:
    minors = sorted(int(one.split(".")[1]) for one in pythons)
    first = last = minors[0]
    for minor in [*minors[1:], 0]:
        if minor == last + 1:
            last = minor
            continue
        yield f"3.{first}" if first == last else f"3.{first} to 3.{last}"
        first = last = minor
