"""Read `envpin-trace.jsonl`: what a run's steps were, up to the last line before it ended or was killed.

It came with an adapter, from anywhere, so it is untrusted: bounded, and what is no line of a trace is passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from envpin.core.errors import InputError
from envpin.core.files import TooLargeError, read_bounded
from envpin.core.typed_json import NOT_OF_ITS_SHAPE
from envpin.manifest.training import InitialState, TensorDigests  # noqa: TC001  types of fields

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRACE_NAME = "envpin-trace.jsonl"
# Twice what the recorder writes at most.
_SIZE_LIMIT = 16 * 1024 * 1024
_LINES = 60_000


class TraceBatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`digest` over the batches of one step, `micro` of them with their `shapes`; a digest for each of its `rows`.

    `sampled`: of a tensor beyond 4 MB, evenly spaced elements stand for it.
    """

    digest: str
    micro: int = 1
    shapes: tuple[tuple[int, ...], ...] = ()
    rows: tuple[str, ...] = ()
    sampled: bool = False


class TraceStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One optimizer step. A value that is no finite number is the string of it; None was not recorded."""

    step: int
    loss: float | str | None = None
    lr: float | str | None = None
    grad_norm: float | str | None = None
    batch: TraceBatch | None = None


class Trace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run's trace. `first` is its first step; `final` the adapter at its end, None where the run did not get there;
    `logs` what the trainer logged."""

    run: str | None = None
    first: int = 1
    world_size: int | None = None
    initial: InitialState | None = None
    steps: tuple[TraceStep, ...] = ()
    logs: tuple[dict[str, float | str], ...] = ()
    final: TensorDigests | None = None

    def at(self) -> dict[int, TraceStep]:
        """The steps by their number."""
        return {one.step: one for one in self.steps}


class _End(msgspec.Struct):
    step: int | None = None
    adapter: TensorDigests | None = None


class _Line(msgspec.Struct):
    trace: int | None = None
    run: str | None = None
    first: int | None = None
    world_size: int | None = None
    initial: InitialState | None = None
    step: int | None = None
    loss: float | str | None = None
    lr: float | str | None = None
    grad_norm: float | str | None = None
    batch: TraceBatch | None = None
    log: dict[str, float | str] | None = None
    end: _End | None = None


def read_trace(folder: Path, run: str | None = None) -> Trace | None:
    """The trace in `folder`: of the run with this id, else the last one there. None where there is no trace.

    Raises:
        InputError: it cannot be read, or is far larger than a trace.
    """
    path = folder / TRACE_NAME
    try:
        data = read_bounded(path, _SIZE_LIMIT)
    except FileNotFoundError:
        return None
    except TooLargeError as large:
        raise InputError(f"`{path}` is too large for a trace", path=path) from large
    except OSError as failed:
        raise InputError(f"`{path}` cannot be read: {failed.strerror}", path=path) from failed
    traces = list(_traces(data))
    own = [one for one in traces if run is not None and one.run == run]
    found = own or traces
    return found[-1] if found else None


def _traces(data: bytes) -> Iterator[Trace]:
    """One for each run that wrote into the file, in order."""
    decoder = msgspec.json.Decoder(_Line)
    found: list[list[_Line]] = []
    latest: dict[str, list[_Line]] = {}
    for raw in data.split(b"\n")[:_LINES]:
        if not raw.strip():
            continue
        try:
            line = decoder.decode(raw)
        except NOT_OF_ITS_SHAPE:  # the line that a kill cut off
            continue
        if line.trace is not None or not found:
            found.append([])
            latest[line.run or ""] = found[-1]
        # One of several runs that write at the same time; a line without an id is of the one that began last.
        (latest.get(line.run, found[-1]) if line.run is not None else found[-1]).append(line)
    return map(_trace, found)


def _trace(lines: list[_Line]) -> Trace:
    head = lines[0] if lines[0].trace is not None else _Line()
    steps = {
        one.step: TraceStep(step=one.step, loss=one.loss, lr=one.lr, grad_norm=one.grad_norm, batch=one.batch)
        for one in lines
        if one.step is not None
    }
    ends = [one.end for one in lines if one.end is not None]
    return Trace(
        run=head.run,
        first=head.first or 1,
        world_size=head.world_size,
        initial=head.initial,
        steps=tuple(steps[number] for number in sorted(steps)),
        logs=tuple(one.log for one in lines if one.log is not None),
        final=ends[-1].adapter if ends else None,
    )
