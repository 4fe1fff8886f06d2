"""`envpin lock MODEL --for … --with …`: a lock for each environment of a stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.cli.console.formats import is_for_ci
from envpin.cli.stack import answer_stack, stack_command
from envpin.core.errors import UsageError
from envpin.envs.locks.portable import LockRequest, portable_lock
from envpin.envs.refs.family import as_time
from envpin.envs.refs.pins import Resolver

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from envpin.cli.console.console import Console
    from envpin.envs.locks.lock import Lock
    from envpin.envs.refs.joint import JointEnvironment
    from envpin.matrix.subject import ModelSubject


SCHEMA = 1


def lock_stack(
    args: argparse.Namespace, console: Console, *, target_of: Callable[[str | None, str], Path | None],
    write_lock: Callable[[Lock, Path], bool], check: Callable[[Lock, Path | None], int],
) -> int:  # fmt: skip
    """Write a lock for each environment, where and how `envpin lock` does; with `--check`, compare each with its file,
    exit status 1 where one is not what would be written."""
    if args.exclude_newer:
        raise UsageError("`--exclude-newer` does not go with a stack", hint="the model and the tools decide the day")
    listener = console.listener()
    _, subject, answer = answer_stack(args, args.ref, listener=listener, resolver=Resolver(offline=args.offline))
    if len(answer.environments) > 1 and args.output is not None:
        raise UsageError(
            f"`-o {args.output}` is one file, and the stack is two environments: {'; '.join(answer.why_two)}",
            hint="leave out -o, or lock each on its own: --for train, --for serve",
        )
    if len(answer.environments) > 1 and args.check and (console.json_mode or is_for_ci(args)):
        raise UsageError("one document is about one lock, and the stack is two environments",
                         hint="check each on its own: --for train, --for serve")  # fmt: skip
    statuses: list[int] = []
    written: list[dict[str, object]] = []
    for one in answer.environments:
        name = _name(args.ref, subject, one)
        request = LockRequest(
            name=name, requirements=one.requirements, python=answer.python,
            exclude_newer=as_time(one.attempt.exclude_newer) if one.attempt.exclude_newer else None,
            command=stack_command("lock", args.ref, args, one.purposes),
        )  # fmt: skip
        lock = portable_lock(request, offline=args.offline, listener=listener)
        target = target_of(args.output, name)
        if args.check:
            console.close()
            statuses.append(check(lock, target))
            continue
        if target is None:
            console.data(lock.text)
            continue
        changed = write_lock(lock, target)
        written.append({"for": one.purposes, "path": str(target), "changed": changed, "sha256": lock.digest,
                        "pins": dict(one.pins)})  # fmt: skip
    console.close()
    if args.check:
        return max(statuses)
    if console.json_mode:
        console.document(SCHEMA, {"locks": written, "why_two": answer.why_two, "notes": answer.notes})
    else:
        for body in written:
            console.data(str(body["path"]))
    return 0


def _name(model: str, subject: ModelSubject, one: JointEnvironment) -> str:
    own = (subject.name or Path(model).name).rpartition("/")[2]
    return f"{own}-{'-'.join(one.purposes)}"
