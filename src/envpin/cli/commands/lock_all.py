"""`envpin lock --all`: write every lock of the matrix, and the table of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.errors import InfrastructureError, UsageError
from envpin.core.files import write_atomically
from envpin.core.resources import data_path
from envpin.core.sizes import counted
from envpin.envs.locks.lock import lock_file_name
from envpin.envs.locks.portable import portable_lock
from envpin.envs.refs.family import committed_requests
from envpin.envs.refs.lock_table import lock_table
from envpin.matrix.load import load_matrix

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from envpin.cli.console.console import Console
    from envpin.envs.locks.lock import Lock

SCHEMA = 1


def write_all(
    args: argparse.Namespace, console: Console, *, write_lock: Callable[[Lock, Path], bool]
) -> int:  # fmt: skip
    """`write_lock` is how `envpin lock` writes one.

    Raises:
        UsageError: a reference, or an option that only makes sense with one.
        ResolutionError, BuildError, NetworkError: a lock cannot be made; those before it are written.
        InfrastructureError: the table cannot be written.
    """
    if args.ref is not None or args.check:
        raise UsageError("`--all` stands alone", hint="envpin lock --all, or `envpin lock --check` to compare")
    for option in ("python", "exclude_newer"):
        if getattr(args, option) is not None:
            raise UsageError(f"`--{option.replace('_', '-')}` goes with one REF", hint="envpin lock REF")
    folder = Path(args.output) if args.output else data_path("lockfiles")
    matrix = load_matrix()
    locks: dict[str, Lock] = {}
    changed: list[str] = []
    for stem, (request, _) in sorted(committed_requests(matrix).items()):
        lock = portable_lock(request, offline=args.offline, listener=console.listener())
        locks[stem] = lock
        if write_lock(lock, folder / lock_file_name(stem)):
            changed.append(stem)
    console.close()
    table = folder / "README.md"
    try:
        write_atomically(table, lock_table(matrix, locks).encode())
    except OSError as error:
        raise InfrastructureError(
            f"`{table}` cannot be written: {error.strerror}", hint="choose another `-o`"
        ) from error
    if console.json_mode:
        console.document(SCHEMA, {"folder": str(folder), "locks": sorted(locks), "changed": changed})
    else:
        console.data(f"{folder}: {counted(len(locks), 'lock')}, {len(changed)} changed")
    return 0
