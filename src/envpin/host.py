"""The controller's side of the worker protocol (`workers/PROTOCOL.md`): call a verb in a pinned interpreter."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpin.core import process
from envpin.core.errors import EnvpinError, WorkerBrokenError
from envpin.core.events import Note, Progress, Step, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from envpin.core.events import Listener

PROTOCOL = 1
_WORKER = Path(__file__).resolve().parent / "workers" / "main.py"
# Nothing a worker does may reach the network, phone home, or depend on how many threads a tokenizer likes.
_WORKER_VARIABLES = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


class WorkerError(EnvpinError):
    """A known error that a worker returned. `worker_kind` is its slug, `data` what came with it."""

    kind = "worker"

    def __init__(self, worker_kind: str, message: str, data: Mapping[str, Any], log: str) -> None:
        super().__init__(message)
        self.worker_kind = worker_kind
        self.data = dict(data)
        self.log = log


def call(
    python: Path,
    verb: str,
    body: Mapping[str, Any],
    *,
    listener: Listener = ignore,
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
    on_outcome: Callable[[dict[str, Any]], None] | None = None,
    on_start: Callable[[process.Child], None] | None = None,
) -> dict[str, Any]:
    """Run `verb` in the interpreter `python` and return its result. `on_outcome` hears parts of it as they are known,
    `on_start` gets the process, so that another thread can end it.

    Raises:
        WorkerError: the worker answered with a known error.
        WorkerBrokenError: it ended without an answer; the message ends with the last lines of its log.
        ChildKilledError: a signal ended it.
        TimedOutError: it ran past `timeout` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="envpin-worker-") as folder:
        request, result = Path(folder, "request.json"), Path(folder, "result.json")
        request.write_text(json.dumps({"protocol": PROTOCOL, "body": body}), encoding="utf-8")
        completed = _run(
            python, verb, request=request, result=result, timeout=timeout, env=env,
            on_start=on_start, reader=lambda stream: _forward(stream, listener, on_outcome),
        )  # fmt: skip
        if completed.status < 0:
            process.raise_if_killed(completed, what=f"the `{verb}` worker")
        log = completed.stderr + completed.stdout
        if completed.status != 0 or not result.exists():
            raise WorkerBrokenError(
                f"the `{verb}` worker ended with status {completed.status} and no answer\n{tail(log)}",
                hint="please report this with the lines above",
            )
        answer = json.loads(result.read_text(encoding="utf-8"))
    if "error" in answer:
        error = answer["error"]
        raise WorkerError(error["kind"], error["message"], error.get("data", {}), log)
    found: dict[str, Any] = answer["result"]
    return found


def tail(log: str, lines: int = 15) -> str:
    """The last lines of a log, indented, for an error message."""
    return "\n".join("  " + line for line in log.rstrip().splitlines()[-lines:])


def _run(
    python: Path,
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
    variables = process.scrubbed_environment(set_values={**_WORKER_VARIABLES, **(env or {})})
    # absolute, not resolved: a virtual environment is found through its own symlink
    arguments = [
        str(python.absolute()),
        "-I",
        "-X",
        "utf8",
        str(_WORKER),
        verb,
        str(request),
        str(result),
        str(write_end),
        str(life_read),
    ]
    try:
        return process.run(
            arguments,
            env=variables,
            timeout=timeout,
            pass_fds=(write_end, life_read),
            cwd=request.parent,
            on_start=on_start,
        )
    finally:
        for descriptor in (write_end, life_read, life_write):
            os.close(descriptor)
        listening.join(timeout=5)


def _forward(read_end: int, listener: Listener, on_outcome: Callable[[dict[str, Any]], None] | None) -> None:
    with os.fdopen(read_end, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                document = json.loads(line)
            except ValueError:
                continue
            kind = document.pop("event", None) if isinstance(document, dict) else None
            if kind == "outcome" and on_outcome is not None:
                on_outcome(document)
                continue
            builder = {"step": Step, "progress": Progress, "note": Note}.get(kind or "")
            if builder is not None:
                listener(builder(**document))
