"""Where a base that an adapter names by a path may lie: the path was true elsewhere, or seen from another folder."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath

# out/run-7/checkpoint-500 lies three folders below where its trainer ran.
LEVELS_ABOVE = 3


def base_places(named: str, adapter: Path | None) -> list[tuple[Path, str]]:
    """Each place with its words, in the order to look. `adapter` is None for one that lies on the Hub.

    What lies where the user happens to stand says nothing about the adapter: a relative path is looked for there last.
    """
    if adapter is None:
        return [(Path(named), "named by the adapter")]
    found: list[tuple[Path, str]] = []
    here = Path(os.path.abspath(adapter))  # noqa: PTH100  resolve() would turn a cache's links into blobs
    above = [parent for parent in here.parents if parent != parent.parent][:LEVELS_ABOVE]
    relative = not Path(named).is_absolute()
    if relative:
        # A trainer writes what was typed: a path relative to where it ran, some folders above what it saved.
        found.append((here / named, "named by the adapter, relative to it"))
        found += [(parent / named, f"named by the adapter, relative to `{parent}`") for parent in above]
    else:
        found.append((Path(named), "named by the adapter"))
    last = PureWindowsPath(named).name if "\\" in named else Path(named).name
    if last not in {"", ".", ".."}:
        found += [(parent / last, f"of that name in `{parent}`") for parent in (here, *above)]
    if relative:
        found.append((Path(named), "named by the adapter, in the current directory"))
    return found
