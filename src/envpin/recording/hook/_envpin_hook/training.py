"""Watch a trainer train: what it began with, the batch, loss, gradient norm and learning rate of each step.

`Trainer.training_step` and `Trainer.log` are where every version and every subclass passes. The loss is read right
after the step, where the trainer itself waits for it (its filter of infinite losses); the gradient norm a step later,
so that no GPU is waited for because of us.
"""

from __future__ import annotations

import os
import time
import weakref
from typing import TYPE_CHECKING, Any, Dict, List, MutableMapping, Optional

import _envpin_hook
from _envpin_hook import append, contents, data, guarded, kernels, lightly, module, observed, redaction, surroundings
from _envpin_hook.trace import STEPS, TRACE_NAME, TraceFile, encoded, step_line

if TYPE_CHECKING:
    from transformers import Trainer

    from _envpin_hook.observed import Part

# The batches of the first steps, and of each fiftieth after them, have a digest.
FIRST, EVERY = 50, 50
_ARGUMENTS = 400  # TrainingArguments have 130 fields

_watches: MutableMapping[Trainer, TrainingWatch] = weakref.WeakKeyDictionary()
_current: Optional[weakref.ref[TrainingWatch]] = None
adapters: MutableMapping[Any, Part] = weakref.WeakKeyDictionary()  # PeftModel -> the generators when it was made


class StepRecord:
    """One optimizer step as it is seen: `losses` of its micro-batches, the norm as the clipping returned it."""

    def __init__(self, number: int, rate: Optional[float], batch: Optional[contents.BatchDigest]) -> None:
        self.number = number
        self.rate = rate
        self.batch = batch
        self.losses: List[float] = []
        self.norm: Any = None

    def line(self) -> str:
        loss, norm = sum(self.losses), float(self.norm) if self.norm is not None else None
        if self.batch is None:
            return step_line(self.number, loss, self.rate, norm)
        line: Dict[str, object] = {"step": self.number, "loss": loss, "lr": self.rate}
        if norm is not None:
            line["grad_norm"] = norm
        batch = self.batch.described()
        if batch is not None:
            line["batch"] = batch
        return encoded(line)


