"""Verb `verify`: read a merged model back from disk, in a fresh process, and prove it against its inputs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Iterator, List, Optional, Tuple

from ..probe import rounding
from ..protocol import Events, KnownError
from ..requests import VerifyRequest
from ..results import ProbeFigures, Recomputed, VerifyResult
from ..runtime import answers
from ..runtime.bits import equal_bits, lengthened_by_zeros
from ..runtime.loading import load_base, quiet, read_json, tensor_files
from . import lora_rows
from .merge import read_adapters

if TYPE_CHECKING:
    import torch


def run(request: VerifyRequest, events: Events) -> VerifyResult:
    import torch

    quiet()
    with torch.no_grad():
        events.step("verify-tensors", "compare every tensor with its base", "start")
        result = _compare(request, events)
        detail = "%d untouched and equal, %d changed" % (result.untouched, result.changed)
        events.step("verify-tensors", "compare every tensor with its base", "done", detail)
        events.step("verify-answers", "reload the merged model and ask it", "start")
        probe, note, extended = _ask_again(request)
        result = result._replace(probe=probe, probe_note=note, extended=extended)
        events.step("verify-answers", "reload the merged model and ask it", "done", _ratio_words(result))
    return result


class FolderTensors:
    """The tensors of a folder's safetensors files, read one at a time."""

    def __init__(self, path: str) -> None:
        from safetensors import safe_open

        self._readers = [safe_open(file, framework="pt", device="cpu") for file in tensor_files(path)]
        self.where = {name: reader for reader in self._readers for name in reader.keys()}
        if not self.where:
            raise KnownError("no-weights", "`%s` holds no safetensors weights" % path, path=path)

    def rows_like(self, tensor: torch.Tensor, rows: int) -> List[torch.Tensor]:
        """Every tensor of the folder that `tensor` may have grown from: as wide, and of `rows` rows."""
        wanted = [rows, *tensor.shape[1:]]
        found = [name for name, reader in self.where.items() if reader.get_slice(name).get_shape() == wanted]
        return [self.get(name) for name in found]

    def name_of(self, name: str) -> Optional[str]:
        """The name that a tensor has here: another class of the model may put a prefix before it, or take one away."""
        if name in self.where:
            return name
        found = [one for one in self.where if one.endswith("." + name) or name.endswith("." + one)]
        return found[0] if len(found) == 1 else None

    def get(self, name: str) -> torch.Tensor:
        return self.where[name].get_tensor(name)


def _compare(request: VerifyRequest, events: Events) -> VerifyResult:
    base, merged = FolderTensors(request.base), FolderTensors(request.merged)
    adapters = [
        lora_rows.AdapterTensors(read_json(os.path.join(source.folder, "adapter_config.json")), tensors, source.weight)
        for source, tensors in read_adapters(request)
    ]
    touched = {name.rpartition(".")[0] for name in request.touched}
    recompute = lora_rows.RowRecomputer(adapters, request.rows_per_tensor)
    made_rows = request.made_rows or {}
    untouched = changed = 0
    wrong: List[str] = []
    added: List[str] = []
    for number, (name, ours) in enumerate(_shared(merged)):
        events.progress("verify-tensors", number + 1, len(merged.where), "tensors")
        if name in made_rows:
            changed += name in base.where
            added += [] if name in base.where else [name]
            recompute.check_grown(name, ours, base.rows_like(ours, made_rows[name][0]))
            continue
        own = base.name_of(name)
        if own is None:
            added.append(name)
            recompute.check_added(name, ours)
            continue
        theirs = base.get(own)
        if equal_bits(ours, theirs) or (name.endswith("bias") and lengthened_by_zeros(ours, theirs)):
            untouched += 1
        elif lora_rows.explains(name, touched):
            changed += 1
            recompute.check(name, theirs, ours)
        else:
            wrong.append(name)
    wrong += recompute.unexplained
    if wrong:
        raise KnownError(
            "unexplained-change",
            "%d tensors differ from the base although nothing in the adapter touches them" % len(wrong),
            tensors=wrong[:50],
        )
    if recompute.failed:
        raise KnownError(
            "recomputation-differs",
            "%d merged tensors differ from W + s·B·A recomputed in float64" % len(recompute.failed),
            tensors=recompute.failed[:50],
        )
    return VerifyResult(
        untouched=untouched,
        changed=changed,
        added=tuple(added),
        dropped=tuple(sorted(set(base.where) - {base.name_of(name) for name in merged.where})),
        recomputed=Recomputed(recompute.tensors, recompute.rows, recompute.worst),
        not_recomputed=tuple(recompute.skipped),
        probe=None,
        probe_note=None,
        extended=None,
    )


def _shared(merged: FolderTensors) -> Iterator[Tuple[str, torch.Tensor]]:
    for name in sorted(merged.where):
        tensor = merged.get(name)
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise KnownError("not-finite", "`%s` holds values that are not finite" % name, tensors=[name])
        yield name, tensor


def _ask_again(request: VerifyRequest) -> Tuple[Optional[ProbeFigures], Optional[str], Optional[float]]:
    """The figures, why there are none, and the largest difference on rows with added tokens."""
    from safetensors.torch import load_file

    model = load_base(request.merged, None, request.architecture)
    kept = load_file(request.answers) if request.answers else {}
    if "batch" not in kept:
        return None, "no recorded answers to compare with", None
    again = answers.logits(model, kept["batch"].tolist())
    probe = rounding.calibrated(
        answers.ratio(kept["base"], kept["adapter"], again),
        base=request.base,
        merged=request.merged,
        outputs=kept["base"],
    )
    extended: Optional[float] = None
    if "extended_batch" in kept:
        extended = answers.distance(answers.logits(model, kept["extended_batch"].tolist()), kept["extended_adapter"])
    return probe, None, extended


def _ratio_words(result: VerifyResult) -> str:
    if result.probe is None or result.probe.ratio is None:
        return result.probe_note or "the adapter moves nothing"
    return "noise is %.2g of what the adapter moves" % result.probe.ratio
