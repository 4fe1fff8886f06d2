"""What changed between two locks. Pure."""

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
