"""The environment that a manifest recorded, narrowed to what a merge needs."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from envpin.core.errors import InputError, ResolutionError
from envpin.core.events import Note
from envpin.core.versions import same_build, same_release
from envpin.envs.locks.lock import read_lock
from envpin.envs.locks.torch_wish import TorchWish
from envpin.envs.store.identity import EnvironmentSpec
from envpin.manifest.closure import closure_of

if TYPE_CHECKING:
    from envpin.envs.refs.pins import Resolver
    from envpin.envs.store.receipt import Receipt
    from envpin.envs.store.store import Store
    from envpin.manifest.closure import Closure
    from envpin.manifest.types import Manifest


def resolve_recorded(
    manifest: Manifest, resolver: Resolver, *, name: str, also: tuple[str, ...] = ()
) -> EnvironmentSpec:
    """Resolve the merge closure of `manifest`: recorded versions first, and everything that they pull in held at its
    recorded version too, where the index still has it. `also` names recorded distributions that are needed beyond it.

    Raises:
        InputError: the manifest lists no torch, transformers or peft.
        ResolutionError, NoInterpreterError, NetworkError, DiskFullError
    """
    closure = closure_of(manifest, also=also)
    if closure.missing:
        listed = ", ".join(f"`{one}`" for one in closure.missing)
        raise InputError(f"the manifest of `{name}` does not list {listed}", hint="name an environment yourself")
    torch = resolver.torch or recorded_torch(manifest)
    resolver = replace(resolver, python=resolver.python or recorded_python(manifest), torch=torch)
    latest = day_after(manifest.run.saved if manifest.run else None)

    def resolve(constraints: tuple[str, ...]) -> EnvironmentSpec:
        return resolver.pins(closure.requirements, exclude_newer=latest, constraints=constraints, name=name)

    try:
        return resolve(closure.constraints)
    except ResolutionError as failed:
        if not closure.constraints:
            raise _with_sources(failed, closure) from failed
    # A companion that only the training machine had (a patched build, a yanked release) must not stop the merge; the
    # verdict names whatever differs because of it.
    resolver.listener(
        Note(message="not every recorded dependency can be had from the index; the rest follows the main pins")
    )
    try:
        return resolve(())
    except ResolutionError as failed:
        raise _with_sources(failed, closure) from failed


def _with_sources(failed: ResolutionError, closure: Closure) -> ResolutionError:
    """A failure that says which of the pins no index may have, and why."""
    other = "`--environment REF` names another one, as `transformers==4.57.1,peft==0.18.0`"
    if not closure.unpinnable:
        return ResolutionError(failed.message, hint=f"these pins are those of the run's record: {other}")
    listed = "".join(f"\n  {one.name} {one.version}: {one.reason}" for one in closure.unpinnable)
    return ResolutionError(
        f"{failed.message}\nthe run had what no index need have:{listed}",
        hint=other,
    )


def find_ready(
    manifest: Manifest,
    store: Store,
    *,
    python: str | None = None,
    also: tuple[str, ...] = (),
    torch: TorchWish | None = None,
) -> EnvironmentSpec | None:
    """An environment of the store whose every distribution is at its recorded version, on the recorded Python.

    Its torch is the recorded build, or that of `torch`.

    The run may have used one itself (`envpin run`), or an earlier replay built it; either way nothing needs resolving,
    and nothing needs the network.
    """
    for environment in store.list():
        if is_recorded_in(environment.receipt, manifest, python=python, also=also, torch=torch):
            lock = read_lock(environment.path / "pylock.toml")
            spec = EnvironmentSpec(name=environment.receipt.name, lock=lock, python=environment.receipt.python)
            if store.key(spec) == environment.key:
                return spec
    return None


def is_recorded_in(
    receipt: Receipt,
    manifest: Manifest,
    *,
    python: str | None = None,
    also: tuple[str, ...] = (),
    torch: TorchWish | None = None,
) -> bool:
    """Whether the environment of `receipt` is the recorded one: every distribution, the build of torch, or `torch`, and
    the Python, or `python`."""
    recorded = {str(canonicalize_name(one.name)): one.version for one in manifest.distributions}
    wanted = {one.partition("==")[0] for one in closure_of(manifest, also=also).requirements if "==" in one}
    version = python or (manifest.python.version if manifest.python else None)
    installed = {one.name: one.version for one in receipt.artifacts}
    actual = receipt.interpreter.version
    return (
        (version is None or actual == version or actual.startswith(f"{version}."))
        and wanted <= installed.keys()
        and all(same_release(recorded.get(name), held) for name, held in installed.items())
        and _is_build(recorded.get("torch"), installed.get("torch"), torch)
    )


def _is_build(recorded: str | None, installed: str | None, wish: TorchWish | None) -> bool:
    if wish is not None and installed is not None:
        return wish.fits(installed)
    return same_build(recorded, installed)


def recorded_torch(manifest: Manifest) -> TorchWish | None:
    """The build of torch that training ran with, where its label tells."""
    label = closure_of(manifest).torch_label
    return TorchWish(label=label, recorded=True) if label is not None else None


def recorded_python(manifest: Manifest) -> str | None:
    """The recorded Python without its patch level, which any interpreter of that minor release stands in for."""
    version = manifest.python.version if manifest.python else None
    return ".".join(version.split(".")[:2]) if version else None


def day_after(saved: str | None) -> str | None:
    """Nothing newer than the day after the run can have been installed in it. None where the date is unreadable."""
    try:
        moment = dt.datetime.fromisoformat(saved) + dt.timedelta(days=1) if saved else None
    except (ValueError, OverflowError):  # the last day that Python knows has none after it
        return None
    return moment.strftime("%Y-%m-%dT00:00:00Z") if moment is not None else None
