"""What a replay is going to do, decided from headers and JSON alone: nothing is built or loaded here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from envpin.checkpoint.bases import find_base
from envpin.checkpoint.embedding import EmbeddingPlan, plan_embedding
from envpin.checkpoint.folder import read_folder
from envpin.checkpoint.place import sha256_of
from envpin.diagnose.check import check
from envpin.envs.recorded import find_ready, resolve_recorded
from envpin.envs.resolve import resolve, resolve_pins
from envpin.errors import AnswerIsBadError, InputError
from envpin.events import Note, ignore
from envpin.manifest.closure import closure_of
from envpin.manifest.read import read_manifest
from envpin.replay.engines import EngineOptions
from envpin.replay.family import choose_family

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.checkpoint.bases import FoundBase
    from envpin.checkpoint.folder import Folder
    from envpin.envs.identity import EnvironmentSpec
    from envpin.envs.store import Store
    from envpin.events import Listener
    from envpin.findings import Finding
    from envpin.manifest.closure import Closure
    from envpin.manifest.types import Manifest

# Where the environment comes from: the manifest, the model's family, or a reference that the user gave.
Basis = Literal["manifest", "family", "reference"]
_MANIFEST = "envpin.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the user asked for, beyond the adapter and the output."""

    base: str | None = None
    environment: str | None = None
    python: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    offline: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that a merge needs to know. `findings` are those of the preflight, blockers first."""

    adapter: Path
    adapter_files: tuple[str, ...]
    out: Path
    base: FoundBase
    base_files: tuple[str, ...]
    manifest: Manifest | None
    manifest_sha256: str | None
    basis: Basis
    family: str | None
    closure: Closure | None
    spec: EnvironmentSpec
    embedding: EmbeddingPlan
    architecture: str | None
    extra_tokens: tuple[int, ...]
    engine: EngineOptions
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def blockers(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "blocker")

    def embedding_request(self) -> dict[str, Any]:
        """The embedding decision in the words of the worker protocol."""
        return {"action": self.embedding.action, "rows": self.embedding.rows}

    def describe(self) -> list[tuple[str, str]]:
        """Label and text of each line that a person reads before the merge."""
        packages = {str(one.name): str(one.version) for one in self.spec.lock.packages}
        versions = ", ".join(
            f"{name} {packages[name]}" for name in ("transformers", "peft", "torch") if name in packages
        )
        how = {
            "manifest": "as recorded in envpin.json",
            "family": f"no envpin.json: {self.family or 'the nearest known'}",
            "reference": "as you asked",
        }[self.basis]
        lines = [
            ("adapter", str(self.adapter)),
            ("base", f"{self.base.path} ({self.base.found})"),
            ("environment", f"{versions}, Python {self.spec.python} ({how})"),
            ("embedding", self.embedding.reason),
            ("engine", self.engine.engine),
            ("output", str(self.out)),
        ]
        return lines + [("note", note) for note in self.notes]

    def to_json(self) -> dict[str, Any]:
        import msgspec

        return {
            "adapter": str(self.adapter),
            "base": {"path": str(self.base.path), "found": self.base.found, "commit": self.base.commit},
            "basis": self.basis,
            "family": self.family,
            "environment": {
                "name": self.spec.name,
                "python": self.spec.python,
                "lock_sha256": self.spec.lock.digest,
                "packages": {one.name: str(one.version) for one in self.spec.lock.packages},
            },
            "embedding": {**self.embedding_request(), "reason": self.embedding.reason},
            "engine": self.engine.engine,
            "output": str(self.out),
            "findings": msgspec.to_builtins(self.findings),
            "notes": list(self.notes),
        }


def make_plan(
    adapter: Path, *, out: Path, store: Store, options: Options | None = None, listener: Listener = ignore
) -> Plan:
    """Read the adapter, its manifest and its base, and decide everything that can be decided before building anything.

    Raises:
        InputError: something cannot be read, or the base cannot be found.
        ResolutionError, NoInterpreterError, NetworkError: the environment's versions cannot be resolved.
    """
    options = options or Options()
    options.engine.check()
    folder = _adapter(adapter)
    manifest_path = adapter / _MANIFEST
    manifest = read_manifest(manifest_path) if manifest_path.exists() else None
    recorded = manifest.base if manifest else None
    base = find_base(
        folder,
        explicit=options.base,
        recorded_path=recorded.path if recorded else None,
        recorded_id=recorded.id if recorded else None,
        commit=recorded.commit if recorded else None,
    )
    base_folder = read_folder(base.path)
    notes = _notes(manifest, base_folder)
    basis, family, spec = _environment(manifest, folder, base_folder, options=options, store=store, listener=listener)
    embedding = _embedding(folder, base_folder)
    target = {str(one.name): str(one.version) for one in spec.lock.packages}
    return Plan(
        adapter=adapter.absolute(),
        adapter_files=("adapter_config.json", *_names(folder)),
        out=out.absolute(),
        base=base,
        base_files=("config.json", *_names(base_folder)),
        manifest=manifest,
        manifest_sha256=hashlib.sha256(manifest_path.read_bytes()).hexdigest() if manifest else None,
        basis=basis,
        family=family,
        closure=closure_of(manifest) if manifest and basis == "manifest" else None,
        spec=spec,
        embedding=embedding,
        architecture=recorded.architecture if recorded else None,
        extra_tokens=_extra_tokens(folder, base_folder),
        engine=options.engine,
        findings=check(adapter, base=base.path, target=target).findings,
        notes=notes,
    )


def refuse_blockers(plan: Plan) -> None:
    """
    Raises:
        AnswerIsBadError: the preflight found something that makes this merge impossible or wrong.
    """
    if plan.blockers:
        listed = "\n".join(f"  {one.code}: {one.message}" for one in plan.blockers)
        first = next((step for one in plan.blockers for step in one.fix), None)
        raise AnswerIsBadError(f"`{plan.adapter}` cannot be merged as it is\n{listed}", hint=first)


def _adapter(path: Path) -> Folder:
    folder = read_folder(path)
    if folder.adapter_config is None:
        raise InputError(
            f"`{path}` holds no adapter: there is no adapter_config.json",
            path=path,
            hint="give the folder that peft's save_pretrained wrote",
        )
    return folder


def _names(folder: Folder) -> tuple[str, ...]:
    return tuple(sorted({name for name in folder.weight_files if name.endswith(".safetensors")}))


def _environment(
    manifest: Manifest | None, adapter: Folder, base: Folder, *, options: Options, store: Store, listener: Listener
) -> tuple[Basis, str | None, EnvironmentSpec]:
    if options.environment is not None:
        spec = resolve(
            options.environment, python=options.python, listener=listener, offline=options.offline, root=store.root
        )
        return "reference", None, spec
    if manifest is not None and closure_of(manifest).missing == ():
        ready = find_ready(manifest, store, python=options.python)
        if ready is not None:
            return "manifest", None, ready
        spec = resolve_recorded(
            manifest,
            name=adapter.path.name,
            python=options.python,
            listener=listener,
            offline=options.offline,
            root=store.root,
        )
        return "manifest", None, spec
    if manifest is not None:
        message = "envpin.json does not say which torch, transformers and peft were used; the model's family decides"
        listener(Note(message=message, level="warning"))
    family = choose_family(adapter, base)
    message = f"no record of the training environment: using {family.title}"
    listener(Note(message=message, level="warning"))
    for line in family.evidence:
        listener(Note(message=line))
    if family.id is not None:
        spec = resolve(family.id, python=options.python, listener=listener, offline=options.offline, root=store.root)
        return "family", family.id, spec
    spec = resolve_pins(
        family.requirements,
        python=options.python or family.python,
        exclude_newer=family.exclude_newer,
        listener=listener,
        offline=options.offline,
        root=store.root,
    )
    return "family", None, spec


def _embedding(adapter: Folder, base: Folder) -> EmbeddingPlan:
    if base.embedding_rows is None:
        return EmbeddingPlan(action="keep", rows=0, code=None, reason="no embedding table found in the base")
    return plan_embedding(
        base_rows=base.embedding_rows,
        adapter_rows=adapter.embedding_rows,
        tokenizer_length=adapter.tokenizer.length if adapter.tokenizer else None,
    )


def _extra_tokens(adapter: Folder, base: Folder) -> tuple[int, ...]:
    """Ids of tokens that the adapter's tokenizer has beyond the base's: the rows that only training filled."""
    if adapter.tokenizer is None:
        return ()
    known = set(base.tokenizer.added.values()) if base.tokenizer else set()
    return tuple(sorted(set(adapter.tokenizer.added.values()) - known))


def _notes(manifest: Manifest | None, base: Folder) -> tuple[str, ...]:
    """What the record says about the base that does not hold for the folder that was found."""
    recorded = manifest.base if manifest else None
    config = base.path / "config.json"
    if recorded is None or recorded.config_sha256 is None or not config.is_file():
        return ()
    if sha256_of(config) != recorded.config_sha256:
        return ("the base's config.json is not the one that training read",)
    return ()
