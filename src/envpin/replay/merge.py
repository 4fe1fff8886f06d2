"""`replay merge`, from a plan to a published folder: provision, judge, merge, verify, publish."""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpin import __version__, host
from envpin.errors import AnswerIsBadError, DiskFullError, InputError, RefusedError
from envpin.events import Note, Step, ignore
from envpin.replay import digests, publish
from envpin.replay.provenance import (
    FILE_NAME,
    SCHEMA,
    EnvironmentUsed,
    InputFolder,
    MergeRecord,
    encode,
    inputs_digest,
)
from envpin.replay.verdict import Rebuilt, Verdict, judge

if TYPE_CHECKING:
    from envpin.envs.store import Environment, Store
    from envpin.events import Listener
    from envpin.replay.plan import Plan

# |merged - adapter| above half of |adapter - base|: the merged model is nearer to doing nothing than to the adapter.
WORST_RATIO = 0.5
_DAMAGED_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """A finished merge: where it is and its record."""

    out: Path
    record: MergeRecord


def merge(
    plan: Plan,
    store: Store,
    *,
    listener: Listener = ignore,
    offline: bool = False,
    strict: bool = False,
    insist: bool = False,
) -> Merged:
    """Carry out `plan`. Nothing is left at `plan.out` unless every check passed.

    `strict` accepts only a verdict of `identical`; `insist` goes on past a `mismatch`, an adapter that changes nothing
    and a merged model that answers otherwise than its adapter.

    Raises:
        OutputExistsError, RefusedError: nothing may be written there, or the verdict was refused.
        EnvironmentSetupError: the environment cannot be built.
        AnswerIsBadError: the base, the adapter or the merge failed a check.
        InfrastructureError: disk, memory, network or a killed worker.
    """
    publish.refuse_existing(plan.out)
    environment = provision(plan, store, listener=listener, offline=offline)
    verdict = _verdict(plan, environment, listener)
    _refuse_verdict(verdict, strict=strict, insist=insist)
    with publish.staging(plan.out, locks=store.root / "locks") as staged, _scratch() as scratch_name:
        record = _merge_into(
            plan,
            environment,
            verdict,
            staged=staged,
            scratch=Path(scratch_name),
            listener=listener,
            insist=insist,
        )
        listener(Step(key="publish", title="publish"))
        (staged / FILE_NAME).write_bytes(encode(record))
        publish.publish(staged, plan.out)
        listener(Step(key="publish", title="publish", state="done", detail=str(plan.out)))
    return Merged(out=plan.out, record=record)


def provision(plan: Plan, store: Store, *, listener: Listener, offline: bool) -> Environment:
    """The environment of `plan`, built where it is missing and rebuilt where its bytes changed."""
    environment = store.ensure(plan.spec, listener=listener, offline=offline)
    listener(Step(key="environment-verify", title="check its installed bytes"))
    damage = store.verify(environment)
    if damage:
        names = ", ".join(f"`{one.path}`" for one in damage[:_DAMAGED_SHOWN])
        more = f" and {len(damage) - _DAMAGED_SHOWN} more" if len(damage) > _DAMAGED_SHOWN else ""
        message = f"the environment's files were changed since it was built ({names}{more}); it is built again"
        listener(Note(message=message, level="warning"))
        environment = store.ensure(plan.spec, listener=listener, offline=offline, rebuild=True)
    listener(
        Step(key="environment-verify", title="check its installed bytes", state="done", detail=_versions(environment))
    )
    return environment


def packages_of(environment: Environment) -> dict[str, str]:
    """Versions by normalized name, as the receipt names them."""
    return {one.name: one.version for one in environment.receipt.artifacts}


def rebuilt_state(environment: Environment) -> Rebuilt:
    """What the environment is, read from its receipt and from torch's own version file."""
    receipt = environment.receipt
    return Rebuilt(
        packages=packages_of(environment),
        python=receipt.interpreter.version,
        platform=receipt.platform.get("system", ""),
        machine=receipt.platform.get("machine", ""),
        torch=_torch_label(environment),
    )


def _torch_label(environment: Environment) -> str | None:
    for path in environment.path.glob("lib/python*/site-packages/torch/version.py"):
        found = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found.group(1)
    return None


def _verdict(plan: Plan, environment: Environment, listener: Listener) -> Verdict:
    verdict = judge(plan.manifest, plan.closure, rebuilt_state(environment))
    words = {
        "identical": "identical to the recorded one",
        "explained-drift": f"{len(verdict.differences)} explained differences",
        "mismatch": "not the recorded one",
        "unrecorded": f"chosen for {plan.family or 'this model'}; there is no record to compare with",
    }[verdict.kind]
    failed = verdict.kind == "mismatch"
    listener(Step(key="verdict", title=f"verdict {verdict.kind}", state="failed" if failed else "done", detail=words))
    for one in verdict.differences:
        listener(Note(message=f"{one.what}: recorded {one.recorded}, rebuilt {one.rebuilt} ({one.cls})"))
    return verdict


def _refuse_verdict(verdict: Verdict, *, strict: bool, insist: bool) -> None:
    if verdict.kind == "mismatch" and not insist:
        listed = "; ".join(f"{one.what} was {one.recorded}, would be {one.rebuilt}" for one in verdict.differences)
        raise RefusedError(f"the recorded environment cannot be rebuilt: {listed}", hint="add --insist to merge anyway")
    if strict and verdict.kind != "identical":
        raise RefusedError(
            f"the verdict is `{verdict.kind}`, and --strict accepts only `identical`", hint="leave out --strict"
        )


