"""Verb `verify`: read a merged model back from disk, in a fresh process, and prove it against its inputs.

Request::

    {"base": folder, "adapter": folder, "weight": …, "further": … as given to `merge`, "merged": folder,
     "answers": file that `merge` left | null,
     "architecture": class name, "embedding": as given to `merge`, "rows_per_tensor": 16}

Result::

    {"untouched": n, "changed": n, "added": [...], "dropped": [...], "recomputed": {"tensors": n, "rows": n,
     "worst": largest error in units of what rounding allows}, "not_recomputed": [...],
     "probe": {...} | null, "probe_note": ..., "extended": largest difference on rows with added tokens | null}
"""

import os
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ..protocol import Events, KnownError
from ..runtime import answers
from ..runtime.loading import load_base, quiet, read_json, tensor_files
from . import lora_rows
from .merge import read_adapters


def run(request: Dict[str, Any], events: Events) -> Dict[str, Any]:
    import torch

    quiet()
    with torch.no_grad():
        events.step("verify-tensors", "compare every tensor with its base", "start")
        result = _compare(request, events)
        detail = "%d untouched and equal, %d changed" % (result["untouched"], result["changed"])
        events.step("verify-tensors", "compare every tensor with its base", "done", detail)
        events.step("verify-answers", "reload the merged model and ask it", "start")
        result.update(_ask_again(request))
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

    def get(self, name: str) -> Any:
        return self.where[name].get_tensor(name)


def _compare(request: Dict[str, Any], events: Events) -> Dict[str, Any]:
    base, merged = FolderTensors(str(request["base"])), FolderTensors(str(request["merged"]))
    adapters = [
        lora_rows.AdapterTensors(read_json(os.path.join(source.folder, "adapter_config.json")), tensors, source.weight)
        for source, tensors in read_adapters(request)
    ]
    touched = {module for one in adapters for module in lora_rows.touched_tensors(one.tensors)}
    recompute = lora_rows.RowRecomputer(adapters, int(request.get("rows_per_tensor", 16)))
    untouched = changed = 0
    wrong: List[str] = []
    added: List[str] = []
    for number, (name, ours) in enumerate(_shared(merged)):
        events.progress("verify-tensors", number + 1, len(merged.where), "tensors")
        if name not in base.where:
            added.append(name)
            recompute.check_added(name, ours)
            continue
        theirs = base.get(name)
        if _bytes_equal(ours, theirs):
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
    return {
        "untouched": untouched,
        "changed": changed,
        "added": added,
        "dropped": sorted(set(base.where) - set(merged.where)),
        "recomputed": {"tensors": recompute.tensors, "rows": recompute.rows, "worst": recompute.worst},
        "not_recomputed": recompute.skipped,
    }


def _shared(merged: FolderTensors) -> Iterator[Tuple[str, Any]]:
    for name in sorted(merged.where):
        tensor = merged.get(name)
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise KnownError("not-finite", "`%s` holds values that are not finite" % name, tensors=[name])
        yield name, tensor


def _bytes_equal(one: Any, other: Any) -> bool:
    import torch

    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    # Compared as bytes: -0.0 equals 0.0 and NaN never equals itself, and neither may pass for "untouched".
    flat_one, flat_other = one.contiguous().reshape(-1), other.contiguous().reshape(-1)
    return bool(torch.equal(flat_one.view(torch.uint8), flat_other.view(torch.uint8)))


def _ask_again(request: Dict[str, Any]) -> Dict[str, Any]:
    from safetensors.torch import load_file

    model = load_base(str(request["merged"]), None, request.get("architecture"))
    kept = load_file(str(request["answers"])) if request.get("answers") else {}
    if "batch" not in kept:
        return {"probe": None, "probe_note": "no recorded answers to compare with", "extended": None}
    again = answers.logits(model, kept["batch"].tolist())
    probe = answers.ratio(kept["base"], kept["adapter"], again)
    extended: Optional[float] = None
    if "extended_batch" in kept:
        extended = answers.distance(answers.logits(model, kept["extended_batch"].tolist()), kept["extended_adapter"])
    return {"probe": probe, "probe_note": None, "extended": extended}


def _ratio_words(result: Dict[str, Any]) -> str:
    probe = result.get("probe")
    if not probe or probe["ratio"] is None:
        return str(result.get("probe_note") or "the adapter moves nothing")
    return "noise is %.2g of what the adapter moves" % probe["ratio"]
