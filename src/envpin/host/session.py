"""Several verbs in one pinned interpreter that is started once, before it is wanted.

Importing torch, transformers and peft takes seconds, each time: longer than a small merge. So one process imports them
while the controller still digests the inputs, and answers each request in a fork of itself (`workers/serve.py`). A fork
knows nothing of the forks before it: who proves a merge still reads it from the disk, in a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from typing import IO, TYPE_CHECKING, Self, TypeVar

import msgspec

from envpin.core import process
from envpin.core.events import ignore
from envpin.core.scratch import scratch
from envpin.host.bytecode import Bytecode
from envpin.host.worker import PROTOCOL, call, command_of, forward, reply_of, variables_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from envpin.core.events import Event, Listener
    from envpin.host.bodies import Call

Reply = TypeVar("Reply")


class WorkerSession:
    """A context manager: the process starts on entering and ends on leaving, whatever it is doing then.

    Where a process that has loaded torch cannot be forked safely (Windows has no fork, on a Mac its libraries do not
    stand it), each request gets a process of its own, as `worker.call` does.
    """

    def __init__(self, python: Path, *, imports: Sequence[str] = (), env: Mapping[str, str] | None = None) -> None:
        """`imports` are modules, or classes of transformers by `transformers:NAME`, to have ready; what this
        environment does not have is passed over. `env` are variables over those that every worker has."""
        self._python = python
        self._imports = tuple(imports)
        self._env = env
        self._closing = contextlib.ExitStack()
        self._child: process.Child | None = None
        self._listener: Listener = ignore
        self._count = 0

    def __enter__(self) -> Self:
        if sys.platform in {"win32", "darwin"}:
            return self
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(scratch("session"))
            bytecode = stack.enter_context(Bytecode(self._python, self._folder))
            read_end, write_end = os.pipe()
            life_read, life_write = os.pipe()
            listening = threading.Thread(target=forward, args=(read_end, self._hear, None), daemon=True)
            listening.start()
            stack.callback(listening.join, timeout=5)
            for descriptor in (life_write, write_end):
                stack.callback(os.close, descriptor)
            log = stack.enter_context((self._folder / "log").open("wb"))
            arguments = ["serve", json.dumps(list(self._imports)), str(write_end), str(life_read)]
            self._child = process.start(
                [*command_of(self._python, bytecode), *arguments], env=variables_of(self._folder, self._env),
                cwd=self._folder, stdin=process.PIPE, stderr=log.fileno(), pass_fds=(write_end, life_read),
            )  # fmt: skip
            os.close(life_read)
            stack.callback(process.end, self._child)
            self._closing = stack.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._closing.close()

    def call(self, request: Call[Reply], *, listener: Listener = ignore) -> Reply:
        """Have a request answered; waits for the imports where they are not finished.

        Raises:
            WorkerError, WorkerBrokenError, ChildKilledError: as `worker.call`.
        """
        if self._child is None or self._child.stdin is None or self._child.stdout is None:
            return call(self._python, request, listener=listener, env=self._env)
        self._count += 1
        names = {name: self._folder / f"{self._count}-{name}" for name in ("request", "result", "log")}
        names["request"].write_bytes(msgspec.json.encode({"protocol": PROTOCOL, "body": request}))
        self._listener = listener
        try:
            status = self._ask(self._child.stdin, self._child.stdout, {"verb": request.verb, **names})
        finally:
            self._listener = ignore
        logs = [path.read_text("utf-8", "replace") for path in (self._folder / "log", names["log"]) if path.exists()]
        completed = process.Completed(argv=(request.verb,), status=status, stdout="", stderr="".join(logs))
        return reply_of(request, completed, names["result"])

    def _ask(self, stdin: IO[bytes], stdout: IO[bytes], job: dict[str, object]) -> int:
        """The status of the fork that answered, or of the whole process where it ended over it."""
        try:
            stdin.write(json.dumps(job, default=str).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = b""
        if line:
            return int(line)
        assert self._child is not None  # noqa: S101  it has just closed its end
        return self._child.wait() or 1

    def _hear(self, event: Event) -> None:
        self._listener(event)
