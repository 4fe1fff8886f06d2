"""The two ways to merge, and the choice between them: `stream`, from file to file; `peft`, the whole model in memory.

`auto` tries to plan `stream` and takes `peft` where that cannot be planned; the reason is said and recorded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from envpin.core import json_input
from envpin.core.errors import RefusedError
from envpin.core.events import Note
from envpin.core.files import read_bounded
from envpin.core.sizes import counted
from envpin.host import worker
from envpin.host.verbs import (
    AdapterWeight,
    EmbeddingChoice,
    MergeCall,
    QuantizedChoice,
    StreamAnswersCall,
    StreamMergeCall,
    VerifyCall,
)
from envpin.replay import publish
from envpin.replay.record import inputs_digest
from envpin.replay.refusals import cause_of, explained, refuse_probe
from envpin.replay.values import values_at, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpin.core.errors import EnvpinError
    from envpin.core.events import Listener
    from envpin.envs.store.environment import Environment
    from envpin.host.bodies import Call
    from envpin.host.session import WorkerSession
    from envpin.host.verbs import MergeReply, ProbeNumbers, StreamAnswersReply, StreamMergeReply
    from envpin.replay.plan import MergePlan

Reply = TypeVar("Reply")


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineOutcome:
    """What an engine did: `merge` and `verification` of the record, and the digest in the shards' metadata. `files` are
    the sha256 of output files that the worker itself read back from the disk."""

    engine: str
    stamp: str
    merge: dict[str, object]
    verification: dict[str, object]
    notes: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeJob:
    """One merge into a staging folder. `adapter_files` (of each adapter) and `base_files` are the digests of the
    inputs."""

    plan: MergePlan
    environment: Environment
    adapter_files: tuple[dict[str, str], ...]
    base_files: dict[str, str]
    staged: Path
    scratch: Path
    listener: Listener
    force: bool
    session: WorkerSession

    def stamp(self, engine: str, device: str = "cpu") -> str:
        """The digest of everything that decides the merged bytes."""
        return stamp_of(
            self.plan, self.adapter_files, self.base_files, lock=self.environment.receipt.lock_sha256, engine=engine,
            device=device,
        )  # fmt: skip

    def call(self, request: Call[Reply]) -> Reply:
        """Ask a worker of the environment.

        Raises:
            EnvpinError: the worker's own error in the words of the controller.
        """
        try:
            return self.session.call(request, listener=self.listener)
        except worker.WorkerError as error:
            raise _explained(error, self.plan) from error


def stamp_of(
    plan: MergePlan,
    adapter_files: tuple[dict[str, str], ...],
    base_files: dict[str, str],
    *,
    lock: str,
    engine: str,
    device: str = "cpu",
) -> str:
    """The digest of everything that decides the merged bytes, of one engine on one device."""
    embedding = plan.embedding_request()
    if plan.engine.dtype != "keep":
        embedding = {**embedding, "dtype": plan.engine.dtype}
    choices: dict[str, object] = {} if device == "cpu" else {"device": device}
    if len(plan.parts) > 1 or plan.parts[0].weight != 1:
        choices["weights"] = [part.weight for part in plan.parts]
        choices["further"] = list(adapter_files[1:])
    if (quantized := plan.quantized.request()) is not None:
        choices["quantized"] = quantized
    return inputs_digest(
        adapter=adapter_files[0], base=base_files, lock=lock, engine=engine, embedding=embedding, choices=choices
    )


def stream_request(plan: MergePlan, out: Path, *, stamp: str, cuda_stamp: str) -> StreamMergeCall:
    """What the worker of the engine `stream` is asked."""
    options = plan.engine
    return StreamMergeCall(
        base=str(plan.base.path),
        adapter=str(plan.parts[0].path),
        weight=plan.parts[0].weight,
        further=_further(plan),
        embedding=_embedding(plan),
        architecture=plan.architecture,
        quantized=_quantized(plan),
        out=str(out),
        dtype=options.dtype,
        device=options.device,
        threads=options.threads,
        max_shard_size=options.shard_bytes,
        resume=options.resume,
        metadata={"envpin": stamp},
        cuda_metadata={"envpin": cuda_stamp},
    )


def run(job: MergeJob) -> EngineOutcome:
    """Merge with the engine that the plan asks for, verify, and copy the tokenizer and its like beside the weights."""
    options = job.plan.engine
    if options.engine == "peft":
        return _peft(job)
    try:
        return _stream(job)
    except worker.WorkerError as error:
        if error.worker_kind != "not-streamable":
            raise _explained(error, job.plan) from error
        needed = [f"--dtype {options.dtype}"] if options.dtype not in {"keep", "peft"} else []
        if options.quantized_base == "dequantize":
            needed.append("--quantized-base dequantize")
        if options.engine == "stream" or needed:
            raise RefusedError(
                f"this merge cannot be streamed: {error.message}",
                hint=f"leave out {' '.join(needed) or '--engine stream'}; the engine `peft` merges in memory",
            ) from error
        note = f"merged in memory, because {error.message}"
        job.listener(Note(message=note))
        outcome = _peft(job)
        return EngineOutcome(
            engine=outcome.engine,
            stamp=outcome.stamp,
            merge=outcome.merge,
            verification=outcome.verification,
            notes=(note, *outcome.notes),
        )


def _further(plan: MergePlan) -> tuple[AdapterWeight, ...]:
    return tuple(AdapterWeight(adapter=str(part.path), weight=part.weight) for part in plan.parts[1:])


def _embedding(plan: MergePlan) -> EmbeddingChoice:
    return msgspec.convert(plan.embedding_request(), EmbeddingChoice)


def _quantized(plan: MergePlan) -> QuantizedChoice | None:
    return msgspec.convert(plan.quantized.request(), QuantizedChoice | None)


def _stream(job: MergeJob) -> EngineOutcome:
    plan = job.plan
    request = stream_request(plan, job.staged, stamp=job.stamp("stream"), cuda_stamp=job.stamp("stream", "cuda"))
    merged = job.session.call(request, listener=job.listener)
    write_config(plan.base.path, job.staged, merged.config_updates)
    companions = publish.copy_companions(adapter=plan.tokenizer, base=plan.base.path, staged=job.staged)
    asked = job.call(
        StreamAnswersCall(
            base=request.base,
            adapter=request.adapter,
            weight=request.weight,
            further=request.further,
            embedding=request.embedding,
            quantized=request.quantized,
            architecture=merged.architecture,
            merged=str(job.staged),
            scratch=str(job.scratch),
            extra_tokens=tuple(plan.extra_tokens),
            misread=merged.quantized is not None and merged.quantized.misread_by_library,
        )
    )
    _judge(asked.probe, job)
    record = msgspec.to_builtins(merged)
    verification = {**record.pop("verification"), **msgspec.to_builtins(asked)}
    stamp = job.stamp("stream", merged.device.kind)
    notes = tuple(_said(merged, asked))
    for note in notes:
        job.listener(Note(message=note))
    return EngineOutcome(
        engine="stream",
        stamp=stamp,
        merge={**record, "companions": companions},
        verification=verification,
        notes=notes,
        files=dict(merged.files),
    )


def _explained(error: worker.WorkerError, plan: MergePlan) -> EnvpinError:
    told = explained(error, plan.findings)
    if error.worker_kind == "not-finite":
        told.hint = values_at(plan, error.data) or told.hint
    return told


def _judge(probe: ProbeNumbers | None, job: MergeJob) -> None:
    plan = job.plan
    cause = None if job.force else cause_of(probe, plan.findings, lambda: values_of(plan))
    refuse_probe(probe, force=job.force, tied=plan.tied_module, cause=cause)


def _said(merged: StreamMergeReply, asked: StreamAnswersReply) -> Iterator[str]:
    """What a person has to know about a streamed merge beyond its figures."""
    if merged.untied:
        yield (
            "embedding and head shared one tensor, and training moved them apart: both are written, with "
            "tie_word_embeddings false (a merge by hand may change both alike, docs/adr/0031)"
        )
    yield from filter(None, (merged.quantized.note if merged.quantized else None, asked.asked_note))


def write_config(base: Path, staged: Path, updates: dict[str, object]) -> None:
    """The base's config.json with `updates` wherever it has such a key (a vision-language model keeps some of them in
    `text_config`; None takes a key away), and its generation config as it is. Whether tables are tied is written to
    both: releases differ in which of the two they ask, and each has a default of its own."""
    config = json_input.read_named_object(base / "config.json")
    text = config.get("text_config")
    for key, value in updates.items():
        both = key == "tie_word_embeddings"
        if isinstance(text, dict) and (both or key in text or key not in config):
            text[key] = value
        if not isinstance(text, dict) or both or key in config:
            config[key] = value
        for place in (config, text):
            if value is None and isinstance(place, dict):
                place.pop(key, None)
    (staged / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    generation = base / "generation_config.json"
    if generation.is_file():
        (staged / "generation_config.json").write_bytes(read_bounded(generation, json_input.MAX_BYTES))


def _peft(job: MergeJob) -> EngineOutcome:
    plan = job.plan
    answers = job.scratch / "answers.safetensors"
    request = MergeCall(
        base=str(plan.base.path),
        adapter=str(plan.parts[0].path),
        weight=plan.parts[0].weight,
        further=_further(plan),
        staging=str(job.staged),
        device=plan.engine.device,
        embedding=_embedding(plan),
        architecture=plan.architecture,
        quantized=_quantized(plan),
        extra_tokens=tuple(plan.extra_tokens),
        answers=str(answers),
        max_shard_size=plan.engine.max_shard_size,
        stamp=job.stamp("peft"),
        cuda_stamp=job.stamp("peft", "cuda"),
    )
    merged = job.call(request)
    stamp = job.stamp("peft", merged.device.kind)
    _judge(merged.probe, job)
    companions = publish.copy_companions(adapter=plan.tokenizer, base=plan.base.path, staged=job.staged)
    verification = job.call(
        VerifyCall(
            base=request.base,
            adapter=request.adapter,
            weight=request.weight,
            further=request.further,
            merged=str(job.staged),
            answers=str(answers),
            architecture=merged.architecture,
            touched=merged.touched,
            made_rows=merged.made_rows,
        )
    )
    _judge(verification.probe, job)
    notes = tuple(_made(merged))
    for note in notes:
        job.listener(Note(message=note, level="warning"))
    recorded = msgspec.to_builtins(merged)
    del recorded["touched"]  # `verification` says it in other words
    return EngineOutcome(
        engine="peft",
        stamp=stamp,
        merge={**recorded, "companions": companions},
        verification=msgspec.to_builtins(verification),
        notes=notes,
    )


def _made(merged: MergeReply) -> Iterator[str]:
    """Which rows of the output are in no file that training left."""
    for name, (first, end) in sorted(merged.made_rows.items()):
        yield (
            f"rows {first} to {end - 1} of `{name}` were never saved by training: transformers "
            f"{merged.versions['transformers']} made them when the vocabulary grew to {counted(end, 'row')}"
        )
