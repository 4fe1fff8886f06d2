"""The folders of recorded runs: when nobody is left who uses one.

`envpin record` may be killed, and the training run goes on; its recorder writes there until its last process ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

from envpin.core.files import remove_tree

RUN_VARIABLE = "ENVPIN_RECORD"
RUN_PREFIX = "envpin-record-"
_NAMED = re.compile(r"-([0-9]+)-([0-9]+)-")
_OWNER = re.compile(RUN_PREFIX + r"([0-9]+)-([0-9]+)-[0-9a-f]+")


def clear_runs(temporary: str) -> None:
    """Remove the folders of runs that are over from the folder `temporary`. Never raises."""
    with contextlib.suppress(OSError):
        for name in os.listdir(temporary):  # noqa: PTH208
            folder = os.path.join(temporary, name)  # noqa: PTH118
            if name.startswith(RUN_PREFIX) and _is_own(folder) and is_over(os.path.realpath(folder)):
                remove_tree(Path(folder))


def _is_own(folder: str) -> bool:
    status = os.lstat(folder)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def own_name() -> str:
    """This process among all of the machine: its name space (a container has its own) and its number in there."""
    return f"{_name_space()}-{os.getpid()}"


def is_owner_gone(name: str) -> bool:
    """Whether the process that is named in the name of a folder (see `own_name`) has ended; False where that cannot be
    told."""
    found = _NAMED.search(name)
    return found is not None and found[1] == _name_space() != "0" and not os.path.exists(f"/proc/{found[2]}")  # noqa: PTH110


def is_over(folder: str) -> bool | None:
    """Whether nobody uses this folder of a recorded run any more; None where that cannot be told."""
    found = _OWNER.fullmatch(os.path.basename(folder))  # noqa: PTH119
    if found is None or found[1] != _name_space() or found[1] == "0":
        return None
    if os.path.exists(f"/proc/{found[2]}"):  # noqa: PTH110
        return False
    mark = f"{RUN_VARIABLE}={folder}".encode("utf-8", "surrogateescape")
    return not any(mark in _variables(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208


def _name_space() -> str:
    """The number of this process's name space of processes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        return "".join(filter(str.isdigit, os.readlink("/proc/self/ns/pid"))) or "0"  # noqa: PTH115
    return "0"


def _variables(process: str) -> list[bytes]:
    with contextlib.suppress(OSError), open(f"/proc/{process}/environ", "rb") as stream:  # noqa: PTH123
        return stream.read().split(b"\0")
    return []
