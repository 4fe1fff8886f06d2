"""Two recorded runs held against each other from their folders: what differed, where they parted, both curves."""

from __future__ import annotations

import os
import re
from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from envpin.core.errors import EnvpinError
from envpin.manifest.read import FILE_NAME, read_manifest
from envpin.manifest.trace import Trace, read_trace
from envpin.replay.training.facts import FactDifference, differing_facts
from envpin.replay.training.judge import RunRecord, TrainJudgement, judge
from envpin.replay.training.outputs import RecordedOutputs

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.manifest.types import Manifest

# Points of a curve on a page; a run with more is thinned evenly.
_POINTS = 1000
# Options that take the folder to write to.
_OF_OUTPUT = re.compile(r"-o$|--?[\w-]*(?:out|dir|save|dest|path|folder)")


class RunCurve(msgspec.Struct, frozen=True, kw_only=True):
    """Loss, gradient norm and learning rate by step; None where a value was not recorded or is no finite number."""

    steps: tuple[int, ...]
    loss: tuple[float | None, ...]
    grad_norm: tuple[float | None, ...]
    lr: tuple[float | None, ...]


class RunComparison(msgspec.Struct, frozen=True, kw_only=True):
    """`judgement` of the second run held against the first, with both command lines and curves."""

    judgement: TrainJudgement
    commands: tuple[tuple[str, ...], tuple[str, ...]]
    curves: tuple[RunCurve, RunCurve]


def compare_runs(before: Path, after: Path) -> RunComparison | None:
    """None where one side is no recorded run of schema 2, or both are saves of one run without a trace."""
    old, new = _record(before), _record(after)
    if old is None or new is None:
        return None
    if old.trace is None and new.trace is None and _id(old) == _id(new):
        return None
    found = judge(old, new, more=_command(before, old.manifest, after, new.manifest))
    if not found.because and not found.also:
        found = msgspec.structs.replace(found, also=differing_facts(old.manifest, new.manifest))
    commands = tuple(one.manifest.run.argv if one.manifest.run else () for one in (old, new))
    return RunComparison(
        judgement=found, commands=(commands[0], commands[1]), curves=(_curve(old.trace), _curve(new.trace))
    )


def _id(record: RunRecord) -> str | None:
    return record.manifest.run.id if record.manifest.run is not None else None


def _command(before: Path, old: Manifest, after: Path, new: Manifest) -> tuple[FactDifference, ...]:
    """What was typed, where it was not the same; without the interpreter and where each run wrote."""
    one, other = _words(before, old), _words(after, new)
    if one == other or not one or not other:
        return ()
    differing = [(left, right) for left, right in zip_longest(one, other, fillvalue="absent") if left != right]
    left, right = (" ".join(words) for words in zip(*differing, strict=True))
    return (FactDifference(cause="hyperparameter", what="command", before=left, after=right, weak=True),)


def _words(path: Path, manifest: Manifest) -> list[str]:
    outputs = RecordedOutputs(manifest, path if path.is_dir() else path.parent)
    names = [name for name in (str(outputs.output), outputs.relative) if name and name != os.curdir]
    found: list[str] = []
    for word in manifest.run.argv[1:] if manifest.run is not None else ():
        _, equals, value = word.rpartition("=")
        if not any(value == name or value.startswith(name + os.sep) for name in names):
            found.append(word)
        elif not equals and found and _OF_OUTPUT.match(found[-1]):
            found.pop()  # `--output`: a run that writes to its default place has none
    return found


def _record(path: Path) -> RunRecord | None:
    folder = path if path.is_dir() else path.parent
    file = folder / FILE_NAME if path.is_dir() else path
    if file.suffix != ".json" or not file.is_file():
        return None
    try:
        manifest = read_manifest(file)
    except EnvpinError:
        return None
    if manifest.training is None and manifest.code is None:
        return None
    return RunRecord(manifest=manifest, trace=read_trace(folder, manifest.run.id if manifest.run else None))


def _curve(trace: Trace | None) -> RunCurve:
    steps = trace.steps if trace is not None else ()
    every = max(1, -(-len(steps) // _POINTS))
    kept = steps[::every]
    return RunCurve(
        steps=tuple(one.step for one in kept),
        loss=tuple(_number(one.loss) for one in kept),
        grad_norm=tuple(_number(one.grad_norm) for one in kept),
        lr=tuple(_number(one.lr) for one in kept),
    )


def _number(value: float | str | None) -> float | None:
    return value if isinstance(value, float) else None
