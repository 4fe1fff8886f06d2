"""A quantized base as a plain model in memory: what the engine `stream` merges into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from ..requests import StreamAnswersRequest
from .io.files import WeightFolder, refuse
from .io.reader import Reader
from .skeleton import base_without_weights

if TYPE_CHECKING:
    import transformers

    from ..runtime.methods import AdapterConfig


def load(
    request: StreamAnswersRequest, adapter_config: AdapterConfig, labels: Optional[int]
) -> transformers.PreTrainedModel:
    """
    Raises:
        KnownError: `not-streamable` where a parameter has no tensor in the files.
    """
    found = base_without_weights(
        WeightFolder(request.base),
        adapter_config,
        labels,
        architecture=request.architecture,
        quantized=request.quantized,
    )
    inner = found.model
    reader = Reader()
    try:
        state = {key: reader.whole(tensor) for key, tensor in found.names.items()}
        for key, one in found.fused.items():
            state[key] = one.join({source.name: reader.whole(source) for _, source in one.sources})
    finally:
        reader.close()
    inner.load_state_dict(state, strict=False, assign=True)
    inner.tie_weights()
    empty = [name for name, parameter in inner.named_parameters() if parameter.device.type == "meta"]
    if empty:
        raise refuse("`%s` has no tensor in the base's files" % empty[0], tensors=empty[:50])
    return inner.eval()
