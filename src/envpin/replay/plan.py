"""What a replay is going to do, decided from headers and JSON alone: nothing is built or loaded here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from packaging.utils import canonicalize_name

from envpin.checkpoint.base_weights import compare_bases
from envpin.checkpoint.bases import FoundBase
from envpin.checkpoint.checkpoint import opener
from envpin.checkpoint.no_adapter import require_adapter
from envpin.core.errors import CheckFailedError, InputError, RefusedError
from envpin.core.events import ignore
from envpin.core.sizes import counted
from envpin.core.versions import same_build, same_release
from envpin.diagnose.check import find_recorded_base
from envpin.envs.locks.torch_build import torch_of
from envpin.manifest.closure import closure_of
from envpin.replay.adapters import (
    Part,
    WeightedAdapter,
    embedding_of,
    environment_conflicts,
    kind_of,
    method_packages,
    refuse_conflicts,
    tokenizer_source,
)
from envpin.replay.environment import Basis, choose_environment
from envpin.replay.options import EngineOptions, MergeOptions
from envpin.replay.preflight import preflight, refuse_incomplete
from envpin.replay.quantized import Decision, decide, quantized_run, settle
from envpin.replay.tied import tied_module

if TYPE_CHECKING:
    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.checkpoint.embedding import EmbeddingPlan
    from envpin.core.events import Listener
    from envpin.core.findings import Finding
    from envpin.core.place import OpenRemote, Place, RemotePlace
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.envs.store.store import Store
    from envpin.manifest.base_weights import WeightsComparison
    from envpin.manifest.types import BaseModel, Manifest

# Packages of conda that decide what a run computes.
_COMPUTING = ("cuda", "cudnn", "mkl", "blas", "libblas", "openblas", "nccl", "libcublas", "intel-openmp")

# Blockers that somebody who knows better may go past.
_DOUBTS = frozenset({"base-weights-differ"})


@dataclass(frozen=True, kw_only=True, slots=True)
class MergePlan:
    """Everything that a merge needs to know. `parts` are the adapters in merging order, `tokenizer` the folder of
    the one whose tokenizer goes next to the model, `findings` are those of the preflight, blockers first.
    `weights` is what is known about the base's weights before whole files are digested. `max_download` is in bytes.
    `tied_module` is what an adapter changes of a table that the base stores once for embedding and head."""

    parts: tuple[Part, ...]
    tokenizer: Path
    out: Path
    base: FoundBase
    base_files: tuple[str, ...]
    basis: Basis
    family: str | None
    spec: EnvironmentSpec
    embedding: EmbeddingPlan
    architecture: str | None
    extra_tokens: tuple[int, ...]
    engine: EngineOptions
    quantized: Decision
    weights: WeightsComparison
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    max_download: int | None = None
    tied_module: str | None = None

    @property
    def adapter(self) -> Path:
        """The first adapter: a merge of one has no other."""
        return self.parts[0].path

    @property
    def recorded_bases(self) -> tuple[BaseModel | None, ...]:
        """What the record of each adapter says about its base."""
        return tuple(part.manifest.base if part.manifest is not None else None for part in self.parts)

    @property
    def other_torch(self) -> tuple[str, str] | None:
        """The recorded version of torch and the one that this merge takes, where they are two builds of one release."""
        locked = torch_of(self.spec.lock)
        for part in self.parts if self.basis == "manifest" else ():
            recorded = part.manifest.version_of("torch") if part.manifest is not None else None
            if recorded and locked and same_release(recorded, locked) and not same_build(recorded, locked):
                return recorded, locked
        return None

    @property
    def blockers(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "blocker")

    def embedding_request(self) -> dict[str, object]:
        """The embedding decision in the words of the worker protocol."""
        return {"action": self.embedding.action, "rows": self.embedding.rows}

    def to_json(self) -> dict[str, object]:
        return {
            "adapter": str(self.adapter),
            "adapters": [
                {"path": str(part.path), "weight": part.weight, "hub": _hub(part.remote)} for part in self.parts
            ],
            "base": {
                "path": str(self.base.path),
                "found": self.base.found,
                "id": self.base.id,
                "commit": self.base.commit,
                "to_download": self.base.remote is not None,
                "weights": self.weights.state,
                "weights_reason": self.weights.reason,
            },
            "basis": self.basis,
            "family": self.family,
            "environment": {
                "name": self.spec.name,
                "python": self.spec.python,
                "lock_sha256": self.spec.lock.digest,
                "packages": {one.name: str(one.version) for one in self.spec.lock.packages},
                "other_torch": self.other_torch,
            },
            "embedding": {**self.embedding_request(), "reason": self.embedding.reason},
            "engine": self.engine.engine,
            "device": self.engine.device,
            "quantized_base": self.quantized.to_json(),
            "output": str(self.out),
            "findings": msgspec.to_builtins(self.findings),
            "notes": list(self.notes),
        }


def make_plan(
    adapter: Place | Checkpoint,
    *,
    out: Path,
    store: Store,
    options: MergeOptions | None = None,
    listener: Listener = ignore,
    open_remote: OpenRemote | None = None,
) -> MergePlan:
    """Read the adapter, its manifest and its base, and decide everything that can be decided before building anything.

    Of an adapter or a base on the Hub only headers and small files are read; `open_remote` opens a base there.

    Raises:
        InputError: something cannot be read, or the base cannot be found.
        ResolutionError, NoInterpreterError, NetworkError: the environment's versions cannot be resolved.
    """
    options = options or MergeOptions()
    options.engine.check()
    first = WeightedAdapter(path=Path(), weight=options.weight).at(adapter)
    given = [first, *(one if one.opened is not None else one.at(one.path) for one in options.further)]
    adapters = [(one, require_adapter(one.checkpoint)) for one in given]
    folder = adapters[0][1]
    _ = folder.tokenizer  # read whole, so that inference does not look at its ends on its own
    parts = tuple(_part(one, read) for one, read in adapters)
    base = _base(parts, adapters, options.base, open_remote)
    base_folder = base.checkpoint
    recorded = parts[0].manifest.base if parts[0].manifest else None
    notes = [
        *refuse_conflicts(adapters),
        *base.passed_over,
        *(note for part in parts for note in _notes(part.manifest, base_folder)),
    ]
    leading = next((part for part in parts if part.closure is not None and part.closure.missing == ()), parts[0])
    policy = options.engine.quantized_base
    quantized = decide(base_folder, quantized_run(part.manifest for part in parts), policy)
    also = (*quantized.packages, *method_packages(read for _, read in adapters))
    parts = tuple(part.with_packages(also) for part in parts)
    basis, family, spec = choose_environment(
        leading.manifest, folder, base_folder, options=options, store=store, also=also, listener=listener
    )
    notes += environment_conflicts(parts)
    target = {str(one.name): str(one.version) for one in spec.lock.packages}
    refuse_incomplete(options.environment, target, (read for _, read in adapters))
    return MergePlan(
        parts=parts,
        tokenizer=tokenizer_source(adapters).absolute(),
        out=out.absolute(),
        base=base,
        base_files=("config.json", *_names(base_folder)),
        basis=basis,
        family=family,
        spec=spec,
        embedding=embedding_of(adapters, base_folder.embedding_rows),
        architecture=recorded.architecture if recorded else None,
        extra_tokens=tuple(sorted({token for _, read in adapters for token in _extra_tokens(read, base_folder)})),
        engine=options.engine,
        quantized=quantized,
        weights=compare_bases((part.manifest.base if part.manifest else None for part in parts), base),
        findings=settle(preflight(given, base, target), quantized, policy),
        notes=tuple(dict.fromkeys(notes)),
        max_download=options.max_download,
        tied_module=tied_module(base_folder, (read for _, read in adapters)),
    )


def _part(one: WeightedAdapter, folder: Checkpoint) -> Part:
    record = folder.recorded
    return Part(
        path=one.path.absolute(),
        remote=one.remote,
        weight=one.weight,
        files=("adapter_config.json", *_names(folder)),
        manifest=record.manifest if record else None,
        manifest_sha256=record.sha256 if record else None,
        closure=closure_of(record.manifest) if record else None,
        kind=kind_of(folder),
        settings=folder.adapter_config or {},
    )


def _base(
    parts: tuple[Part, ...],
    adapters: list[tuple[WeightedAdapter, Checkpoint]],
    explicit: str | FoundBase | None,
    open_remote: OpenRemote | None,
) -> FoundBase:
    """The base of the first adapter; without an explicit one, those of the others have to be the same folder.

    Raises:
        InputError: it was not found.
        CheckFailedError: another adapter was trained on another base.
    """
    if isinstance(explicit, FoundBase):
        return explicit
    open_base = opener()  # adapters that are merged together have one base
    found: FoundBase | None = None
    for part, (_, folder) in zip(parts, adapters, strict=True):
        try:
            own = find_recorded_base(
                folder, part.manifest, explicit=explicit, open_remote=open_remote, open_base=open_base
            )
        except InputError:
            if found is None:
                raise
            continue  # shapes and names are compared with the first adapter's base all the same
        if found is None:
            found = own
        elif own.path.resolve() != found.path.resolve():
            alike = part.path.name == parts[0].path.name  # most are called `adapter`, or by their step
            first, other = (one.path if alike else one.path.name for one in (parts[0], part))
            raise CheckFailedError(
                f"these adapters cannot be merged together\n  `{first}` was trained on `{found.path}`, "
                f"and `{other}` on `{own.path}`",
                hint="if both are the same model, name it with --base",
            )
    assert found is not None  # noqa: S101  there is at least one adapter
    return found


def refuse_environments(plan: MergePlan, *, force: bool) -> None:
    """
    Raises:
        RefusedError: the adapters were recorded with different versions, and none was chosen for all of them.
    """
    conflicts = environment_conflicts(plan.parts)
    if conflicts and plan.basis != "reference" and not force:
        listed = "\n".join(f"  {line}" for line in conflicts)
        raise RefusedError(
            f"these adapters were trained in different environments\n{listed}",
            hint="choose one with --environment REF, for example the folder of one of the adapters; "
            "or add --force to take that of the first",
        )


def blockers_of(plan: MergePlan, *, force: bool) -> list[Finding]:
    """The findings that stop this merge."""
    return [one for one in plan.blockers if not (force and one.code in _DOUBTS)]


def refuse_blockers(plan: MergePlan, *, force: bool = False) -> None:
    """`force` goes on past what is doubtful only: other weights of the base than those that training loaded.

    Raises:
        CheckFailedError: the preflight found something that makes this merge impossible or wrong.
    """
    if blockers := blockers_of(plan, force=force):
        listed = "\n".join(f"  {one.code}: {one.message}" for one in blockers)
        remote = plan.parts[0].remote
        name = remote.id if remote is not None else plan.adapter
        first = next((step for one in blockers for step in one.fix), None)
        raise CheckFailedError(f"`{name}` cannot be merged as it is\n{listed}", hint=first)


def _hub(remote: RemotePlace | None) -> dict[str, str] | None:
    return None if remote is None else {"id": remote.id, "commit": remote.commit}


def _names(folder: Checkpoint) -> tuple[str, ...]:
    return tuple(sorted({name for name in folder.weight_files if name.endswith(".safetensors")}))


def _extra_tokens(adapter: Checkpoint, base: Checkpoint) -> tuple[int, ...]:
    """Ids of tokens that the adapter's tokenizer has beyond the base's: the rows that only training filled."""
    if adapter.tokenizer is None:
        return ()
    known = set(base.tokenizer.added.values()) if base.tokenizer else set()
    return tuple(sorted(set(adapter.tokenizer.added.values()) - known))


def _notes(manifest: Manifest | None, base: Checkpoint) -> tuple[str, ...]:
    """What the record says about the base that does not hold for the folder that was found, and what of the recorded
    environment is not rebuilt."""
    return (*_base_notes(manifest, base), *(conda_notes(manifest) if manifest is not None else ()))


def conda_notes(manifest: Manifest) -> tuple[str, ...]:
    """What of a recorded conda environment no index of Python packages can give."""
    installed = {one.name for one in manifest.distributions}
    others = [one for one in manifest.conda if canonicalize_name(one.name) not in installed]
    if not others:
        return ()
    # Those that compute come first in the sentence.
    telling = sorted(others, key=lambda one: (not one.name.startswith(_COMPUTING), one.name))
    listed = ", ".join(f"{one.name} {one.version}" for one in telling[:4])
    more = f" and {len(others) - 4} more" if others[4:] else ""
    channels = ", ".join(sorted({one.channel for one in others if one.channel})[:3])
    origin = f" (from {channels})" if channels else ""
    said = f"not of Python, and not rebuilt: {counted(len(others), 'package')} of the recorded conda environment"
    return (f"{said}: {listed}{more}{origin}; wheels bring their own libraries",)


def _base_notes(manifest: Manifest | None, base: Checkpoint) -> tuple[str, ...]:
    recorded = manifest.base if manifest else None
    if recorded is None or recorded.config_sha256 is None or "config.json" not in base.names:
        return ()
    if base.sha256("config.json") != recorded.config_sha256:
        return ("the base's config.json is not the one that training read",)
    return ()
