"""An adapter without a manifest: merged in the most likely environment, else in the next one, until one proves right.

Which environment is right is judged by what it does, never by how it was found: it has to be installable, to load base
and adapter, to apply every tensor, and the merged model has to answer as the adapter does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envpin.checkpoint.bases import FoundBase
from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.checkpoint.no_adapter import require_adapter
from envpin.core.command_text import command_text
from envpin.core.errors import (
    BuildError,
    CheckFailedError,
    ResolutionError,
    WorkerBrokenError,
    WrongEnvironmentError,
)
from envpin.core.events import Note, ignore
from envpin.core.sizes import counted
from envpin.diagnose.check import check, find_recorded_base
from envpin.envs.refs.adapter import unrecorded_choices
from envpin.manifest.closure import closure_of
from envpin.replay.merge import merge
from envpin.replay.plan import blockers_of, make_plan, refuse_blockers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.core.errors import EnvpinError
    from envpin.core.events import Listener
    from envpin.core.place import OpenRemote, Place
    from envpin.envs.refs.adapter import Unrecorded
    from envpin.envs.store.store import Store
    from envpin.replay.merge import Merged
    from envpin.replay.options import MergeOptions
    from envpin.replay.plan import MergePlan

# Each may be a download of gigabytes.
MAX_ATTEMPTS = 4
# What may be another environment's fault only: the next one may do better.
_NEXT = (WrongEnvironmentError, ResolutionError, BuildError, WorkerBrokenError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How to merge, as `replay.merge.merge` takes it, and how many environments to try."""

    strict: bool = False
    force: bool = False
    max_attempts: int = MAX_ATTEMPTS


def is_unrecorded(adapter: Checkpoint, options: MergeOptions) -> bool:
    """Whether neither a manifest nor the user says which environment to merge the adapter in."""
    if options.environment is not None or options.spec is not None or options.further:
        return False
    record = adapter.recorded
    return record is None or bool(closure_of(record.manifest).missing)


def merge_unrecorded(
    adapter: Place | Checkpoint,
    *,
    out: Path,
    store: Store,
    options: MergeOptions,
    manner: Manner,
    listener: Listener = ignore,
    open_remote: OpenRemote | None = None,
    on_plan: Callable[[MergePlan], None] = lambda _: None,
) -> Merged:
    """Plan and merge in at most `manner.max_attempts` environments, one after the other. `on_plan` sees each plan.

    What stops the merge in any environment (a damaged file, another base, a full disk) is raised at once. The record
    of the merge notes which environments were tried before.

    Raises:
        CheckFailedError: the adapter cannot be merged in any environment, or in none of those that were tried.
        EnvpinError: as `make_plan` and `merge`.
    """
    adapter = require_adapter(open_checkpoint(adapter))
    _ = adapter.tokenizer  # see make_plan
    base = options.base
    if not isinstance(base, FoundBase):
        manifest = adapter.recorded.manifest if adapter.recorded is not None else None
        base = find_recorded_base(adapter, manifest, explicit=base, open_remote=open_remote)
    options = replace(options, base=base)
    choices = unrecorded_choices(adapter, base=base.checkpoint)
    tried: list[tuple[str, EnvpinError]] = []
    for choice in choices[: max(1, manner.max_attempts)]:
        if tried:
            listener(Note(message=f"trying the next most likely environment: {choice.title}", level="warning"))
        try:
            plan = make_plan(adapter, out=out, store=store, options=replace(options, choice=choice), listener=listener)
            plan = replace(plan, notes=(*plan.notes, *_notes(choice, tried)))
            on_plan(plan)
            _refuse(plan, adapter, force=manner.force)
            return merge(
                plan, store, listener=listener, offline=options.offline, strict=manner.strict, force=manner.force
            )
        except _NEXT as error:
            tried.append((choice.title, error))
            listener(Note(message=f"not in {choice.title}: {_first_line(error)}", level="warning"))
    if len(tried) == 1:
        raise tried[0][1]
    raise _none_of(adapter, tried, left=len(choices) - len(tried))


def _refuse(plan: MergePlan, adapter: Checkpoint, *, force: bool) -> None:
    """
    Raises:
        WrongEnvironmentError: all that stands in the way is this environment.
        CheckFailedError: something stands in the way of any.
    """
    blockers = blockers_of(plan, force=force)
    if not blockers:
        return
    anyway = {
        one.code for one in check(adapter, base=plan.base, reads_model=False).findings if one.severity == "blocker"
    }
    if anyway & {one.code for one in blockers}:
        refuse_blockers(plan, force=force)
    first = blockers[0]
    raise WrongEnvironmentError(f"{first.code}: {first.message}", hint=next(iter(first.fix), None))


def _notes(choice: Unrecorded, tried: list[tuple[str, EnvpinError]]) -> list[str]:
    sure = f" (confidence: {choice.confidence})" if choice.confidence else ""
    before = [f"tried before: {title}: {_first_line(error)}" for title, error in tried]
    return [f"environment of an adapter without a manifest: {choice.title}{sure}", *before]


def _none_of(adapter: Checkpoint, tried: list[tuple[str, EnvpinError]], *, left: int) -> CheckFailedError:
    listed = "\n".join(f"  {title}: {_first_line(error)}" for title, error in tried)
    more = f"; {left} more would fit (--max-attempts)" if left else ""
    return CheckFailedError(
        f"`{adapter.path}` could not be merged in any of {counted(len(tried), 'environment')} that it may "
        f"come from{more}\n"
        f"{listed}",
        hint=f"{command_text('envpin', 'infer', adapter.path)} shows what is known; "
        "name the environment with --environment REF",
    )


def _first_line(error: EnvpinError) -> str:
    lines = error.message.splitlines() or [type(error).__name__]
    # A worker that broke says why in the last line of its log.
    return f"{lines[0]} {lines[-1].strip()}" if isinstance(error, WorkerBrokenError) and len(lines) > 1 else lines[0]