def _merge_into(
    plan: Plan,
    environment: Environment,
    verdict: Verdict,
    *,
    staged: Path,
    scratch: Path,
    listener: Listener,
    insist: bool,
) -> MergeRecord:
    listener(Step(key="digests", title="digest the inputs"))
    adapter_files = digests.folder_digests(plan.adapter, plan.adapter_files)
    base_files = digests.folder_digests(plan.base.path, plan.base_files)
    embedding = plan.embedding_request()
    lock = environment.receipt.lock_sha256
    stamp = inputs_digest(adapter=adapter_files, base=base_files, lock=lock, engine=plan.engine, embedding=embedding)
    listener(Step(key="digests", title="digest the inputs", state="done", detail=f"{stamp[:12]}…"))
    answers = scratch / "answers.safetensors"
    request = {
        "base": str(plan.base.path),
        "adapter": str(plan.adapter),
        "staging": str(staged),
        "embedding": embedding,
        "architecture": plan.architecture,
        "extra_tokens": list(plan.extra_tokens),
        "answers": str(answers),
        "max_shard_size": plan.max_shard_size,
        "stamp": stamp,
    }
    merged = _call(environment, "merge", request, listener)
    _refuse_probe(merged.get("probe"), insist=insist)
    companions = publish.copy_companions(adapter=plan.adapter, base=plan.base.path, staged=staged)
    verification = _call(
        environment,
        "verify",
        {
            "base": str(plan.base.path),
            "adapter": str(plan.adapter),
            "merged": str(staged),
            "answers": str(answers),
            "architecture": merged["architecture"],
        },
        listener,
    )
    _refuse_probe(verification.get("probe"), insist=insist)
    return MergeRecord(
        schema=SCHEMA,
        envpin=__version__,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        inputs_digest=stamp,
        verdict=verdict,
        adapter=InputFolder(path=str(plan.adapter), files=adapter_files),
        base=InputFolder(
            path=str(plan.base.path), files=base_files, id=plan.base.id, commit=plan.base.commit, found=plan.base.found
        ),
        environment=EnvironmentUsed(
            key=environment.key,
            lock_sha256=lock,
            python=environment.receipt.interpreter.version,
            packages=packages_of(environment),
            basis=plan.basis,
            reference=plan.spec.name,
        ),
        engine=plan.engine,
        embedding=embedding,
        merge={**merged, "companions": companions},
        verification=verification,
        files=digests.folder_digests(staged, [path.name for path in staged.iterdir()]),
        manifest_sha256=plan.manifest_sha256,
        notes=plan.notes,
    )


def _refuse_probe(probe: dict[str, Any] | None, *, insist: bool) -> None:
    """
    Raises:
        AnswerIsBadError: the adapter moves nothing, or the merged model does not follow it.
    """
    if probe is None or insist:
        return
    if not probe["moved"]:
        raise AnswerIsBadError(
            "the adapter changes nothing: with it, the base answers exactly as without it",
            hint="was it saved before training? `envpin check` looks at its tensors; --insist merges it anyway",
        )
    if probe["ratio"] is None or probe["ratio"] > WORST_RATIO:
        raise AnswerIsBadError(
            f"the merged model does not answer as the adapter does: it is off by {probe['noise']:.3g}, "
            f"where the adapter moves the base by {probe['moved']:.3g}",
            hint="the adapter's effect may be lost in rounding to the base's dtype; --insist publishes it anyway",
        )


def _call(environment: Environment, verb: str, body: dict[str, Any], listener: Listener) -> dict[str, Any]:
    try:
        return host.call(environment.python, verb, body, listener=listener)
    except host.WorkerError as error:
        raise _explained(error) from error


def _explained(error: host.WorkerError) -> Exception:
    """The controller's own error for what a worker reported."""
    tensors = error.data.get("tensors") or []
    listed = "".join(f"\n  {name}" for name in tensors[:8])
    if len(tensors) > 8:
        listed += f"\n  and {len(tensors) - 8} more"
    message = error.message + listed
    if error.worker_kind == "disk-full":
        return DiskFullError(message, hint="free some space and run the same command again")
    if error.worker_kind in {"permission", "input"}:
        return InputError(message, path=error.data.get("path"))
    return AnswerIsBadError(message, hint=_HINTS.get(error.worker_kind))


_HINTS = {
    "adapter-not-applied": "modules were renamed between the adapter's transformers and this one; "
    "record the training run, or name its environment",
    "load-failed": "`envpin check` tells whether this environment can read the base",
    "weights-missing": "the base's checkpoint is incomplete",
    "adapter-load-failed": "`envpin check ADAPTER --base BASE` shows what does not fit",
    "pickle-weights": "envpin opens no pickles; save the adapter again with safetensors",
    "out-of-memory": "close other programs, or merge on a machine with more memory",
}


def _versions(environment: Environment) -> str:
    packages = packages_of(environment)
    return ", ".join(f"{name} {packages[name]}" for name in ("transformers", "peft", "torch") if name in packages)


def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="envpin-merge-")
