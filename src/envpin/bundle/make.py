"""Make a bundle: of an environment, or of an adapter with its environment and, if asked, its base and a Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from envpin.bundle import contents
from envpin.bundle.archive import BundleMember, write_archive
from envpin.bundle.contents import SCHEMA, BundleDescription, BundledMerge
from envpin.bundle.interpreter import relocatable_python
from envpin.core.errors import InputError, RefusedError
from envpin.core.events import Progress, Step, ignore
from envpin.core.sizes import size_words
from envpin.envs.locks.fitting import checked_target, wheels_for
from envpin.envs.locks.portable import portable_lock
from envpin.envs.refs.lock_request import lock_request
from envpin.envs.refs.resolve import resolve
from envpin.envs.store.wheels import WheelShelf
from envpin.host.verbs import StreamAnswersCall
from envpin.replay.digests import folder_digests
from envpin.replay.engines import stamp_of, stream_request
from envpin.replay.fetch import fetch
from envpin.replay.plan import refuse_blockers
from envpin.replay.publish import refuse_within
from envpin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpin.core.events import Listener
    from envpin.envs.locks.fitting import Target
    from envpin.envs.locks.lock import Lock
    from envpin.envs.refs.pins import Resolver
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.envs.store.store import Store
    from envpin.replay.plan import MergePlan


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleOptions:
    """`platform` is one of `envs.locks.fitting.NAMES`, or None for this machine's."""

    platform: str | None = None
    with_base: bool = False
    with_python: bool = False
    offline: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundled:
    """A finished bundle: where it is, its sha256, its size in bytes, and what it says of itself."""

    path: Path
    sha256: str
    size: int
    description: BundleDescription


def bundle_environment(
    reference: str,
    target: Path,
    *,
    resolver: Resolver,
    store: Store,
    options: BundleOptions,
    listener: Listener = ignore,
) -> Bundled:
    """Bundle the environment of a reference.

    Raises:
        EnvpinError: as resolving does; BuildError where a package has no wheel for the platform.
    """
    spec = resolve(reference, resolver)
    return bundle_spec(spec, target, reference=reference, store=store, options=options, listener=listener)


def bundle_spec(
    spec: EnvironmentSpec,
    target: Path,
    *,
    store: Store,
    options: BundleOptions,
    reference: str = "",
    listener: Listener = ignore,
) -> Bundled:
    """Bundle an environment that is resolved already; as `bundle_environment`."""
    return _bundle(spec, reference, None, target, store=store, options=options, listener=listener)


def bundle_merge(
    plan: MergePlan, target: Path, *, store: Store, options: BundleOptions, listener: Listener = ignore
) -> Bundled:
    """Bundle what the merge of `plan` needs. One adapter only, and the engine that streams.

    Raises:
        InputError: several adapters.
        CheckFailedError: the adapter cannot be merged as it is.
        EnvpinError: as `bundle_environment`.
    """
    if len(plan.parts) > 1:
        raise InputError("a bundle holds one adapter", hint="bundle each by itself")
    refuse_blockers(plan)
    fetch(plan, listener=listener)
    return _bundle(plan.spec, str(plan.adapter), plan, target, store=store, options=options, listener=listener)


