"""Which environment a merge runs in: the one that was named, recorded, or inferred, with what the methods need."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from envpin.core.events import Note
from envpin.envs.locks.torch_wish import TorchWish
from envpin.envs.machine import platform_name
from envpin.envs.refs.adapter import unrecorded
from envpin.envs.refs.pins import Resolver
from envpin.envs.refs.recorded import find_ready, resolve_recorded
from envpin.envs.refs.resolve import resolve
from envpin.manifest.closure import closure_of

if TYPE_CHECKING:
    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.core.events import Listener
    from envpin.envs.locks.portable import LockRequest
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.envs.store.store import Store
    from envpin.manifest.types import Manifest
    from envpin.replay.options import MergeOptions

# Where the environment comes from: the manifest, the adapter's own files, the model's family, or a reference that the
# user gave.
Basis = Literal["manifest", "inferred", "family", "reference"]


def with_packages(request: LockRequest, also: tuple[str, ...]) -> LockRequest:
    """The same with packages that it does not ask for yet."""
    asked = " ".join(request.requirements)
    more = tuple(name for name in also if name not in asked)
    return replace(request, requirements=(*request.requirements, *more)) if more else request


def choose_environment(
    manifest: Manifest | None,
    adapter: Checkpoint,
    base: Checkpoint,
    *,
    options: MergeOptions,
    store: Store,
    also: tuple[str, ...],
    listener: Listener,
) -> tuple[Basis, str | None, EnvironmentSpec]:
    """What the choice rests on, the family where it is one's, and the environment. `also` are packages that this merge
    needs beyond the usual ones; an environment that the user named is taken as it is."""
    resolver = Resolver(
        python=options.python, listener=listener, offline=options.offline, root=store.root, torch=options.torch
    )
    if options.environment is not None:
        return "reference", None, resolve(options.environment, resolver)
    if options.spec is not None:
        recorded = manifest is not None and closure_of(manifest).missing == ()
        return "manifest" if recorded else "reference", None, options.spec
    if manifest is not None and closure_of(manifest).missing == ():
        ready = find_ready(manifest, store, python=options.python, also=also, torch=options.torch)
        if ready is not None:
            return "manifest", None, ready
        return "manifest", None, resolve_recorded(manifest, resolver, name=adapter.path.name, also=also)
    if manifest is not None:
        message = "envpin.json does not say which torch, transformers and peft were used: it is as if there were none"
        listener(Note(message=message, level="warning"))
    choice = options.choice or unrecorded(adapter, base=base)
    sure = f" (confidence: {choice.confidence})" if choice.confidence else ""
    listener(Note(message=f"no record of the training environment: using {choice.title}{sure}", level="warning"))
    for line in choice.evidence:
        listener(Note(message=line))
    if resolver.torch is None and options.engine.device == "cpu" and platform_name() == "linux-x86_64":
        # The index's own build is for a GPU here, and ten times as large; elsewhere it is for a CPU.
        resolver = replace(resolver, torch=TorchWish(label="cpu"))
    request = with_packages(choice.request, also)
    if choice.family is not None and request == choice.request:
        return "family", choice.family.id, resolve(choice.family.id, resolver)
    family = choice.family.id if choice.family is not None else None
    return "inferred" if choice.basis == "inferred" else "family", family, resolver.request(request)