class TrainingWatch:
    """What is known of one trainer, and its trace."""

    def __init__(self) -> None:
        self.facts: Part = {}
        self.trace: Optional[TraceFile] = None
        self.resumed: Optional[str] = None
        self.resumed_generators: Optional[bool] = None
        self.first = 0
        self.steps = 0
        self._open: Optional[StepRecord] = None
        self._pending: Optional[StepRecord] = None
        self._settled: List[StepRecord] = []  # made, and not in the trace yet: ten lines at once cost as much as three

    def begin(self, trainer: Trainer, model: Any) -> None:
        """Before the first step: nothing was trained yet, and the loader has drawn its seed."""
        self.first = step = int(trainer.state.global_step) + 1
        bare = getattr(trainer, "model", None) or model
        initial: Part = {
            "adapter": guarded("adapter at the start", contents.adapter, bare),
            "generators": guarded("random generators", contents.generators) or {},
            "made": dict(adapters.get(bare) or {}) or None,
        }
        self.facts = {
            "kernels": guarded("kernels", kernels.kernels, trainer, bare) or {},
            "optimizer": guarded("optimizer", _optimizer, trainer),
            "loader": guarded("loader", _loader, trainer),
            "dataset": guarded("dataset", data.given, trainer.train_dataset),
            "initial": {name: value for name, value in initial.items() if value is not None},
        }
        if surroundings.rank() == 0:
            folder = os.path.abspath(trainer.args.output_dir)
            self.trace = TraceFile(os.path.join(folder, TRACE_NAME), run_id())
            append("traces", self.trace.path)
            self._add({"trace": 1, "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                       "first": step, "world_size": getattr(trainer.args, "world_size", None),
                       "initial": self.facts["initial"]})  # fmt: skip
            guarded("telling that it begins", _begun, trainer, bare)

    def before(self, trainer: Trainer, inputs: Any) -> None:
        """A micro-batch of a step begins."""
        global _current
        step = int(trainer.state.global_step) + 1
        _current = weakref.ref(self)
        if self._open is None or self._open.number != step:
            digest = contents.BatchDigest() if self.is_digested(step) else None
            self._pending, self._open = self._open, StepRecord(step, _rate(trainer), digest)
        if self._open.batch is not None:
            self._open.batch.add(inputs)

    def is_digested(self, step: int) -> bool:
        return step - self.first < FIRST or step % EVERY == 0

    def after(self, loss: Any) -> bool:
        """Note the loss of a micro-batch; whether the trace is to be written."""
        if self._open is not None:
            self._open.losses.append(float(loss.detach() if getattr(loss, "requires_grad", False) else loss))
        self._settle()
        return bool(self._settled) and self.trace is not None and self.trace.is_late()

    def clipped(self, norm: Any) -> None:
        if self._open is not None:
            self._open.norm = norm

    def logged(self, trainer: Trainer, logs: Any) -> None:
        self.complete(trainer)
        kept = {str(key): value for key, value in dict(logs).items() if isinstance(value, (int, float, str))}
        clean = redaction.document(kept)
        self._add({"log": dict(clean, step=int(trainer.state.global_step))})  # type: ignore[call-overload]
        self.flush()

    def complete(self, trainer: Trainer) -> None:
        """Note the step that has just been made; one that is under way waits."""
        self._settle()
        if self._open is not None and int(trainer.state.global_step) >= self._open.number:
            self._pending, self._open = self._open, None
            self._settle()

    def ended(self, trainer: Trainer) -> None:
        self.complete(trainer)
        if self.first:
            final = guarded("adapter at the end", contents.adapter, trainer.model)
            self.facts["final"] = final
            self._add({"end": {"step": int(trainer.state.global_step), "adapter": final}})
            self.flush()

    def flush(self) -> None:
        self._write_settled()
        if self.trace is not None:
            self.trace.flush()

    def _settle(self) -> None:
        record, self._pending = self._pending, None
        if record is not None and record.losses:
            self.steps += 1
            if self.steps <= STEPS and self.trace is not None:
                self._settled.append(record)

    def _write_settled(self) -> None:
        while self._settled and self.trace is not None:
            self.trace.add(self._settled.pop(0).line())

    def _add(self, line: Dict[str, object]) -> None:
        self._write_settled()
        if self.trace is not None:
            self.trace.add(encoded(line))


def note_resume(trainer: Trainer, checkpoint: object) -> None:
    """That the training goes on from a checkpoint, and whether that holds the states of the generators."""
    watch = watch_of(trainer)
    if isinstance(checkpoint, bool) or not isinstance(checkpoint, (str, os.PathLike)):
        watch.resumed = "the last one"
        return
    watch.resumed = os.fspath(checkpoint)
    if os.path.isdir(watch.resumed):
        watch.resumed_generators = any(name.startswith("rng_state") for name in os.listdir(watch.resumed))


def watch_of(trainer: Trainer) -> TrainingWatch:
    found = _watches.get(trainer)
    if found is None:
        found = _watches[trainer] = TrainingWatch()
    return found


def before_step(trainer: Trainer, model: Any, inputs: Any) -> Optional[TrainingWatch]:
    """Note that a micro-batch begins. All but the first one of a training need no guard for that."""
    watch = lightly("before a step", _next_step, trainer, inputs)
    return watch if watch is not None else guarded("before a step", _first_step, trainer, model, inputs)


def after_step(watch: TrainingWatch, loss: object) -> None:
    if lightly("after a step", watch.after, loss):
        guarded("writing the trace", watch.flush)


def _next_step(trainer: Trainer, inputs: Any) -> Optional[TrainingWatch]:
    watch = _watches.get(trainer)
    if watch is None or not watch.first:
        return None
    watch.before(trainer, inputs)
    return watch


def _first_step(trainer: Trainer, model: Any, inputs: Any) -> TrainingWatch:
    watch = watch_of(trainer)
    if not watch.first:
        guarded("before a step", watch.begin, trainer, model)  # what fails in here does not end the watch
    guarded("before a step", watch.before, trainer, inputs)
    return watch