def _bundle(
    spec: EnvironmentSpec,
    reference: str,
    plan: MergePlan | None,
    target: Path,
    *,
    store: Store,
    options: BundleOptions,
    listener: Listener,
) -> Bundled:
    if target.exists():
        raise RefusedError(f"`{target}` exists", hint="choose another -o, or move it away first")
    if not target.parent.is_dir():
        raise InputError(f"`{target.parent}` is no folder to write `{target.name}` into", path=target)
    refuse_within(target, [store.root, *([plan.base.path, *(one.path for one in plan.parts)] if plan else ())])
    on = checked_target(options.platform, spec.python)
    lock = _lock_for(spec, reference, on, offline=options.offline, listener=listener)
    chosen = [wheel for _, wheel in wheels_for(lock, on)]
    listener(Step(key="wheels", title="get the wheels"))
    shelf = WheelShelf(store.root)
    shelf.fill(chosen, offline=options.offline, listener=listener)
    kept = [(wheel, path) for wheel in chosen if (path := shelf.find(wheel)) is not None]
    total = sum(path.stat().st_size for _, path in kept)
    listener(Step(key="wheels", title="get the wheels", state="done", detail=f"{len(kept)}, {size_words(total)}"))
    companions, gates = contents.describe_rules()
    description = BundleDescription(
        schema=SCHEMA,
        envpin=__version__,
        name=spec.name,
        platform=on.name,
        python=spec.python,
        lock_sha256=lock.digest,
        with_base=plan is not None and options.with_base,
        with_python=options.with_python,
        companions=companions,
        gates=gates,
        merge=_merge(plan, lock) if plan is not None else None,
        wheels=tuple(wheel.filename for wheel, _ in kept),
    )
    members = [
        *contents.scripts(),
        BundleMember(name=contents.DESCRIPTION, content=contents.encode(description)),
        contents.lock_member(lock),
        *contents.wheels(kept),
        *(_folders(plan, with_base=options.with_base) if plan is not None else ()),
    ]
    if options.with_python:
        members += relocatable_python(on, offline=options.offline, listener=listener)
    return _written(target, members, description, listener)


def _written(target: Path, members: list[BundleMember], description: BundleDescription, listener: Listener) -> Bundled:
    title = f"write {target.name}"
    listener(Step(key="bundle", title=title))
    total, done = 2 * sum(one.size for one in members), 0  # each is digested first, then copied

    def progress(count: int) -> None:
        nonlocal done
        done += count
        listener(Progress(key="bundle", done=min(done, total), total=total, unit="B"))

    try:
        sha256 = write_archive(target, members, progress=progress)
    except BaseException:
        listener(Step(key="bundle", title=title, state="failed"))
        raise
    size = target.stat().st_size
    listener(Step(key="bundle", title=title, state="done", detail=size_words(size)))
    return Bundled(path=target, sha256=sha256, size=size, description=description)


def _lock_for(spec: EnvironmentSpec, reference: str, on: Target, *, offline: bool, listener: Listener) -> Lock:
    """The lock of this machine; for another kind of machine, one that is for every platform."""
    if on.platform is None or on.name == type(on)(platform=None, python=on.python).name:
        return spec.lock
    if len(spec.lock.pylock.environments or ()) > 1:
        return spec.lock  # a committed one is for every platform already
    request = lock_request(reference, python=spec.python, offline=offline)
    return portable_lock(request, offline=offline, listener=listener)


def _merge(plan: MergePlan, lock: Lock) -> BundledMerge:
    part = plan.parts[0]
    adapter = folder_digests(part.path, part.files)
    base = folder_digests(plan.base.path, plan.base_files)
    stamps = [
        stamp_of(plan, (adapter,), base, lock=lock.digest, engine="stream", device=device) for device in ("cpu", "cuda")
    ]
    request = stream_request(plan, plan.out, stamp=stamps[0], cuda_stamp=stamps[1])
    answers = StreamAnswersCall(
        base="", adapter="", merged="", scratch="", weight=request.weight, embedding=request.embedding,
        quantized=request.quantized, extra_tokens=tuple(plan.extra_tokens),
    )  # fmt: skip
    places = {"base", "adapter", "out", "merged", "scratch"}  # of the machine that restores
    return BundledMerge(
        request={key: value for key, value in msgspec.to_builtins(request).items() if key not in places},
        answers={key: value for key, value in msgspec.to_builtins(answers).items() if key not in places},
        base=base,
        adapter=adapter,
        base_id=plan.base.id,
    )


def _folders(plan: MergePlan, *, with_base: bool) -> Iterator[BundleMember]:
    part = plan.parts[0]
    yield from contents.adapter_files(part.path, part.files)
    if with_base:
        yield from contents.base_files(plan.base.path, plan.base_files)
