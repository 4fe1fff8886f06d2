"""`envpin env create MODEL --for … --with …`: the environments of a stack, built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.cli.stack import answer_stack
from envpin.envs.store.store import Store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from envpin.cli.console.console import Console
    from envpin.envs.refs.pins import Resolver
    from envpin.envs.store.environment import Environment


SCHEMA = 1


def create_stack(
    args: argparse.Namespace, console: Console, *, resolver: Resolver, limit: int | None,
    describe: Callable[[Environment], dict[str, object]],
) -> int:  # fmt: skip
    """Build each environment; `limit` is how many bytes may be downloaded for one."""
    listener = console.listener()
    _, _, answer = answer_stack(args, args.ref, listener=listener, resolver=resolver)
    store = Store()
    built = [
        (
            one,
            store.ensure(
                one.spec, listener=listener, offline=args.offline, rebuild=args.rebuild, keep_wheels=args.keep_wheels,
                max_download=limit,
            ),
        )
        for one in answer.environments
    ]  # fmt: skip
    console.close()
    if console.json_mode:
        bodies = [{"for": one.purposes, "pins": dict(one.pins), **describe(made)} for one, made in built]
        console.document(SCHEMA, {"environments": bodies, "why_two": answer.why_two})
        return 0
    for one, made in built:
        if len(built) > 1:
            console.talk(f"to {' and '.join(one.purposes)}:")
        console.data(str(made.path))
    for note in answer.notes:
        console.talk(f"note: {note}")
    return 0
