"""`envpin lock REF`: a PEP 751 lock for every platform that has the wheels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.cli.commands.env_arguments import REF_HELP, add_python, add_training
from envpin.cli.console.formats import add_format, answer, is_for_ci, stale_lock
from envpin.cli.stack import add_stack_arguments, asks_for_stack

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.envs.locks.lock import Lock

takes_child = False

SCHEMA = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "ref", metavar="REF", nargs="?", help=f"{REF_HELP}; left out with --check: every lock of the matrix"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to write it (default: pylock.NAME.toml here); - for stdout"
    )
    add_python(parser, "the lowest Python that it is for; where left out, REF decides")
    parser.add_argument(
        "--exclude-newer",
        metavar="DATE",
        help="what is not pinned exactly comes from before DATE (2024-08-01); where left out, REF decides",
    )
    parser.add_argument("--offline", action="store_true", help="use only what uv's cache holds; never the network")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit 1 where FILE, or without REF any lock of the matrix, is not what would be written",
    )
    add_training(parser)
    parser.add_argument(
        "--all",
        action="store_true",
        help="write every lock of the matrix (into the folder of -o), and the table of them",
    )
    add_format(parser)
    add_stack_arguments(parser)
    parser.epilog = (
        "Wheels only, every one with its hash. The lock promises only the platforms and Pythons for which a dry run "
        "finds every wheel. Wheels of this machine (UV_FIND_LINKS) and a torch chosen for its GPU (UV_TORCH_BACKEND) "
        "are left out of account: the lock is for others too."
    )


def run(args: argparse.Namespace, console: Console) -> int:
    if is_for_ci(args) and not args.check:
        from envpin.core.errors import UsageError

        raise UsageError(f"`--format {args.format}` goes with `--check`", hint="envpin lock REF --check")
    if args.all:
        from envpin.cli.commands.lock_all import write_all

        return write_all(args, console, write_lock=write_lock)
    if args.ref is None:
        from envpin.cli.commands.lock_check import check_all

        return check_all(args, console)
    if asks_for_stack(args):
        from envpin.cli.commands.lock_stack import lock_stack

        return lock_stack(args, console, target_of=target_of, write_lock=write_lock,
                          check=lambda lock, target: _check(lock, target, args, console))  # fmt: skip
    from envpin.envs.locks.portable import portable_lock
    from envpin.envs.refs.lock_request import lock_request

    if args.training:
        from envpin.envs.refs.family import as_time
        from envpin.envs.refs.training import training_path, training_request

        limit = as_time(args.exclude_newer) if args.exclude_newer else None
        path = training_path(args.ref)
        request = training_request(path, python=args.python, exclude_newer=limit, skip=args.skip,
                                   offline=args.offline, listener=console.listener())  # fmt: skip
    else:
        request = lock_request(args.ref, python=args.python, exclude_newer=args.exclude_newer, offline=args.offline)
    target = target_of(args.output or _itself(args), request.name)
    lock = portable_lock(request, offline=args.offline, listener=console.listener())
    console.close()
    if args.check:
        return _check(lock, target, args, console)
    if target is None:
        if console.json_mode:
            console.document(SCHEMA, {**_facts(lock), "text": lock.text})
        else:
            console.data(lock.text)
        return 0
    changed = write_lock(lock, target)
    if console.json_mode:
        console.document(SCHEMA, {**_facts(lock), "path": str(target), "changed": changed})
    else:
        console.data(str(target))
    return 0


def _itself(args: argparse.Namespace) -> str | None:
    """The lock that is checked, where REF is one: `lock --check pylock.mine.toml` is about that file."""
    own = Path(args.ref)
    return args.ref if args.check and own.name.startswith("pylock.") and own.is_file() else None


def target_of(output: str | None, name: str) -> Path | None:
    """Where the lock goes; None for stdout.

    Raises:
        InputError: the name is not one that a lock may have.
    """
    from envpin.envs.locks.lock import check_file_name, lock_file_name

    if output == "-":
        return None
    target = Path(output) if output is not None else Path(lock_file_name(name))
    check_file_name(target)
    return target


def _check(lock: Lock, target: Path | None, args: argparse.Namespace, console: Console) -> int:
    """0 where the file on disk installs what the fresh lock installs.

    Raises:
        InputError: there is no file to compare with.
    """
    from envpin.core.errors import UsageError
    from envpin.envs.locks.compare import differences_of
    from envpin.envs.locks.lock import read_lock

    if target is None:
        raise UsageError("`--check` compares with a file, and stdout is none", hint="give it with `-o FILE`")
    kept = read_lock(target)
    same = kept == lock
    differences = [] if same else differences_of(kept, lock)
    if is_for_ci(args):
        answer([stale_lock(target, [] if same else differences or ["not what would be written"])], args, console)
    elif console.json_mode:
        console.document(SCHEMA, {**_facts(lock), "path": str(target), "same": same, "differences": differences})
    else:
        console.data(f"{'✓' if same else '✗'} {target}: {'up to date' if same else 'not what would be written'}")
        for line in differences:
            console.data(f"  {line}")
    return 0 if same else 1


def write_lock(lock: Lock, target: Path) -> bool:
    """Write the lock by a rename; whether the file changed.

    Raises:
        OutputExistsError: something is there that is not a lock.
        InputError: the folder cannot be written.
    """
    import errno

    from envpin.core.errors import DiskFullError, InputError, OutputExistsError
    from envpin.core.files import write_atomically
    from envpin.envs.locks.lock import read_lock

    if target.exists():
        try:
            if read_lock(target).text == lock.text:
                return False
        except InputError as fault:
            raise OutputExistsError(
                f"`{target}` exists and is not a lock", hint="move it away, or write elsewhere with `-o FILE`"
            ) from fault
    try:
        write_atomically(target, lock.text)
    except OSError as fault:
        if fault.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(f"`{target}` cannot be written: no space left", hint="free some space") from fault
        raise InputError(
            f"`{target}` cannot be written: {(fault.strerror or str(fault)).lower()}", path=target
        ) from fault
    return True


def _facts(lock: Lock) -> dict[str, object]:
    pylock = lock.pylock
    return {
        "sha256": lock.digest,
        "requires_python": str(pylock.requires_python),
        "environments": [str(marker) for marker in pylock.environments or ()],
        "packages": {package.name: str(package.version) for package in lock.packages},
    }
