"""Call a verb in a pinned interpreter (`workers/PROTOCOL.md`)."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from envpin.core import process
from envpin.core.errors import EnvpinError, WorkerBrokenError
from envpin.core.events import Note, Progress, Step, ignore
from envpin.core.scratch import scratch
from envpin.core.typed_json import NOT_OF_ITS_SHAPE
from envpin.host.bytecode import Bytecode
from envpin.host.verbs import StepOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from envpin.core.events import Listener
    from envpin.host.bodies import Call

Reply = TypeVar("Reply")

PROTOCOL = 1
_WORKER = Path(__file__).resolve().parents[1] / "workers" / "main.py"
# Nothing a worker does may reach the network, phone home, or depend on how many threads a tokenizer likes.
_WORKER_VARIABLES = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    # Linux: torch asks for pages of 2 MB; it reads this once, with its first tensor. Where whole weights are made and
    # dropped all the time, emptying small pages takes a third of a merge: LoHa, four layers of 1.1 B, 10.4 and 6.6 s.
    "THP_MEM_ALLOC_ENABLE": "1",
}
# Blocks of rows are used again by themselves: large pages only made a LoRA or DoRA merge 130 to 300 MB larger.
SMALL_PAGES = {"THP_MEM_ALLOC_ENABLE": "0"}


class WorkerError(EnvpinError):
    """A known error that a worker returned. `worker_kind` is its slug, `data` what came with it."""

    kind = "worker"

    def __init__(self, worker_kind: str, message: str, data: Mapping[str, object], log: str) -> None:
        super().__init__(message)
        self.worker_kind = worker_kind
        self.data = dict(data)
        self.log = log


def call(
    python: Path,
    request: Call[Reply],
    *,
    listener: Listener = ignore,
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
    on_outcome: Callable[[StepOutcome], None] | None = None,
    on_start: Callable[[process.Child], None] | None = None,
) -> Reply:
    """Have the interpreter `python` answer `request`. `on_outcome` hears parts of it as they are known,
    `on_start` gets the process, so that another thread can end it.

    Raises:
        WorkerError: the worker answered with a known error.
        WorkerBrokenError: it ended without an answer, or one side does not understand the other; the message ends with
            the last lines of its log.
        ChildKilledError: a signal ended it.
        TimedOutError: it ran past `timeout` seconds.
    """
    with scratch("worker") as folder, Bytecode(python, folder) as bytecode:
        asked, result = Path(folder, "request.json"), Path(folder, "result.json")
        asked.write_bytes(msgspec.json.encode({"protocol": PROTOCOL, "body": request}))
        completed = _run(
            command_of(python, bytecode), request.verb, request=asked, result=result, timeout=timeout, env=env,
            on_start=on_start, reader=lambda stream: forward(stream, listener, on_outcome),
        )  # fmt: skip
        return reply_of(request, completed, result)


def reply_of(request: Call[Reply], completed: process.Completed, result: Path) -> Reply:
    """What a worker that has ended left in the file `result`.

    Raises:
        WorkerError, WorkerBrokenError, ChildKilledError: as `call`.
    """
    if completed.status < 0:
        process.raise_if_killed(completed, what=f"the `{request.verb}` worker")
    log = completed.stderr + completed.stdout
    if completed.status != 0 or not result.exists():
        raise WorkerBrokenError(
            f"the `{request.verb}` worker ended with status {completed.status} and no answer\n{tail(log)}",
            hint="please report this with the lines above",
        )
    try:
        answer = msgspec.json.decode(result.read_bytes(), type=_Answer)
        if answer.error is not None and answer.error.kind not in _OF_THE_PROTOCOL:
            raise WorkerError(answer.error.kind, answer.error.message, answer.error.data, log)
        if answer.error is not None:
            raise msgspec.ValidationError(answer.error.message)
        found: Reply = msgspec.convert(answer.result, request.reply)
    except NOT_OF_ITS_SHAPE as fault:
        raise WorkerBrokenError(
            f"controller and `{request.verb}` worker do not understand each other: {fault}\n{tail(log)}",
            hint="please report this with the lines above",
        ) from fault
    return found


class _KnownError(msgspec.Struct, frozen=True):
    kind: str
    message: str
    data: dict[str, object] = {}


class _Answer(msgspec.Struct, frozen=True):
    """RESULT.json."""

    result: object = None
    error: _KnownError | None = None


# Kinds of errors that no input of a user's explains.
_OF_THE_PROTOCOL = frozenset({"protocol", "unknown-verb", "request"})


def tail(log: str, lines: int = 15) -> str:
    """The last lines of a log, indented, for an error message."""
    return "\n".join("  " + line for line in log.rstrip().splitlines()[-lines:])


def _run(
    command: list[str],
    verb: str,
    *,
    request: Path,
    result: Path,
    timeout: float | None,
    env: Mapping[str, str] | None,
    on_start: Callable[[process.Child], None] | None,
    reader: Callable[[int], None],
) -> process.Completed:
    read_end, write_end = os.pipe()
    # The worker watches this pipe and stops when its other end closes, however the controller ended.
    life_read, life_write = os.pipe()
    listening = threading.Thread(target=reader, args=(read_end,), daemon=True)
    listening.start()
    try:
        return process.run(
            [*command, verb, str(request), str(result), str(write_end), str(life_read)],
            env=variables_of(request.parent, env),
            timeout=timeout,
            pass_fds=(write_end, life_read),
            cwd=request.parent,
            on_start=on_start,
        )
    finally:
        for descriptor in (write_end, life_read, life_write):
            os.close(descriptor)
        listening.join(timeout=5)


def command_of(python: Path, bytecode: Bytecode) -> list[str]:
    """How a worker is started in the interpreter `python`; what it is to do follows."""
    # absolute, not resolved: a virtual environment is found through its own symlink
    return [str(python.absolute()), "-I", "-X", "utf8", "-X", f"pycache_prefix={bytecode.folder}", str(_WORKER)]


def variables_of(folder: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variables of a worker. What its libraries leave in the folder of temporary files (torch makes one
    for its compiler) is below `folder`, and goes with it."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    return process.scrubbed_environment(set_values={**_WORKER_VARIABLES, **places, **(env or {})})


def forward(read_end: int, listener: Listener, on_outcome: Callable[[StepOutcome], None] | None) -> None:
    with os.fdopen(read_end, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                document = json.loads(line)
            except ValueError:
                continue
            kind = document.pop("event", None) if isinstance(document, dict) else None
            if kind == "outcome" and on_outcome is not None:
                on_outcome(msgspec.convert(document["outcome"], StepOutcome))
                continue
            builder = {"step": Step, "progress": Progress, "note": Note}.get(kind or "")
            if builder is not None:
                listener(builder(**document))
