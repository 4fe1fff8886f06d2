"""Run a recorded training command again, recorded itself, with everything that it writes below another folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core import process
from envpin.core.command_text import command_text
from envpin.core.errors import CheckFailedError, InputError, RefusedError
from envpin.core.events import Note, Step, ignore
from envpin.core.scratch import scratch
from envpin.manifest.read import read_manifest
from envpin.manifest.trace import read_trace
from envpin.recording.session import RecordSession
from envpin.replay.training.inputs import changed_inputs
from envpin.replay.training.judge import RunRecord, judge
from envpin.replay.training.outputs import RecordedOutputs
from envpin.replay.training.source import prepare_source
from envpin.replay.training.wrapped import base_name, beside_interpreter, is_python, without_runner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envpin.core.events import Listener
    from envpin.envs.store.environment import Environment
    from envpin.manifest.types import Manifest
    from envpin.replay.training.judge import TrainJudgement
    from envpin.replay.training.source import RestoredSource

_REDACTED = "[redacted]"
# Set by launchers and by what the machine has, not by whoever started the run.
_NOT_SET_AGAIN = frozenset(
    {"WORLD_SIZE", "LOCAL_WORLD_SIZE", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "HF_ENDPOINT", "HF_HUB_OFFLINE",
     "TRANSFORMERS_OFFLINE"}
)  # fmt: skip
LOG_NAME = "envpin-replay.log"
_LAST_LINES = 15
_INPUTS_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainOptions:
    """`steps`: compare a prefix. `once`: do not repeat the repeat. `source`: a folder with the code. `command` instead
    of the recorded one. `trust_script`: the code may run. `force`: go on where the base or the data has changed."""

    steps: int | None = None
    once: bool = False
    source: Path | None = None
    command: tuple[str, ...] = ()
    trust_script: bool = False
    force: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainReplay:
    """What a replay found: the judgement, where its runs lie, and what code it ran."""

    judgement: TrainJudgement
    out: Path
    code: str
    command: tuple[str, ...]


def command_of(manifest: Manifest, options: TrainOptions) -> tuple[str, ...]:
    """The command to run.

    Raises:
        InputError: none was recorded, or a secret was taken out of it.
    """
    recorded = manifest.run.argv if manifest.run else ()
    command = options.command or recorded
    if not command:
        raise InputError("the manifest does not say which command was run", hint="envpin replay train FOLDER -- CMD…")
    if any(_REDACTED in word for word in command):
        raise InputError(
            f"the recorded command had a secret, which was taken out of it: `{' '.join(command)}`",
            hint="give the whole command: envpin replay train FOLDER -- CMD…",
        )
    return command


def refuse_untrusted(manifest: Manifest, options: TrainOptions) -> None:
    """
    Raises:
        RefusedError: the code was not trusted.
    """
    if not options.trust_script:
        script = (manifest.code.script if manifest.code else None) or "its script"
        command = command_text(*command_of(manifest, options))
        raise RefusedError(
            f"repeating the run executes `{script}` on this machine, as whoever recorded it wrote it: {command}",
            hint="read it, then give --trust-script",
        )


def replay_training(
    folder: Path,
    manifest: Manifest,
    environment: Environment,
    out: Path,
    *,
    options: TrainOptions,
    listener: Listener = ignore,
) -> TrainReplay:
    """Repeat the run of `folder` in `environment` below `out`, and hold it against the record.

    Raises:
        RefusedError: the code was not trusted.
        InputError: the code or command cannot be had.
        CheckFailedError: the base or the data is not what the run read; the repeated command failed, or saved nothing.
    """
    refuse_untrusted(manifest, options)
    command = command_of(manifest, options)
    recorded = RunRecord(manifest=manifest, trace=read_trace(folder, manifest.run.id if manifest.run else None))
    out.mkdir(parents=True, exist_ok=True)
    with scratch("train") as place:
        source = prepare_source(manifest, folder, place.resolve(), source=options.source)
        _tell_source(source, listener)
        _check_inputs(manifest, source.working, listener, force=options.force)

        def repeat(name: str) -> RunRecord:
            own = out.resolve() / name  # the recorder compares paths without `..`
            return _Repeat(manifest=manifest, environment=environment, source=source, out=own,
                           outputs=RecordedOutputs(manifest, folder), steps=options.steps,
                           listener=listener).run(command)  # fmt: skip

        first = repeat("run")
        judgement = judge(recorded, first, steps=options.steps)
        if judgement.verdict == "diverged" and not options.once:
            judgement = judge(recorded, first, again=repeat("again"), steps=options.steps)
    return TrainReplay(judgement=judgement, out=out, code=source.code, command=command)


def last_loss(
    folder: Path, manifest: Manifest, environment: Environment, *, options: TrainOptions, listener: Listener = ignore
) -> float:
    """The loss of the last step of a repeat in `environment`, of which nothing else is kept.

    Raises:
        RefusedError, InputError: as `replay_training`.
        CheckFailedError: likewise, or the repeat made no step.
    """
    refuse_untrusted(manifest, options)
    command = command_of(manifest, options)
    with scratch("train") as place:
        source = prepare_source(manifest, folder, place.resolve(), source=options.source)
        _tell_source(source, listener)
        _check_inputs(manifest, source.working, listener, force=options.force)
        made = _Repeat(manifest=manifest, environment=environment, source=source, out=place / "run",
                       outputs=RecordedOutputs(manifest, folder), steps=options.steps,
                       listener=listener).run(command)  # fmt: skip
    losses = [one.loss for one in made.trace.steps if one.loss is not None] if made.trace is not None else []
    if not losses:
        raise CheckFailedError("the repeated run left no step with a loss")
    return float(losses[-1])


def _tell_source(source: RestoredSource, listener: Listener) -> None:
    listener(Note(message=f"code: {source.code}"))
    if source.left_out:
        listed = ", ".join(f"`{name}`" for name in source.left_out[:_INPUTS_SHOWN])
        more = f" and {len(source.left_out) - _INPUTS_SHOWN} more" if len(source.left_out) > _INPUTS_SHOWN else ""
        listener(Note(level="warning", message=f"not given to the repeat, as it may write them: {listed}{more}"))


def _check_inputs(manifest: Manifest, working: Path, listener: Listener, *, force: bool) -> None:
    listener(Step(key="inputs", title="check base and data"))
    changed = changed_inputs(manifest, working)
    listener(Step(key="inputs", title="check base and data", state="failed" if changed else "done"))
    if not changed:
        return
    listed = ", ".join(changed[:_INPUTS_SHOWN])
    if not force:
        raise CheckFailedError(f"the repeat would not read what the run read: {listed}",
                               hint="--force repeats it all the same, and names what parts because of it")  # fmt: skip
    listener(Note(level="warning", message=f"the repeat reads something else: {listed}"))


@dataclass(frozen=True, kw_only=True)
class _Repeat:
    manifest: Manifest
    environment: Environment
    source: RestoredSource
    out: Path
    outputs: RecordedOutputs
    steps: int | None
    listener: Listener

    @property
    def working(self) -> Path:
        return self.source.working

    def run(self, command: Sequence[str]) -> RunRecord:
        self.out.mkdir(parents=True)
        self.outputs.prepare(self.working, self.out)
        bare = without_runner(command, lambda word: (self.environment.scripts / word).is_file())
        if bare != tuple(command):
            self.listener(Note(message=f"without `{command[0]} run`, which would take another environment"))
        argv = [self._program(bare[0]), *map(self._word, bare[1:])]
        session = RecordSession(argv, self._variables(), code_diff=False, directory=self.working)
        title = f"train again ({self.out.name})"
        self.listener(Step(key=self.out.name, title=title))
        try:
            with (self.out / LOG_NAME).open("w", encoding="utf-8") as log:

                def write(line: str) -> None:
                    log.write(f"{line}\n")
                    log.flush()

                done = process.run(argv, env=session.environment, cwd=self.working, on_stdout=write, on_stderr=write)
            outcome = session.finish(status=done.status)
        finally:
            session.close()
        if done.status not in {0, self.manifest.run.status if self.manifest.run else None}:
            self.listener(Step(key=self.out.name, title=title, state="failed"))
            process.raise_if_killed(done, what="the repeated run")
            last = "\n".join((done.stdout + done.stderr).splitlines()[-_LAST_LINES:])
            raise CheckFailedError(f"the repeated command ends with status {done.status}\n{last}",
                                   hint=f"its whole output is in {self.out / LOG_NAME}")  # fmt: skip
        self.listener(Step(key=self.out.name, title=title, state="done"))
        return self._record(outcome.manifests, outcome.nothing)

    def _program(self, name: str) -> str:
        """The interpreter or script of the environment that stands for the recorded one."""
        base = base_name(name)
        if is_python(base):
            return str(self.environment.python)
        own = self.environment.scripts / base
        return str(own) if own.is_file() else name

    def _word(self, word: str) -> str:
        """An argument that names the recorded output, or the script by its whole path, names those of the replay."""
        code = self.manifest.code
        option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        if code is not None and code.script and value == code.script and code.directory:
            inside = os.path.relpath(value, code.directory)
            if not inside.startswith(os.pardir):
                return option + equals + str(self.working / inside)
        if (program := self._of_recorded_environment(value)) is not None:  # behind `env NAME=value` or `nice`
            return option + equals + program
        output = str(self.outputs.output)
        if value == output or value.startswith(output + os.sep):
            return option + equals + str(self.out / os.path.relpath(value, output))
        return word

    def _of_recorded_environment(self, value: str) -> str | None:
        """What stands for an interpreter or script of the recorded environment, which is named by its path."""
        code, python = self.manifest.code, self.manifest.python
        found = beside_interpreter(value, python.executable if python else None, code.directory if code else None)
        program = self._program(found) if found is not None else None
        return program if program != found else None

    def _variables(self) -> dict[str, str]:
        manifest = self.manifest
        recorded: Mapping[str, str] = manifest.run.environment if manifest.run else {}
        known = _environment_names() - _NOT_SET_AGAIN
        variables = {name: value for name, value in self.environment.activated().items() if name not in known}
        variables |= {name: value for name, value in recorded.items() if name in known and _REDACTED not in value}
        threads = manifest.training.kernels.get("threads") if manifest.training else None
        if isinstance(threads, int) and not {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & recorded.keys():
            variables["OMP_NUM_THREADS"] = str(threads)
        asked: dict[str, object] = {"from": str(self.outputs.output), "to": str(self.out), "steps": self.steps,
                                    "working": str(self.working), "root": str(self.source.root)}  # fmt: skip
        if self.outputs.of_trainer:  # without one, what the run writes below its directory is collected afterwards
            asked["relative"] = self.outputs.relative
        if self.source.path:
            variables["PYTHONPATH"] = os.pathsep.join(map(str, self.source.path))
        variables["ENVPIN_REPLAY"] = json.dumps(asked)
        return variables

    def _record(self, manifests: Sequence[Path], nothing: str | None) -> RunRecord:
        """The save that stands for the recorded one: at the same place below the output, else of the same kind and at
        the same step."""
        if not manifests:
            raise CheckFailedError(f"the repeated run left nothing to compare: {nothing}",
                                   hint=f"its output is in {self.out / LOG_NAME}")  # fmt: skip
        lying = self.outputs.collect(manifests, self.working, self.source.root, self.out)
        same = self.outputs.place(self.out)
        found = [path for path in lying if path.parent.resolve() == same.resolve()]
        read = [(path, read_manifest(path)) for path in found or lying]
        path, manifest = max(read, key=lambda one: self._likeness(*one))
        self._refuse_another_environment(manifest)
        return RunRecord(manifest=manifest, trace=read_trace(path.parent, manifest.run.id if manifest.run else None))

    def _refuse_another_environment(self, manifest: Manifest) -> None:
        """A command may bring its own interpreter: `bash run.sh` with its whole path, `uv run`."""
        executable = manifest.python.executable if manifest.python is not None else None
        if executable and self.environment.scripts.resolve() != Path(executable).parent.resolve():
            raise CheckFailedError(
                f"the repeat did not run in the rebuilt environment: its interpreter was `{executable}`",
                hint="give a command that takes `python` from PATH: envpin replay train FOLDER -- python …",
            )

    def _likeness(self, path: Path, manifest: Manifest) -> tuple[bool, bool, int, str]:
        """Larger for a save that stands for the recorded one rather than another."""
        recorded = self.manifest
        kinds = [one.saved.kind if one.saved is not None else None for one in (recorded, manifest)]
        steps = [one.training.steps if one.training is not None else None for one in (recorded, manifest)]
        saved = (manifest.run.saved if manifest.run is not None else None) or ""
        return kinds[0] == kinds[1], steps[0] == steps[1], self.outputs.names_shared(path.parent), saved


def _environment_names() -> set[str]:
    from envpin.recording.injected import hook

    return set(hook("surroundings").VARIABLES)
