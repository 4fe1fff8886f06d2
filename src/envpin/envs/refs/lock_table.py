"""`lockfiles/README.md`: which lock is a family's, and what each lock promises. Pure; `envpin lock --all` writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envpin.envs.locks.fitting import MACOS
from envpin.envs.locks.left_out import NEWEST_MINOR, OLDEST_MINOR
from envpin.envs.locks.lock import lock_file_name
from envpin.envs.locks.portable import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.envs.locks.lock import Lock
    from envpin.matrix.types import Matrix

_HEAD = """# Locks

Written by `envpin lock --all`; do not edit. Each lock is a plain PEP 751 file which pip and uv install. Families with
the same recommended versions share one; `envpin env create FAMILY` and `envpin run FAMILY -- …` find it by the family.

Tried are {platforms}, each with Python 3.{oldest} to 3.{newest}.
What a dry run of uv finds every wheel for is promised; the rest is in the column `left out`, with the reason. Not
tried, so not promised: other platforms (Intel Macs, Windows on ARM, musl), a glibc before 2.28, a macOS before {macos}.
"""


def lock_table(matrix: Matrix, locks: Mapping[str, Lock]) -> str:
    """The page; `locks` by stem. A lock that is missing has no row, and a family without one is not listed."""
    head = _HEAD.format(
        platforms=", ".join(one.name for one in PLATFORMS), oldest=OLDEST_MINOR, newest=NEWEST_MINOR, macos=MACOS[0]
    )
    lines = [head, "## What each lock promises", "", "| lock | versions | Pythons | left out |", "|---|---|---|---|"]
    for stem, lock in sorted(locks.items()):
        tool: dict[str, Any] = lock.pylock.tool.get("envpin", {}) if lock.pylock.tool else {}
        pins = ", ".join(f"{one.name} {one.version}" for one in lock.packages
                         if one.name in {"transformers", "peft", "torch"})  # fmt: skip
        proven = "; ".join(f"{name} {pythons[0]} to {pythons[-1]}" for name, pythons in tool.get("proven", {}).items())
        left = "; ".join(tool.get("left-out", ())) or "nothing"
        lines.append(f"| [`{stem}`]({lock_file_name(stem)}) | {pins} | {proven} | {left} |")
    lines += ["", "## The lock of a family", "", "| family | id | lock | proved |", "|---|---|---|---|"]
    for family in matrix.families.values():
        if family.lock is not None and family.lock in locks:
            name = lock_file_name(family.lock)
            lines.append(f"| {family.title} | `{family.id}` | [`{family.lock}`]({name}) | {family.grade} |")
    return "\n".join(lines) + "\n"
