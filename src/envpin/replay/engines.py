"""The two ways to merge, and the choice between them: `stream`, from file to file; `peft`, the whole model in memory.

`auto` tries to plan `stream` and takes `peft` where that cannot be planned; the reason is said and recorded.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from envpin.core import json_input
from envpin.core.errors import (
    CheckFailedError,
    DiskFullError,
    InfrastructureError,
    InputError,
    RefusedError,
    WrongEnvironmentError,
)
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

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpin.core.events import Listener
    from envpin.envs.store.environment import Environment
    from envpin.host.bodies import Call
    from envpin.host.session import WorkerSession
    from envpin.host.verbs import MergeReply, ProbeNumbers, StreamAnswersReply, StreamMergeReply
    from envpin.replay.plan import MergePlan

Reply = TypeVar("Reply")

# |merged - adapter| above half of |adapter - base|: the merged model is nearer to doing nothing than to the adapter.
WORST_RATIO = 0.5
# Right merges in 16 bit were met at 0.2 to 1.8 times what rounding alone explains (docs/explanation/the-gate.md).
_TIMES_ROUNDING = 5.0
# Below this nothing is judged: float32 sums in another order differ by less.
_SMALLEST_GATE = 1e-3


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
            raise explained(error) from error


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


def gate_figures() -> dict[str, float]:
    """The figures of `gate`, for whoever judges without envpin."""
    return {"worst": WORST_RATIO, "times": _TIMES_ROUNDING, "least": _SMALLEST_GATE}


def run(job: MergeJob) -> EngineOutcome:
    """Merge with the engine that the plan asks for, verify, and copy the tokenizer and its like beside the weights."""
    options = job.plan.engine
    if options.engine == "peft":
        return _peft(job)
    try:
        return _stream(job)
    except worker.WorkerError as error:
        if error.worker_kind != "not-streamable":
            raise explained(error) from error
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
    refuse_probe(asked.probe, force=job.force, tied=plan.tied_module)
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
    refuse_probe(merged.probe, force=job.force, tied=plan.tied_module)
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
    refuse_probe(verification.probe, force=job.force, tied=plan.tied_module)
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


# Beyond so many times what rounding explains it is named as no cause.
_FAR = 10


def gate(expected: float | None) -> float:
    """The largest ratio |merged - adapter| / |adapter - base| that passes, from the one that rounding alone explains on
    this model (None: it could not be measured)."""
    if expected is None:
        return WORST_RATIO
    return min(WORST_RATIO, max(_SMALLEST_GATE, _TIMES_ROUNDING * expected))


def refuse_probe(probe: ProbeNumbers | None, *, force: bool, tied: str | None = None) -> None:
    """`tied` is a module that the adapter changes and whose table other modules of the base may share.

    Raises:
        WrongEnvironmentError: the adapter moves nothing, or the merged model does not follow it.
    """
    if probe is None or force:
        return
    if probe.moved is None:
        raise WrongEnvironmentError(
            "the outputs of the base, alone or with the adapter, are not finite: nothing can be compared with them",
            hint="a base whose own outputs are NaN or infinite is broken, or overflows in float16; "
            "--force publishes the merge anyway",
        )
    if not probe.moved:
        raise WrongEnvironmentError(
            "the adapter changes nothing: with it, the outputs of the base are exactly those without it",
            hint="was it saved before training? `envpin check` looks at its tensors; --force merges it anyway",
        )
    if probe.ratio is None or probe.ratio > gate(probe.expected):
        raise WrongEnvironmentError(
            "the outputs of the merged model are not those of base and adapter: they are off by "
            f"{probe.noise or math.inf:.3g}, where the adapter moves the base by {probe.moved:.3g}{_beyond(probe)}",
            hint=f"{_why_off(probe, tied)}; --force publishes it anyway",
        )


def _why_off(probe: ProbeNumbers, tied: str | None) -> str:
    if tied is not None and (probe.ratio is None or probe.expected is None or probe.ratio > _FAR * probe.expected):
        return (
            f"the base stores one table for embedding and head, and the adapter changes `{tied}`: where the model ties "
            "the two, a merge changes both, and training did not; use base and adapter unmerged, as "
            "`PeftModel.from_pretrained` loads them"
        )
    if probe.ratio is not None and probe.expected is not None and probe.ratio > _FAR * probe.expected:
        return (
            "no rounding explains that: where this peft's own merge is as far off, use base and adapter unmerged, as "
            "`PeftModel.from_pretrained` loads them"
        )
    return "the adapter's effect may be lost in rounding to the base's dtype"


def _beyond(probe: ProbeNumbers) -> str:
    return "" if probe.expected is None else f"; rounding alone explains {probe.expected * (probe.moved or 0):.3g}"


def explained(error: worker.WorkerError) -> Exception:
    """The controller's own error for what a worker reported."""
    tensors = _names(error.data.get("tensors"))
    listed = "".join(f"\n  {name}" for name in tensors[:8])
    if len(tensors) > 8:
        listed += f"\n  and {len(tensors) - 8} more"
    message = error.message + listed
    if error.worker_kind == "disk-full":
        return DiskFullError(message, hint="free some space and run the same command again")
    if error.worker_kind in {"permission", "input", "bad-header", "bad-index"}:
        return InputError(message, path=_text(error.data.get("path")))
    if error.worker_kind == "no-device":
        return InfrastructureError(message, hint="leave out --device cuda, or name an environment with a CUDA torch")
    if error.worker_kind == "refused-config":
        return RefusedError(message, hint="ask who made the adapter; nothing that can be merged needs this")
    if error.worker_kind in {"output-busy", "output-exists"}:
        return RefusedError(message, hint="wait for it, or choose another -o")
    cause = WrongEnvironmentError if error.worker_kind in _OF_THE_ENVIRONMENT else CheckFailedError
    return cause(message, hint=_HINTS.get(error.worker_kind))


