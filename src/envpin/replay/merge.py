"""`replay merge`, from a plan to a published folder: provision, judge, merge, verify, publish."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from envpin.checkpoint.base_weights import compare_bases
from envpin.core.errors import BuildError, CheckFailedError, RefusedError
from envpin.core.events import Note, Step, ignore
from envpin.core.hub_cache import cached_identity
from envpin.core.scratch import scratch
from envpin.core.sizes import counted
from envpin.envs.machine import driver_version
from envpin.envs.store.estimate import planned_download
from envpin.envs.store.torch_installed import installed_torch, torch_findings
from envpin.host.session import WorkerSession
from envpin.host.worker import SMALL_PAGES
from envpin.replay import digests, engines, publish
from envpin.replay.fetch import fetch, refuse_other_bytes
from envpin.replay.plan import refuse_environments
from envpin.replay.record import (
    FILE_NAME,
    SCHEMA,
    EnvironmentUsed,
    InputFolder,
    MergeRecord,
    encode,
)
from envpin.replay.verdict import ORDER, RebuiltEnvironment, Verdict, asked_for, judge, judge_adapter, judge_base
from envpin.version import __version__

if TYPE_CHECKING:
    from envpin.core.events import Listener
    from envpin.envs.store.environment import Environment
    from envpin.envs.store.estimate import PlannedDownload
    from envpin.envs.store.store import Store
    from envpin.replay.adapters import Part
    from envpin.replay.plan import MergePlan

_DAMAGED_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """A finished merge: where it is and its record."""

    out: Path
    record: MergeRecord


def merge(
    plan: MergePlan,
    store: Store,
    *,
    listener: Listener = ignore,
    offline: bool = False,
    strict: bool = False,
    force: bool = False,
) -> Merged:
    """Carry out `plan`. Nothing is left at `plan.out` unless every check passed.

    `strict` accepts only a verdict of `identical`; `force` goes on past a `mismatch` (of the environment, or of the
    base's weights), an adapter that changes nothing and a merged model that answers otherwise than its adapter.

    Raises:
        OutputExistsError, RefusedError: nothing may be written there, or the verdict was refused.
        EnvironmentSetupError: the environment cannot be built.
        CheckFailedError: the base, the adapter or the merge failed a check.
        InfrastructureError: disk, memory, network or a killed worker.
    """
    publish.refuse_existing(plan.out)
    publish.refuse_within(plan.out, [store.root, plan.base.path, *(part.path for part in plan.parts)])
    refuse_environments(plan, force=force)
    environment = provision(plan, store, listener=listener, offline=offline)
    verdict = verdict_of(plan, environment)
    if verdict.kind == "mismatch" or (strict and verdict.kind != "identical"):
        _tell(plan, verdict, listener)
        _refuse_verdict(verdict, strict=strict, force=force)  # before anything is downloaded
    locks, resume = store.root / "locks", plan.engine.resume
    # It imports the libraries while the inputs are fetched and digested.
    pages = SMALL_PAGES if all(part.kind == "LORA" for part in plan.parts) else None
    with WorkerSession(environment.python, imports=_imports(plan), env=pages) as session:
        fetch(plan, listener=listener)
        publish.companions(adapter=plan.tokenizer, base=plan.base.path)
        inputs = _digest_inputs(plan, listener)
        verdict = judge_base(
            verdict,
            compare_bases(plan.recorded_bases, plan.base, inputs.base),
            config=inputs.base.get("config.json"),
            recorded=[one.config_sha256 for one in plan.recorded_bases if one is not None],
        )
        for part, files in zip(plan.parts, inputs.adapters, strict=True):
            name = f"{part.path.name}: " if len(plan.parts) > 1 else ""
            verdict = judge_adapter(verdict, part.manifest, files, settings=part.settings, name=name)
        _tell(plan, verdict, listener)
        _refuse_verdict(verdict, strict=strict, force=force)
        with (
            publish.staging(plan.out, locks=locks, resume=resume, listener=listener) as staged,
            scratch("merge") as scratch_folder,
        ):
            record = _merge_into(
                plan,
                environment,
                verdict,
                inputs,
                staged=staged,
                scratch=Path(scratch_folder),
                listener=listener,
                force=force,
                session=session,
            )
            listener(Step(key="publish", title="publish"))
            (staged / FILE_NAME).write_bytes(encode(record))
            publish.publish(staged, plan.out)
            listener(Step(key="publish", title="publish", state="done", detail=str(plan.out)))
    return Merged(out=plan.out, record=record)


def provision(plan: MergePlan, store: Store, *, listener: Listener, offline: bool) -> Environment:
    """The environment of `plan`, built where it is missing and rebuilt where its bytes changed."""
    environment = store.ensure(plan.spec, listener=listener, offline=offline, max_download=plan.max_download)
    listener(Step(key="environment-verify", title="check its installed bytes"))
    damage = store.verify(environment, everything=False)
    if damage:
        names = ", ".join(f"`{one.path}`" for one in damage[:_DAMAGED_SHOWN])
        more = f" and {len(damage) - _DAMAGED_SHOWN} more" if len(damage) > _DAMAGED_SHOWN else ""
        message = f"the environment's files were changed since it was built ({names}{more}); it is built again"
        listener(Note(message=message, level="warning"))
        environment = store.ensure(plan.spec, listener=listener, offline=offline, rebuild=True)
    listener(
        Step(key="environment-verify", title="check its installed bytes", state="done", detail=_versions(environment))
    )
    store.use(environment, needed_by=plan.adapter)
    for one in torch_findings(environment.path, lambda: environment.receipt.artifacts, driver=driver_version()):
        level: Literal["info", "warning"] = "info" if plan.engine.device == "cpu" else "warning"
        listener(Note(message=f"{one.code}: {one.message}", level=level))
    return environment


def planned(plan: MergePlan, store: Store) -> PlannedDownload | None:
    """What building the environment would download at most, whatever uv's cache holds; None where it is ready, or
    nothing fits this machine."""
    if store.find(plan.spec) is not None:
        return None
    try:
        return planned_download(plan.spec.lock, plan.spec.python)
    except BuildError:
        return None


def packages_of(environment: Environment) -> dict[str, str]:
    """Versions by normalized name, as the receipt names them."""
    return {one.name: one.version for one in environment.receipt.artifacts}


def rebuilt_state(environment: Environment) -> RebuiltEnvironment:
    """What the environment is, read from its receipt and from torch's own version file."""
    receipt, torch = environment.receipt, installed_torch(environment.path)
    return RebuiltEnvironment(
        packages=packages_of(environment),
        python=receipt.interpreter.version,
        platform=receipt.platform.get("system", ""),
        machine=receipt.platform.get("machine", ""),
        torch=torch.version if torch is not None else None,
    )


def _tell(plan: MergePlan, verdict: Verdict, listener: Listener) -> None:
    words = {
        "identical": "environment and base are the recorded ones",
        "identical-environment": f"the environment is the recorded one; base weights: {verdict.base_words}",
        "explained-drift": counted(len(verdict.differences), "explained difference"),
        "mismatch": "not what was recorded",
        "unrecorded": f"{_chosen(plan)}; {_uncompared(plan)}",
    }[verdict.kind]
    failed = verdict.kind == "mismatch"
    listener(Step(key="verdict", title=f"verdict {verdict.kind}", state="failed" if failed else "done", detail=words))
    for one in verdict.differences:
        if one.cls == "adapter":
            message = (
                f"{one.what} is not the file that envpin.json records: {one.recorded[:12]}, now {one.rebuilt[:12]}"
            )
        elif one.cls == "adapter-setting":
            message = f"{one.what} was {one.recorded} when it was saved, and is {one.rebuilt}"
        elif one.cls == "base-config":
            continue  # a note of the plan
        else:
            listener(Note(message=f"{one.what}: recorded {one.recorded}, rebuilt {one.rebuilt} ({one.cls})"))
            continue
        listener(Note(message=message, level="warning"))


def verdict_of(plan: MergePlan, environment: Environment) -> Verdict:
    """How near the environment is to that of each adapter's training; of several, the worst."""
    rebuilt = rebuilt_state(environment)
    chosen = plan.basis == "reference"
    compared = chosen or plan.basis == "manifest"
    verdicts = [judge(part.manifest, part.closure if compared else None, rebuilt) for part in plan.parts]
    if chosen:
        verdicts = [asked_for(one) for one in verdicts]
    if len(verdicts) == 1:
        return verdicts[0]
    differences = tuple(
        msgspec.structs.replace(one, what=f"{part.path.name}: {one.what}")
        for part, verdict in zip(plan.parts, verdicts, strict=True)
        for one in verdict.differences
    )
    worst = max(verdicts, key=lambda one: ORDER.index(one.kind))
    return Verdict(kind=worst.kind, differences=differences)


def _uncompared(plan: MergePlan) -> str:
    if any(part.closure is not None for part in plan.parts):
        return "it is not the recorded one" if plan.basis == "reference" else "the record names no versions"
    return "there is no record to compare with"


def _chosen(plan: MergePlan) -> str:
    if plan.basis == "reference":
        return "the environment that was named"
    if plan.basis == "inferred":
        return "inferred from the adapter's files"
    return f"chosen for {plan.family or 'this model'}"


def _refuse_verdict(verdict: Verdict, *, strict: bool, force: bool) -> None:
    others = [one for one in verdict.differences if one.cls == "base-weights"]
    if others and not force:
        listed = "; ".join(f"`{one.what}` was {one.recorded}, is {one.rebuilt}" for one in others)
        raise CheckFailedError(
            f"base-weights-differ: the base holds other weights than the one that training loaded: {listed}",
            hint="name the base that training loaded with --base, or add --force to merge into this one",
        )
    if verdict.kind == "mismatch" and not force:
        listed = "; ".join(f"{one.what} was {one.recorded}, would be {one.rebuilt}" for one in verdict.differences)
        raise RefusedError(f"the recorded environment cannot be rebuilt: {listed}", hint="add --force to merge anyway")
    if strict and verdict.kind != "identical":
        raise RefusedError(
            f"the verdict is `{verdict.kind}`, and --strict accepts only `identical`", hint="leave out --strict"
        )


class _Inputs(NamedTuple):
    """The sha256 of every file that the merge reads, by name: of each adapter in merging order, and of the base."""

    adapters: tuple[dict[str, str], ...]
    base: dict[str, str]


def _digest_inputs(plan: MergePlan, listener: Listener) -> _Inputs:
    """
    Raises:
        InfrastructureError: a file of a Hub cache is not the one that was published.
    """
    listener(Step(key="digests", title="digest the inputs"))
    found = _Inputs(
        adapters=tuple(digests.folder_digests(part.path, part.files) for part in plan.parts),
        base=digests.folder_digests(plan.base.path, plan.base_files),
    )
    for part, files in zip(plan.parts, found.adapters, strict=True):
        refuse_other_bytes(part.path, files)
    refuse_other_bytes(plan.base.path, found.base)
    count = counted(sum(map(len, found.adapters)) + len(found.base), "file")
    listener(Step(key="digests", title="digest the inputs", state="done", detail=count))
    return found


def _forced(verdict: Verdict) -> list[str]:
    """What went on although it was refused, for the record."""
    if verdict.base_weights != "differ":
        return []
    return ["the weights of the base are not those that training loaded: merged all the same (--force)"]


def _merge_into(
    plan: MergePlan,
    environment: Environment,
    verdict: Verdict,
    inputs: _Inputs,
    *,
    staged: Path,
    scratch: Path,
    listener: Listener,
    force: bool,
    session: WorkerSession,
) -> MergeRecord:
    outcome = engines.run(
        engines.MergeJob(
            plan=plan,
            environment=environment,
            adapter_files=inputs.adapters,
            base_files=inputs.base,
            staged=staged,
            scratch=scratch,
            listener=listener,
            force=force,
            session=session,
        )
    )
    several = len(plan.parts) > 1
    adapters = [_adapter(part, files, several) for part, files in zip(plan.parts, inputs.adapters, strict=True)]
    return MergeRecord(
        schema=SCHEMA,
        envpin=__version__,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        inputs_digest=outcome.stamp,
        verdict=verdict,
        adapter=adapters[0],
        further=tuple(adapters[1:]),
        base=InputFolder(
            path=str(plan.base.path), files=inputs.base, id=plan.base.id, commit=plan.base.commit, found=plan.base.found
        ),
        environment=EnvironmentUsed(
            key=environment.key,
            lock_sha256=environment.receipt.lock_sha256,
            python=environment.receipt.interpreter.version,
            packages=packages_of(environment),
            basis=plan.basis,
            reference=plan.spec.name,
        ),
        engine=outcome.engine,
        embedding=plan.embedding_request(),
        merge=outcome.merge,
        verification=outcome.verification,
        files=_output_digests(staged, outcome),
        manifest_sha256=plan.parts[0].manifest_sha256,
        quantized_base=plan.quantized.to_json(),
        notes=(*plan.notes, *_forced(verdict), *outcome.notes),
    )


def _output_digests(staged: Path, outcome: engines.EngineOutcome) -> dict[str, str]:
    """What the worker read back from the disk and digested is not read a third time."""
    rest = [path.name for path in staged.iterdir() if path.name not in outcome.files]
    return dict(sorted({**outcome.files, **digests.folder_digests(staged, rest)}.items()))


def _imports(plan: MergePlan) -> tuple[str, ...]:
    """What either engine imports, and the classes that the base is loaded as."""
    named = (plan.base.checkpoint.config or {}).get("architectures")
    classes = [plan.architecture] if plan.architecture else named if isinstance(named, list) else []
    libraries = ("torch", "safetensors.torch", "transformers", "peft", "accelerate")
    return (*libraries, *(f"transformers:{one}" for one in classes if isinstance(one, str)))


def _adapter(part: Part, files: dict[str, str], several: bool) -> InputFolder:
    """With its commit where it is from the Hub, also where it was in the cache already."""
    known = cached_identity(part.path)
    return InputFolder(
        path=str(part.path),
        files=files,
        weight=part.weight,
        id=known[0] if known else None,
        commit=known[1] if known else None,
        found="on the Hub" if part.remote is not None else "in the Hub cache" if known else None,
        manifest_sha256=part.manifest_sha256 if several else None,
    )


def _versions(environment: Environment) -> str:
    packages = packages_of(environment)
    return ", ".join(f"{name} {packages[name]}" for name in ("transformers", "peft", "torch") if name in packages)
