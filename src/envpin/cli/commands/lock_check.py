"""`envpin lock --check` without a reference: is every lock of the matrix what would be written today?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envpin.cli.console.formats import answer, is_for_ci, stale_lock
from envpin.core.errors import EnvironmentSetupError, InputError, UsageError
from envpin.core.resources import data_path
from envpin.core.sizes import counted
from envpin.envs.locks.compare import differences_of, stale_promises
from envpin.envs.locks.lock import lock_file_name, read_lock
from envpin.envs.locks.portable import portable_lock
from envpin.envs.refs.family import committed_requests
from envpin.matrix.load import load_matrix

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.envs.locks.portable import LockRequest

SCHEMA = 1


def check_all(args: argparse.Namespace, console: Console) -> int:
    """Exit status 1 where a lock is missing, stale, or a platform that it promises can no longer be installed.

    Raises:
        UsageError: an option that only makes sense with one reference.
        NetworkError: the index does not answer.
    """
    if not args.check:
        raise UsageError("what is to be locked is missing", hint="envpin lock REF, or `envpin lock --check` for all")
    for option in ("output", "python", "exclude_newer"):
        if getattr(args, option) is not None:
            raise UsageError(f"`--{option.replace('_', '-')}` goes with one REF", hint="envpin lock REF --check")
    requests = committed_requests(load_matrix())
    answers = []
    for stem, (request, families) in sorted(requests.items()):
        answers.append(_checked(stem, request, families, args, console))
    wrong = [one for one in answers if one["problems"]]
    console.close()
    if is_for_ci(args):
        locks = data_path("lockfiles")
        answer([stale_lock(locks / one["lock"], one["problems"]) for one in answers], args, console)
    elif console.json_mode:
        console.document(SCHEMA, {"locks": answers})
    else:
        for one in answers:
            console.data(f"{'✗' if one['problems'] else '✓'} {one['lock']}: {_said(one)}")
            for line in (*one["problems"], *(f"not for {left}" for left in one["left_out"])):
                console.data(f"  {line}")
    return 1 if wrong else 0


def _checked(
    stem: str, request: LockRequest, families: tuple[str, ...], args: argparse.Namespace, console: Console
) -> dict[str, Any]:
    path = data_path("lockfiles") / lock_file_name(stem)
    state: dict[str, object] = {
        "lock": path.name,
        "families": list(families),
        "problems": [],
        "environments": [],
        "left_out": [],
    }
    try:
        kept = read_lock(path)
        # Made anew, every platform and Python that the lock promises is proved by a dry run of uv.
        fresh = portable_lock(request, offline=args.offline, listener=console.listener())
    except (InputError, EnvironmentSetupError) as fault:
        state["problems"] = [line.strip() for line in fault.message.splitlines()]
        return state
    state["environments"] = [str(marker) for marker in kept.pylock.environments or ()]
    state["left_out"] = (fresh.pylock.tool or {}).get("envpin", {}).get("left-out", [])
    state["problems"] = stale_promises(kept, fresh) if kept == fresh else differences_of(kept, fresh)
    return state


def _said(answer: dict[str, Any]) -> str:
    count = len(answer["families"])
    state = "not what would be written" if answer["problems"] else "up to date, installable where it says"
    return f"{state} ({counted(count, 'family')})"