def _names(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


# Faults that other versions may not have.
_OF_THE_ENVIRONMENT = frozenset({"adapter-not-applied", "load-failed", "adapter-load-failed"})
_IN_TRAINING = (
    "if the training environment is still there, save the adapter again with "
    "`path_initial_model_for_weight_conversion`, or merge the model there as it is in memory"
)
_HINTS = {
    "adapter-not-applied": "modules were renamed between the adapter's transformers and this one; "
    "record the training run, or name its environment",
    "not-as-trained": _IN_TRAINING,
    "not-reproducible": _IN_TRAINING,
    "cannot-merge": "such an adapter stays next to its base: load both, as `PeftModel.from_pretrained` does",
    "needs-gpu": "merge on a machine with a GPU, with a CUDA torch and bitsandbytes in the environment",
    "needs-packages": "name an environment that holds them, such as "
    "--environment 'transformers==X,peft==Y,torch==Z,bitsandbytes,scipy'",
    "load-failed": "`envpin check` tells whether this environment can read the base",
    "weights-missing": "the base's checkpoint is incomplete",
    "adapter-load-failed": "`envpin check ADAPTER --base BASE` shows what does not fit",
    "pickle-weights": "envpin opens no pickles; save the adapter again with safetensors",
    "out-of-memory": "close other programs, or merge on a machine with more memory",
    "verification-failed": "what was written is not what was computed: check the disk and the memory of this machine",
    "not-finite": "either the adapter or the base holds NaN or infinity, and is broken, or the change leaves the "
    "range of float16: then take a base in bfloat16 or float32, or use base and adapter unmerged; where all three are "
    "sound, the disk wrote other bytes than were computed",
    "quantized-base": "give the unquantized original with --base",
    "no-bitsandbytes": "name an environment with a bitsandbytes that computes on this machine's CPU, such as "
    "--environment 'transformers==X,peft==Y,torch==Z,bitsandbytes>=0.48', or merge with --quantized-base original",
}
