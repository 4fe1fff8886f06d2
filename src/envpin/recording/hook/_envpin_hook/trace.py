"""The trace of a training run: one JSON object a line, appended while it trains, beside what it saves.

Every line is whole when it is written, so a killed run leaves its steps up to the last line. A disk that fails ends the
trace, never the run.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from typing import Dict, List, Optional

TRACE_NAME = "envpin-trace.jsonl"
# A step takes about 250 bytes, 600 with its batch: each of ten thousand steps, and what is logged of longer runs.
STEPS = 10000
BYTES = 8 * 1024 * 1024
_LONGEST_WAIT = 1.0  # seconds until a line is on disk
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode  # `dumps` makes an encoder each time


def encoded(line: Dict[str, object]) -> str:
    """A line of the trace."""
    return _encode(plain_numbers(line)) + "\n"


def step_line(step: int, loss: float, rate: Optional[float], norm: Optional[float]) -> str:
    """The line of a step without a digest of its batch, as `encoded` makes it, in a sixth of its time."""
    line = '{"step":%d,"loss":%s,"lr":%s' % (step, _number(loss), "null" if rate is None else _number(rate))
    return line + "}\n" if norm is None else line + ',"grad_norm":%s}\n' % _number(norm)


def _number(value: float) -> str:
    return float.__repr__(value) if value - value == 0.0 else '"%s"' % value


class TraceFile:
    """Lines for one file, each with the id of its `run`: two that were started in one folder write into the same one.

    `add` keeps them, `flush` writes them; after a fault nothing is written any more."""

    def __init__(self, path: str, run: Optional[str] = None) -> None:
        self.path = path
        self._end = "}\n" if run is None else ',"run":%s}\n' % _encode(run)
        self._lines: List[str] = []
        self._written = 0
        self._last = time.monotonic()
        self.closed = False

    def add(self, line: str) -> None:
        if not self.closed:
            self._lines.append(line[:-2] + self._end)

    def is_late(self) -> bool:
        """Whether what waits has waited for long enough."""
        return time.monotonic() - self._last > _LONGEST_WAIT

    def flush(self) -> None:
        """Write what was added. Raises where the disk fails, once."""
        if self.closed or not self._lines:
            return
        self._last = time.monotonic()
        data = "".join(self._lines).encode("ascii")
        self._lines = []
        if not self._written and self._is_cut_off():
            data = b"\n" + data
        if self._written + len(data) > BYTES:
            data, self.closed = b'{"full":true}\n', True
        try:
            descriptor = self._opened()
            try:
                os.write(descriptor, data)
            finally:
                os.close(descriptor)
        except BaseException:
            self.closed = True
            raise
        self._written += len(data)

    def _is_cut_off(self) -> bool:
        """Whether the last line of what an earlier run left has no end."""
        try:
            with open(self.path, "rb") as stream:
                stream.seek(-1, os.SEEK_END)
                return stream.read(1) != b"\n"
        except OSError:  # none is there, or it is empty
            return False

    def _opened(self) -> int:
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)
        try:
            return os.open(self.path, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path))
            return os.open(self.path, flags, 0o666)

    def copy_to(self, folder: str) -> None:
        """A copy beside a manifest in another folder."""
        target = os.path.join(folder, TRACE_NAME)
        if os.path.isfile(self.path) and os.path.abspath(target) != os.path.abspath(self.path):
            shutil.copyfile(self.path, target)


def plain_numbers(value: object) -> object:
    """JSON has no name for what is no finite number: it is written as a string."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: plain_numbers(one) for key, one in value.items()}
    return value
