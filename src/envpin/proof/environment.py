"""The environment that a proof runs in. Any with torch will do for what envpin recomputes itself; only what is left to
peft asks for the adapter's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from envpin.envs.refs.adapter import unrecorded
from envpin.envs.refs.pins import Resolver
from envpin.envs.refs.recorded import find_ready, resolve_recorded
from envpin.envs.refs.resolve import resolve
from envpin.manifest.closure import closure_of

if TYPE_CHECKING:
    from envpin.core.events import Listener
    from envpin.envs.store.environment import Environment
    from envpin.envs.store.store import Store
    from envpin.manifest.types import Manifest
    from envpin.proof.inputs import ProofInputs


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """An environment that is ready, and why it was taken."""

    environment: Environment
    why: str

    @property
    def packages(self) -> dict[str, str]:
        """The versions that matter to a proof."""
        held = {one.name: one.version for one in self.environment.receipt.artifacts}
        return {name: held[name] for name in ("torch", "transformers", "peft") if name in held}


def choose(inputs: ProofInputs, store: Store, *, reference: str | None, listener: Listener, offline: bool) -> Chosen:
    """The one that `reference` names; else the adapter's own, if it is ready; else one of the store that has torch;
    else the adapter's own, built.

    Raises:
        EnvironmentSetupError, InfrastructureError, InputError: none is ready, and none can be built.
    """
    resolver = Resolver(listener=listener, offline=offline, root=store.root)
    if reference is not None:
        spec = resolve(reference, resolver)
        return Chosen(environment=store.ensure(spec, listener=listener, offline=offline), why="as you asked")
    record = inputs.adapter.recorded
    manifest = record.manifest if record is not None and not closure_of(record.manifest).missing else None
    if manifest is not None and (ready := find_ready(manifest, store)) is not None:
        return Chosen(environment=store.ensure(ready, listener=listener), why="the recorded one of the adapter")
    ready_one = _ready(store, inputs)
    if ready_one is not None:
        return Chosen(environment=store.use(ready_one), why="ready in the store")
    return _built(inputs, store, manifest, resolver)


def _built(inputs: ProofInputs, store: Store, manifest: Manifest | None, resolver: Resolver) -> Chosen:
    if manifest is not None:
        name = str(inputs.adapter.path).rstrip("/").rpartition("/")[2] or "adapter"
        spec, why = resolve_recorded(manifest, resolver, name=name), "built as recorded"
    else:
        choice = unrecorded(inputs.adapter, base=inputs.base)
        family = choice.family
        spec = resolve(family.id, resolver) if family is not None else resolver.request(choice.request)
        why = f"built: {choice.title}"
    return Chosen(environment=store.ensure(spec, listener=resolver.listener, offline=resolver.offline), why=why)


def _ready(store: Store, inputs: ProofInputs) -> Environment | None:
    """Of the environments with torch: one whose peft is not older than the adapter's, the nearest to it; else any."""
    wanted = _version((inputs.adapter.adapter_config or {}).get("peft_version"))
    best: tuple[tuple[bool, bool, Version], Environment] | None = None
    for environment in store.list():
        held = {one.name: one.version for one in environment.receipt.artifacts}
        if "torch" not in held:
            continue
        whole = {"peft", "transformers"} <= held.keys()
        version = _version(held.get("peft"))
        rank = (whole, wanted is None or version >= wanted, version)
        if best is None or rank > best[0]:
            best = (rank, environment)
    return best[1] if best is not None else None


def _version(text: object) -> Version:
    try:
        return Version(str(text))
    except InvalidVersion:
        return Version("0")
