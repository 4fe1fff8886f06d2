"""A quantized base as a plain model in memory: what the engine `stream` merges into."""

from typing import Any, Dict, Optional

from .io.files import WeightFolder, refuse
from .io.reader import Reader
from .skeleton import base_without_weights


def load(request: Dict[str, Any], adapter_config: Dict[str, Any], labels: Optional[int]) -> Any:
    """
    Raises:
        KnownError: `not-streamable` where a parameter has no tensor in the files.
    """
    inner, names, fused, _, _ = base_without_weights(
        WeightFolder(str(request["base"])), adapter_config, labels, request
    )
    reader = Reader()
    try:
        state = {key: reader.whole(tensor) for key, tensor in names.items()}
        for key, one in fused.items():
            state[key] = one.join({source.name: reader.whole(source) for _, source in one.sources})
    finally:
        reader.close()
    inner.load_state_dict(state, strict=False, assign=True)
    inner.tie_weights()
    empty = [name for name, parameter in inner.named_parameters() if parameter.device.type == "meta"]
    if empty:
        raise refuse("`%s` has no tensor in the base's files" % empty[0], tensors=empty[:50])
    return inner.eval()
