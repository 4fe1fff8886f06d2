"""Verb `stream-answers`: does a model that was merged from file to file answer as the adapter does?

The three models are asked layer by layer (three.py), so that no model is too large. One that cannot be taken apart so
is loaded: the base is asked, the adapter put onto it and asked again; both go, and the merged model is loaded from disk
and asked. Where even one model at a time does not fit, nothing is loaded and a note says so. A quantized base is always
loaded whole: its own library has to answer for it.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Callable, List, Optional

from ..peft_engine import merge
from ..protocol import Events
from ..requests import StreamAnswersRequest
from ..results import StreamAnswersResult
from ..runtime import answers, heaps, loading
from ..runtime.several import trained_tokens
from ..stream import decoded
from ..stream.io.files import WeightFolder
from . import rounding, three
from .layered import CannotAskError

if TYPE_CHECKING:
    import transformers

    from ..runtime.methods import AdapterConfig

    Load = Callable[[StreamAnswersRequest, AdapterConfig, Optional[int]], transformers.PreTrainedModel]

# Weights are not all: activations, the adapter in float32, the libraries.
_HEADROOM = 1.3
_LIBRARIES = 600_000_000
_TITLE = "ask base, adapter and merged model"


def run(request: StreamAnswersRequest, events: Events) -> StreamAnswersResult:
    import torch

    loading.quiet()
    heaps.keep_heaps()
    events.step("answers", _TITLE, "start")
    with torch.no_grad():
        result = _ask_quantized(request) if is_dequantized(request) else _ask_files(request)
    ratio = result.probe.ratio if result.probe is not None else None
    detail = "noise is %.2g of what the adapter moves" % ratio if ratio is not None else result.probe_note or ""
    events.step("answers", _TITLE, "done", detail)
    return result


def _ask_files(request: StreamAnswersRequest) -> StreamAnswersResult:
    try:
        asked = three.ask(request)
    except CannotAskError as error:
        return _ask_whole(request, _library_base)._replace(asked_note="asked as whole models, because %s" % error)
    return StreamAnswersResult(
        probe=rounding.calibrated(
            answers.ratio(asked.base, asked.adapted, asked.merged),
            base=request.base,
            merged=request.merged,
            outputs=asked.base,
            in_float32=True,
        ),
        probe_note=None,
        extended=answers.distance(*asked.extended) if asked.extended else None,
        asked="layers",
    )


def _skipped(note: str) -> StreamAnswersResult:
    return StreamAnswersResult(probe=None, probe_note=note, extended=None)


def _too_large(folder: str) -> Optional[str]:
    """Why the model is not loaded, if it does not fit into the memory that is free now."""
    needed = int(_HEADROOM * sum(tensor.size for tensor in WeightFolder(folder).tensors.values())) + _LIBRARIES
    free = free_memory()
    if free is None or needed <= free:
        return None
    message = "the model was not loaded to ask it: that needs about %.1f GB, and %.1f GB are free"
    return message % (needed / 1e9, free / 1e9)


def free_memory() -> Optional[int]:
    """Bytes that can be used without swapping, within the limit of a container; None where nothing tells."""
    found: List[int] = []
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            found += [int(line.split()[1]) * 1024 for line in stream if line.startswith("MemAvailable:")]
    except OSError:
        pass
    try:
        paths = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")
        limit, used = (int(read_text(path)) for path in paths)
        found.append(limit - used)
    except (OSError, ValueError):
        pass  # no limit ("max"), or another version of cgroups
    return min(found) if found else None


def read_text(path: str) -> str:
    with open(path, encoding="ascii") as stream:
        return stream.read()


def is_dequantized(request: StreamAnswersRequest) -> bool:
    return request.quantized is not None and request.quantized.policy == "dequantize"


def _ask_quantized(request: StreamAnswersRequest) -> StreamAnswersResult:
    """Ask the quantized base itself, by its library; where that is missing, wrong or has no code for this machine, the
    base as it was decoded for the merge."""
    note = "the library of the quantized base misreads it on this machine"
    if not request.misread:
        try:
            return _ask_whole(request, _library_base)._replace(asked="quantized")
        except Exception as error:  # each library refuses a missing GPU in a way of its own
            note = "the quantized base cannot be asked here: %s" % loading.one_paragraph(error, 200)
    gc.collect()
    return _ask_whole(request, decoded.load)._replace(asked="dequantized", asked_note=note)


def _library_base(
    request: StreamAnswersRequest, adapter_config: AdapterConfig, labels: Optional[int]
) -> transformers.PreTrainedModel:
    return loading.load_base(
        request.base, adapter_config, request.architecture, labels=labels, quantized=request.quantized
    )


def _ask_whole(request: StreamAnswersRequest, load: Load) -> StreamAnswersResult:
    note = _too_large(request.merged)
    if note is not None:
        return _skipped(note)
    adapter_config = loading.read_json(os.path.join(request.adapter, "adapter_config.json"))
    adapters = merge.read_adapters(request)
    labels = loading.labels_of([(one.source.folder, one.shapes) for one in adapters])
    base = load(request, adapter_config, labels)
    rows = answers.embedding_rows(base)
    batch = answers.inputs_for(base, rows, trained_tokens(request, rows))
    try:
        before = answers.logits(base, batch)
    except Exception as error:  # models that want images or audio refuse text in ways of their own
        if is_dequantized(request) and load is _library_base:
            raise
        return _skipped(
            "no answers to text, sound or pixels alone from %s: %s"
            % (type(base).__name__, loading.one_paragraph(error, 200))
        )
    wanted = request.embedding.grown or rows
    if wanted != rows:
        base.resize_token_embeddings(wanted)
    given = merge.to_load(base, adapters, request.embedding, scratch=request.scratch, rows=rows or 0)
    del adapters
    extra = [token for token in request.extra_tokens if 0 <= token < (wanted or 0)]
    extra = (extra + [token for token in range(rows or 0, wanted or 0) if token not in extra])[:8]
    longer = answers.inputs_for(base, rows, extra) if extra else None
    adapted = loading.load_adapters(base, given)
    with_adapter = answers.logits(adapted, batch)
    with_extra = answers.logits(adapted, longer) if longer else None
    architecture = type(base).__name__
    del base, adapted
    gc.collect()
    merged = loading.load_base(request.merged, adapter_config, architecture)
    extended = (
        answers.distance(answers.logits(merged, longer), with_extra) if longer and with_extra is not None else None
    )
    probe = answers.ratio(before, with_adapter, answers.logits(merged, batch))
    if request.quantized is None:  # what the library of a quantized base computes in is its own affair
        probe = rounding.calibrated(probe, base=request.base, merged=request.merged, outputs=before)
    return StreamAnswersResult(probe=probe, probe_note=None, extended=extended)
