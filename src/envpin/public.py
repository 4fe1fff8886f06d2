"""The public Python API around recorded runs: check, infer, plan, merge, prove. One function for each command.

Folders are paths; an adapter or base may also be `user/name[@revision]` on the Hub where the command takes one. Every
error is an `EnvpinError`. Nothing is printed; `listener` gets the events that the command line would show.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.errors import EnvpinError
from envpin.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.core.events import Listener
    from envpin.diagnose.subject import CheckReport
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.inference.infer import Inferred
    from envpin.manifest.types import Manifest
    from envpin.proof.prove import MergeProof
    from envpin.replay.merge import Merged
    from envpin.replay.options import MergeOptions
    from envpin.replay.plan import MergePlan

__all__ = [
    "EnvpinError",
    "check",
    "infer",
    "plan",
    "prove",
    "read_manifest",
    "replay_merge",
    "resolve",
]

AnyPath = str | os.PathLike[str]


def check(
    path: AnyPath, *, base: str | None = None, target: Mapping[str, str] | None = None, offline: bool = False
) -> CheckReport:
    """Whether an adapter or model will load and merge, told from its files; nothing is loaded.

    Without `base` it is looked for where the adapter points. `target` maps packages to the versions of the environment
    that shall load it. `compared` is False where no base was found: then nothing is said about shapes.
    """
    from envpin.diagnose.check import check as run
    from envpin.remote.hub.client import Hub

    hub = Hub(offline=offline)
    return run(hub.open_place(os.fspath(path)), base=base, target=target, open_remote=hub.open_remote)


def infer(adapter: AnyPath, *, base: str | None = None, offline: bool = False) -> Inferred:
    """Which environment trained an adapter that nobody recorded, from what training left behind."""
    from envpin.inference.infer import infer as run
    from envpin.remote.hub.client import Hub

    hub = Hub(offline=offline)
    return run(hub.open_place(os.fspath(adapter)), base=base, open_remote=hub.open_remote)


def read_manifest(path: AnyPath) -> Manifest:
    """The `envpin.json` at `path`, a file or a folder that holds one. Its content is untrusted."""
    from envpin.manifest.read import read_manifest as run

    return run(Path(path))


def resolve(reference: str, *, python: str | None = None, offline: bool = False) -> EnvironmentSpec:
    """The environment that a reference means: a family, a lock, an adapter folder or literal pins. Builds nothing."""
    from envpin.envs.refs.pins import Resolver
    from envpin.envs.refs.resolve import resolve as run

    return run(reference, Resolver(python=python, offline=offline))


def plan(
    adapter: AnyPath,
    out: AnyPath,
    *,
    base: str | None = None,
    environment: str | None = None,
    offline: bool = False,
    listener: Listener = ignore,
) -> MergePlan:
    """What `replay_merge` would do. Builds, merges and writes nothing."""
    from envpin.envs.store.store import Store
    from envpin.remote.hub.client import Hub
    from envpin.replay.plan import make_plan

    hub = Hub(offline=offline, listener=listener)
    return make_plan(
        hub.open_place(os.fspath(adapter)),
        out=Path(out),
        store=Store(),
        options=_options(base, environment, offline=offline),
        listener=listener,
        open_remote=hub.open_remote,
    )


def replay_merge(
    adapter: AnyPath,
    out: AnyPath,
    *,
    base: str | None = None,
    environment: str | None = None,
    strict: bool = False,
    force: bool = False,
    offline: bool = False,
    listener: Listener = ignore,
) -> Merged:
    """Merge in the environment that trained the adapter, prove the result and publish it at `out` with one rename.

    `record.verdict.kind` of the result says how sure it is. `strict` accepts only `identical`; `force` goes on past
    doubts. For an adapter without a manifest the most likely environments are tried until one proves right.
    """
    from envpin.checkpoint.checkpoint import open_checkpoint
    from envpin.envs.store.store import Store
    from envpin.remote.hub.client import Hub
    from envpin.replay.attempts import Manner, is_unrecorded, merge_unrecorded
    from envpin.replay.merge import merge
    from envpin.replay.plan import make_plan, refuse_blockers
    from envpin.replay.publish import refuse_existing, refuse_within

    target, store = Path(out), Store()
    refuse_existing(target)
    hub = Hub(offline=offline, listener=listener)
    checkpoint = open_checkpoint(hub.open_place(os.fspath(adapter)))
    options = _options(base, environment, offline=offline)
    if is_unrecorded(checkpoint, options):
        return merge_unrecorded(
            checkpoint, out=target, store=store, options=options, listener=listener, open_remote=hub.open_remote,
            manner=Manner(strict=strict, force=force), on_plan=lambda _plan: None,
        )  # fmt: skip
    made = make_plan(
        checkpoint, out=target, store=store, options=options, listener=listener, open_remote=hub.open_remote
    )
    refuse_within(target, [store.root, made.base.path, *(part.path for part in made.parts)])
    refuse_blockers(made, force=force)
    return merge(made, store, listener=listener, offline=offline, strict=strict, force=force)


def prove(
    base: AnyPath,
    adapter: AnyPath,
    merged: AnyPath,
    *,
    environment: str | None = None,
    offline: bool = False,
    listener: Listener = ignore,
) -> MergeProof:
    """Whether a merge, whoever made it, is this base plus this adapter, tensor by tensor."""
    from envpin.envs.store.store import Store
    from envpin.proof.prove import prove as run

    return run(
        Path(base), Path(adapter), Path(merged), store=Store(), environment=environment, listener=listener,
        offline=offline,
    )  # fmt: skip


def _options(base: str | None, environment: str | None, *, offline: bool) -> MergeOptions:
    from envpin.replay.options import MergeOptions

    return MergeOptions(base=base, environment=environment, offline=offline)
