"""The tensors of a folder of a proof, by the headers of its files."""

import os
from typing import Dict

from ..protocol import KnownError
from ..requests import WeightFiles
from ..stream.io.files import StoredTensor, read_header


def tensors_of(place: WeightFiles) -> Dict[str, StoredTensor]:
    found: Dict[str, StoredTensor] = {}
    for name in place.files:
        for tensor in read_header(os.path.join(place.folder, name)).tensors:
            if tensor.name in found:
                message = "two files of `%s` hold `%s`" % (place.folder, tensor.name)
                raise KnownError("bad-index", message, path=place.folder)
            found[tensor.name] = tensor
    return found