def clipped(norm: object) -> None:
    """The norm of the gradients, as the clipping of the current step returned it."""
    watch = _current() if _current is not None else None
    if watch is not None:
        watch.clipped(norm)


def note_adapter(model: Any, made: Part) -> None:
    adapters[model] = made


def generator_state() -> Part:
    """The seed of torch and the states of the generators, before an adapter draws its weights from them."""
    torch = module("torch")
    seed = int(torch.initial_seed()) if torch is not None else None
    return {"seed": seed, "generators": contents.generators()}


def _begun(trainer: Trainer, model: Any) -> None:
    from _envpin_hook import document  # it imports this module

    document.begun(trainer, model)


def run_id() -> Optional[str]:
    if _envpin_hook.run_folder is None:
        return None
    from _envpin_hook import artefacts

    found = guarded("reading run.json", artefacts.json_file, os.path.join(_envpin_hook.run_folder, "run.json"))
    return found.get("id") if found else None  # type: ignore[return-value]


def describe(trainer: Trainer, folder: Optional[str]) -> Part:
    """The `training` part of the manifest of a save in `folder`, and the trace so far beside it; None before any."""
    watch = watch_of(trainer)
    guarded("the last step", watch.complete, trainer)
    guarded("writing the trace", watch.flush)
    arguments = trainer.args
    found: Part = {
        "output": os.path.abspath(arguments.output_dir),
        "resumed_from": watch.resumed,
        "resumed_generators": watch.resumed_generators,
        "world_size": getattr(arguments, "world_size", None),
        "accumulation": getattr(arguments, "gradient_accumulation_steps", None),
        "batch_size": getattr(arguments, "per_device_train_batch_size", None),
        "arguments": guarded("arguments", _arguments, arguments) or {},
        "collator": _name(getattr(trainer, "data_collator", None)),
        "scheduler": _name(getattr(trainer, "lr_scheduler", None)),
        "datasets": list(data.loaded),
        "steps": int(trainer.state.global_step),
        "first_step": watch.first or None,
        "max_steps": int(getattr(trainer.state, "max_steps", 0) or 0) or None,
    }
    found.update(watch.facts)
    if folder is not None and watch.trace is not None and os.path.isfile(watch.trace.path):
        guarded("copying the trace", watch.trace.copy_to, folder)
        found["trace"] = TRACE_NAME
    return found


def _arguments(arguments: Any) -> Part:
    told = arguments.to_dict() if hasattr(arguments, "to_dict") else vars(arguments)
    return {str(key): observed.plain(told[key]) for key in sorted(told, key=str)[:_ARGUMENTS]}


def _rate(trainer: Trainer) -> Optional[float]:
    groups = getattr(getattr(trainer, "optimizer", None), "param_groups", None)
    return float(groups[0]["lr"]) if groups else None


def _optimizer(trainer: Trainer) -> Optional[Part]:
    optimizer = trainer.optimizer
    if optimizer is None:
        return None
    own = getattr(optimizer, "optimizer", optimizer)
    groups = [{key: observed.plain(value) for key, value in one.items() if key != "params"} for one in own.param_groups]
    return {"name": _name(own), "groups": groups[:8]}


def _loader(trainer: Trainer) -> Optional[Part]:
    loader = getattr(getattr(trainer, "callback_handler", None), "train_dataloader", None)
    if loader is None:
        return None
    batches = getattr(loader, "batch_sampler", None)
    sampler = getattr(batches, "sampler", None) or getattr(loader, "sampler", None)
    inner = getattr(getattr(batches, "batch_sampler", None), "sampler", None)
    return {
        "name": _name(loader),
        "sampler": _name(inner or sampler),
        "workers": int(getattr(loader, "num_workers", 0) or 0),
        "worker_init": getattr(loader, "worker_init_fn", None) is not None,
        "generator": getattr(loader, "generator", None) is not None
        or getattr(inner or sampler, "generator", None) is not None,
    }


def _name(value: object) -> Optional[str]:
    if value is None:
        return None
    kind = value if hasattr(value, "__qualname__") else type(value)
    return "%s.%s" % (getattr(kind, "__module__", ""), getattr(kind, "__qualname__", ""))
