"""The steps of a ladder, from loading a family's tiny model to merging an adapter. Each begins with what is on disk.

A job has a folder of its own: `model/`, `adapter/`, and `reference.json`, which holds what base and adapter answered
where they were trained. A step raises what the libraries raise, or one of the errors named here and in actions.
"""

from __future__ import annotations

import os
import shutil
import warnings
from typing import Callable, Dict, List, NamedTuple

from ..protocol import write_json
from ..requests import LadderJob, ProbeRequest
from ..runtime import answers
from ..tiny import make as tiny
from ..tiny.recipe import load_recipes
from . import actions
from .probe import described, machine_trouble


class UntestableError(Exception):
    """The family has no such thing, which says nothing about the versions."""


class TensorsDifferError(Exception):
    """What was loaded is not what was saved."""


class AdapterIsZeroError(Exception):
    """Training left the adapter as it was made: it changes nothing."""


def load(job: LadderJob, details: actions.Details) -> None:
    """Make the model from the family's config, save it, load it, and compare every tensor."""
    import torch

    folder = _fresh(job, "model")
    config = load_recipes()[job.family].config
    write_json(os.path.join(folder, "config.json"), config)
    built = tiny.build(folder, seed=job.seed)
    built.save_pretrained(folder, safe_serialization=True)
    # The library writes config.json in its own style; what is tested is the style of the family's own file.
    write_json(os.path.join(folder, "config.json"), config)
    loaded = actions.load(_probe(job), details)
    ours = dict(built.named_parameters())
    differing = [
        name
        for name, tensor in loaded.named_parameters()
        if name not in ours or tensor.shape != ours[name].shape or not torch.equal(tensor, ours[name])
    ]
    details["parameters"] = sum(tensor.numel() for tensor in ours.values())
    if differing:
        raise TensorsDifferError(
            "%d of %d tensors are not as they were saved: %s" % (len(differing), len(ours), ", ".join(differing[:5]))
        )


def forward(job: LadderJob, details: actions.Details) -> None:
    actions.forward(_probe(job), details)


def generate(job: LadderJob, details: actions.Details) -> None:
    import transformers

    config = transformers.AutoConfig.from_pretrained(_part(job, "model"))
    architecture = tiny.architecture(config)
    can = getattr(architecture, "can_generate", None)
    if can is not None and not can():
        raise UntestableError("%s does not generate" % architecture.__name__)
    actions.generate(_probe(job), details)


def train(job: LadderJob, details: actions.Details) -> None:
    """LoRA on every linear layer that people train; the adapter must move the answers before it is saved."""
    import torch

    wrapped = actions.train(_probe(job)._replace(family=job.family), details).eval()
    zero = [n for n, p in wrapped.named_parameters() if ".lora_B." in n and not bool(p.detach().abs().max() > 0)]
    made = [n for n, p in wrapped.named_parameters() if ".lora_B." in n]
    details["layers"], details["layers_at_zero"] = len(made), len(zero)
    ids = actions.token_ids(wrapped.get_base_model())
    with torch.no_grad():
        adapted = actions.finite(answers.logits(wrapped, ids))
        with wrapped.disable_adapter():
            base = actions.finite(answers.logits(wrapped, ids))
    if not made or len(zero) == len(made) or answers.distance(adapted, base) <= 1e-6 * float(base.abs().max()):
        raise AdapterIsZeroError("after training, the model answers as its base")
    for settings in wrapped.peft_config.values():
        settings.base_model_name_or_path = _part(job, "model")
    wrapped.save_pretrained(_fresh(job, "adapter"), safe_serialization=True)
    actions.write_reference(_part(job, "reference.json"), base, adapted)


def reload(job: LadderJob, details: actions.Details) -> None:
    """Load base and adapter anew: both must answer as they did when training ended."""
    import torch

    wrapped = actions.load_adapter(_probe(job), details)
    ids = actions.token_ids(wrapped.get_base_model())
    with torch.no_grad():
        adapted = answers.logits(wrapped, ids)
        with wrapped.disable_adapter():
            base = answers.logits(wrapped, ids)
    actions.compare(_part(job, "reference.json"), base, adapted, details)


def merge(job: LadderJob, details: actions.Details) -> None:
    """Merge, compare with the adapter's answers, save, load what was saved, and compare once more.

    The adapter is that of `made`, another environment's folder, where the job has one.
    """
    import torch

    merged = actions.merge(_probe(job)._replace(reference=_part(job, "reference.json")), details)
    ids = actions.token_ids(merged)
    target = os.path.join(job.folder, "merged")
    shutil.rmtree(target, ignore_errors=True)
    try:
        merged.save_pretrained(target, safe_serialization=True)
        again = actions.load(ProbeRequest("load", model=target, float32=True), details)
        with torch.no_grad():
            drift = answers.distance(answers.logits(again, ids), answers.logits(merged, ids))
    finally:
        shutil.rmtree(target, ignore_errors=True)
    moved = details["moved"]
    share = drift / max(moved if isinstance(moved, float) else 0.0, 1e-30)
    details["saved_drift"] = share
    if share > 0.1:
        raise actions.MergeDiffersError(
            "the merged model, saved and loaded again, is off by %.3g of what the adapter moves" % share
        )


STEPS: Dict[str, Callable[[LadderJob, actions.Details], None]] = {
    "load": load,
    "forward": forward,
    "generate": generate,
    "train": train,
    "reload": reload,
    "merge": merge,
    "cross-merge": merge,
}
# What has to have worked before; a failure there makes a step untestable.
NEEDS: Dict[str, List[str]] = {
    "load": [],
    "forward": ["load"],
    "generate": ["load"],
    "train": ["load"],
    "reload": ["load", "train"],
    "merge": ["load", "train"],
    "cross-merge": [],
}


class StepSeen(NamedTuple):
    """What a step showed: ok, fail or untestable."""

    outcome: str
    error: str
    details: actions.Details


def run_step(name: str, job: LadderJob) -> StepSeen:
    """Trouble of the machine is raised."""
    details: actions.Details = {}
    outcome, text = "ok", ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            STEPS[name](job, details)
        except UntestableError as error:
            outcome, text = "untestable", str(error)
        except (Exception, SystemExit) as error:
            if isinstance(error, MemoryError) or (isinstance(error, OSError) and machine_trouble(error)):
                raise
            seen = described(error)
            outcome, text = "fail", _first_lines("%s: %s" % (seen.type, seen.message))
    said = [str(one.message) for one in caught if "adapter keys" in str(one.message)]
    if said:
        details["warning"] = said[0][:400]
        if outcome == "fail":
            text += "\nwarning: " + said[0][:300]
    return StepSeen(outcome, text, details)


def _first_lines(text: str) -> str:
    lines = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
    return "\n".join(lines[:4])[:800]


def _probe(job: LadderJob) -> ProbeRequest:
    return ProbeRequest("ladder", model=_part(job, "model"), adapter=_part(job, "adapter"), float32=True, seed=job.seed)


def _part(job: LadderJob, name: str) -> str:
    return os.path.join(job.made or job.folder, name)


def _fresh(job: LadderJob, name: str) -> str:
    folder = os.path.join(job.folder, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder
