"""`prove`, from three folders to a verdict: read them, choose an environment, let the worker compare, name what is
wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpin.core.errors import CheckFailedError, DiskFullError, InfrastructureError, InputError
from envpin.core.events import Note, ignore
from envpin.host import worker
from envpin.proof.environment import choose
from envpin.proof.inputs import open_inputs
from envpin.proof.verdict import Trouble, is_proved, troubles

if TYPE_CHECKING:
    from envpin.core.events import Listener
    from envpin.core.place import Place
    from envpin.envs.store.store import Store
    from envpin.host.verbs import ProveReply
    from envpin.proof.environment import Chosen

# Said by the verb about files that the controller could read.
_OF_THE_INPUT = frozenset({"bad-header", "bad-index", "truncated", "input", "permission", "os-error"})


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeProof:
    """Whether a merge is the base plus the adapter, where it was looked at, and what is wrong with it."""

    answer: ProveReply
    troubles: tuple[Trouble, ...]
    chosen: Chosen

    @property
    def proved(self) -> bool:
        return is_proved(self.answer.counts)


def prove(
    base: Place,
    adapter: Place,
    merged: Place,
    *,
    store: Store,
    environment: str | None = None,
    listener: Listener = ignore,
    offline: bool = False,
) -> MergeProof:
    """Hold every tensor of `merged` against `base` and `adapter`. Nothing is written.

    Raises:
        InputError: one of the three cannot be read.
        EnvironmentSetupError: no environment with torch is ready or can be built.
        InfrastructureError: memory, a killed worker.
    """
    inputs = open_inputs(base, adapter, merged)
    chosen = choose(inputs, store, reference=environment, listener=listener, offline=offline)
    versions = ", ".join(f"{name} {version}" for name, version in chosen.packages.items())
    listener(Note(message=f"in an environment with {versions} ({chosen.why})"))
    try:
        answer = worker.call(chosen.environment.python, inputs.request(), listener=listener)
    except worker.WorkerError as error:
        raise _explained(error) from error
    return MergeProof(answer=answer, troubles=troubles(answer), chosen=chosen)


def _explained(error: worker.WorkerError) -> Exception:
    if error.worker_kind in _OF_THE_INPUT:
        return InputError(error.message, path=str(error.data.get("path")))
    if error.worker_kind == "out-of-memory":
        return InfrastructureError("a proof needs more memory than is free", hint="close other programs")
    if error.worker_kind == "disk-full":
        return DiskFullError(error.message, hint="free some space and run the same command again")
    return CheckFailedError(error.message)
