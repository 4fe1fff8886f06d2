"""What changed between two locks, and whether they promise and leave out the same. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envpin.envs.locks.lock import Lock


def differences_of(kept: Lock, fresh: Lock) -> list[str]:
    """What changed, package by package; other changes (markers, hashes, platforms) in one line."""
    before = {package.name: kept.versions_of(package.name) for package in kept.packages}
    after = {package.name: fresh.versions_of(package.name) for package in fresh.packages}
    lines = [
        f"{name}: {', '.join(before.get(name, ())) or 'absent'} → {', '.join(after.get(name, ())) or 'absent'}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    return lines or ["the same versions, with other artifacts, markers or platforms"]


def promises_of(lock: Lock) -> tuple[object, object]:
    """What a portable lock says of itself: the Pythons proved on each platform, and what is left out and why."""
    said = (lock.pylock.tool or {}).get("envpin", {})
    return said.get("proven"), said.get("left-out", [])


def stale_promises(kept: Lock, fresh: Lock) -> list[str]:
    """What a kept lock says of platforms and Pythons that a fresh one does not, where they install the same."""
    if promises_of(kept) == promises_of(fresh):
        return []
    return ["what it promises and leaves out is said otherwise today: write it again (`envpin lock --all`)"]
