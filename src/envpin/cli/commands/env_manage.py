"""`envpin env list|remove|prune|export`: what is in the store, how large it is, what needs it, and taking it away."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from envpin.cli.commands.env_arguments import SCHEMA, describe, find, iso
from envpin.cli.console.tables import table
from envpin.cli.console.width import room
from envpin.core.errors import RefusedError, UsageError
from envpin.core.sizes import counted, parse_size, size_words, verb
from envpin.envs.store.housekeeping import users_of
from envpin.envs.store.store import Store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from envpin.cli.console.console import Console
    from envpin.envs.store.environment import Environment

_DAYS = {"d": 1.0, "w": 7.0, "h": 1 / 24, "": 1.0}
_DEFAULT_DAYS = 30.0


def run_list(_args: argparse.Namespace, console: Console) -> int:
    """Every environment, most recently used first."""
    store = Store()
    found = store.list()
    if console.json_mode:
        console.document(SCHEMA, {"environments": [_described(one, store) for one in found]})
        return 0
    if not found:
        console.talk("no environments yet; `envpin env create REF` builds one")
        return 0
    rows = [("KEY", "SIZE", "LAST USED", "PYTHON", "PACKAGES", "NEEDED BY", "NAME")]
    rows += [
        (
            one.key[:12],
            size_words(one.size),
            iso(one.last_used)[:16].replace("T", " "),
            one.receipt.interpreter.version,
            str(len(one.receipt.artifacts)),
            _needed(one) if store.owns(one) else "shared",
            one.receipt.name,
        )
        for one in found
    ]
    console.data("\n".join(table(rows, width=room(), elastic=len(rows[0]) - 1)))
    own = [one for one in found if store.owns(one)]
    size = size_words(sum(one.size for one in own))
    console.talk(f"{size} in {counted(len(own), 'environment')}; files that they share, or uv's cache, count in each")
    return 0


def run_remove(args: argparse.Namespace, console: Console) -> int:
    """
    Raises:
        InputError: a REF names no environment of the store.
        RefusedError: one of them is in use, or in a store that is only read.
    """
    store = Store()
    chosen = list({one.key: one for one in (find(ref, args.python, store) for ref in args.refs)}.values())
    for one in chosen:
        users = users_of(one.path)
        if users and not args.force:
            raise RefusedError(
                f"`{one.receipt.name}` is in use by {_processes(users)}", hint="wait for it, or add --force"
            )
    bodies = [_described(one, store) for one in chosen]
    freed = store.prune(chosen, ())
    if console.json_mode:
        console.document(SCHEMA, {"removed": bodies, "freed_bytes": freed})
        return 0
    for body in bodies:
        console.data(f"removed {str(body['key'])[:12]} {body['name']}")
    console.talk(f"freed {size_words(freed)} (files shared with uv's cache free nothing: `uv cache prune`)")
    return 0


def run_prune(args: argparse.Namespace, console: Console) -> int:
    """
    Raises:
        UsageError: an age or a size that is none.
    """
    store = Store()
    own = [one for one in store.list() if store.owns(one)]
    users = {one.key: found for one in _chosen(own, args) if (found := users_of(one.path))}
    chosen = [one for one in _chosen(own, args) if one.key not in users]
    leftovers = store.leftovers()
    described = [_described(one, store) for one in chosen]
    labels = [f"{one.key[:12]} {one.receipt.name}" for one in chosen]
    freed = 0 if args.dry_run else store.prune(chosen, leftovers)
    if console.json_mode:
        console.document(
            SCHEMA,
            {
                "dry_run": args.dry_run,
                "environments": described,
                "in_use": {key: list(found) for key, found in users.items()},
                "leftovers": [str(path) for path in leftovers],
                "freed_bytes": freed,
            },
        )
        return 0
    done = "would remove" if args.dry_run else "removed"
    for label in labels:
        console.data(f"{done} {label}")
    for path in leftovers:
        console.data(f"{done} leftover {path.name}")
    for key, found in users.items():
        console.talk(f"kept {key[:12]}: in use by {_processes(found)}")
    if not chosen and not leftovers and not users:
        console.talk("nothing to remove")
    elif not args.dry_run:
        console.talk(f"freed {size_words(freed)} (files shared with uv's cache free nothing: `uv cache prune`)")
    return 0


def run_export(args: argparse.Namespace, console: Console) -> int:
    """
    Raises:
        BuildError: a package has no wheel for this machine.
    """
    from pathlib import Path

    from envpin.cli.commands.env_arguments import resolver_of
    from envpin.core.files import write_atomically
    from envpin.envs.refs.resolve import resolve
    from envpin.envs.store.export import exported

    spec = resolve(args.ref, resolver_of(args, console.listener()))
    console.close()
    text = exported(spec, args.as_format)
    if args.output is not None:
        write_atomically(Path(args.output), text)
    if console.json_mode:
        console.document(SCHEMA, {"format": args.as_format, "text": text, "path": args.output})
    else:
        console.data(text if args.output is None else args.output)
    return 0


def _chosen(own: list[Environment], args: argparse.Namespace) -> list[Environment]:
    """Those that are too old, and then the least recently used ones until the rest is small enough."""
    _refuse_contradictions(args)
    if args.all:
        return own
    days = _days(args.older_than) if args.older_than is not None else args.unused_for
    if days is None and args.max_size is None:
        days = _DEFAULT_DAYS
    limit = time.time() - days * 86400 if days is not None else 0.0
    chosen = [one for one in own if one.last_used < limit]
    if args.max_size is None:
        return chosen
    left = [one for one in own if one.last_used >= limit]
    most, total = parse_size(args.max_size), sum(one.size for one in left)
    while left and total > most:
        oldest = left.pop()  # the list is sorted, most recently used first
        total -= oldest.size
        chosen.append(oldest)
    return chosen


def _refuse_contradictions(args: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: two options say differently what to remove, or a number of days is none.
    """
    if args.older_than is not None and args.unused_for is not None:
        raise UsageError("`--older-than` and `--unused-for` say the same: give one of them")
    if args.all and (args.older_than or args.max_size or args.unused_for is not None):
        raise UsageError("`--all` removes every environment, whatever its age and size: give it alone")
    if args.unused_for is not None and not args.unused_for >= 0:
        raise UsageError(f"`--unused-for {args.unused_for:g}` is not an age", hint="write for example 90")


def _days(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([dwh]?)", text)
    if found is None:
        raise UsageError(f"`{text}` is not an age", hint="write for example 90d, 12w or 36h")
    return float(found[1]) * _DAYS[found[2]]


def _described(environment: Environment, store: Store) -> dict[str, object]:
    more = {"bytes": environment.size, "needed_by": list(environment.needed_by), "shared": not store.owns(environment)}
    return {**describe(environment), **more}


def _processes(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"{verb(len(numbers), 'process', 'processes')} {', '.join(map(str, numbers[:5]))}{more}"


def _needed(environment: Environment) -> str:
    needed = environment.needed_by
    if not needed:
        return "–"
    name = re.split(r"[/\\]", needed[0].rstrip("/\\"))[-1]
    return name if len(needed) == 1 else f"{name} +{len(needed) - 1}"
