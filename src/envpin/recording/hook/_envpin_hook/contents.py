"""Digests of what lies in memory: an adapter's tensors, a batch, the states of the random generators.

Tensors are read where they lie, row by row, without numpy. No tensor is changed, no random number is drawn.
"""

from __future__ import annotations

import ctypes
import hashlib
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional

from _envpin_hook import module

if TYPE_CHECKING:
    from torch import Tensor

# An adapter of rank 64 of an 8B model has 640 MB: whole ones up to here (about 60 ms), evenly spaced elements above.
WHOLE = 48 * 1024 * 1024
TENSORS_LISTED = 4000
ROWS_LISTED = 64
_SHORT = 16  # hex digits of one tensor or row; the digest over all of them is whole


def tensor_bytes(tensor: Tensor) -> bytes:
    """The bytes of a tensor, in the order of its elements."""
    flat = tensor.detach()
    if flat.device.type != "cpu":
        flat = flat.cpu()
    flat = flat.contiguous()
    return ctypes.string_at(flat.data_ptr(), flat.numel() * flat.element_size()) if flat.numel() else b""


def trainable(model: Any) -> Dict[str, Tensor]:
    """The tensors that are trained, by name; none where they are not here as a whole (ZeRO-3)."""
    found = {name: one for name, one in model.named_parameters() if one.requires_grad}
    return {} if any(hasattr(one, "ds_shape") for one in found.values()) else found


def adapter(model: Any) -> Optional[Dict[str, object]]:
    """`digest` over all trained tensors, `tensors` of each; `sampled` where they were too large to read whole."""
    tensors = trainable(model)
    if not tensors:
        return None
    size = sum(one.numel() * one.element_size() for one in tensors.values())
    step = 1 if size <= WHOLE else -(-size // WHOLE)
    whole = hashlib.sha256()
    each: Dict[str, str] = {}
    for name in sorted(tensors):
        one = tensors[name].detach()
        data = tensor_bytes(one if step == 1 else one.reshape(-1)[::step])
        head = "%s %s %s" % (name, str(one.dtype).replace("torch.", ""), tuple(one.shape))
        whole.update(head.encode("utf-8"))
        whole.update(data)
        each[name] = hashlib.sha256(data).hexdigest()[:_SHORT]
    found: Dict[str, object] = {"digest": whole.hexdigest(), "count": len(each)}
    if len(each) <= TENSORS_LISTED:
        found["tensors"] = each
    if step > 1:
        found["sampled"] = True
    return found


class BatchDigest:
    """The batches of one optimizer step: a digest over all, one for each row without its padding."""

    def __init__(self) -> None:
        self._all = hashlib.sha256()
        self._rows: List[str] = []
        self._shapes: List[List[int]] = []
        self._micro = 0

    def add(self, inputs: Mapping[str, Any]) -> None:
        tensors = {name: inputs[name] for name in sorted(inputs) if hasattr(inputs[name], "data_ptr")}
        self._micro += 1
        for name, one in tensors.items():
            self._all.update(("%s %s %s" % (name, one.dtype, tuple(one.shape))).encode("utf-8"))
            self._all.update(tensor_bytes(one))
        widest = max((one.dim() for one in tensors.values()), default=0)
        if widest:
            first = tensors.get("input_ids", next(one for one in tensors.values() if one.dim() == widest))
            self._shapes.append([int(length) for length in first.shape])
            if first.dim():
                self._add_rows(tensors, int(first.shape[0]))

    def _add_rows(self, tensors: Dict[str, Tensor], count: int) -> None:
        mask = tensors.get("attention_mask")
        for row in range(min(count, ROWS_LISTED - len(self._rows))):
            digest = hashlib.sha256()
            for name, one in tensors.items():
                if name == "attention_mask" or not one.dim() or int(one.shape[0]) != count:
                    continue
                own = one[row]
                if mask is not None and tuple(mask.shape) == tuple(one.shape):
                    own = own[mask[row].bool()]  # how far a row is padded depends on the others
                digest.update(name.encode("utf-8"))
                digest.update(tensor_bytes(own))
            self._rows.append(digest.hexdigest()[:_SHORT])

    def described(self) -> Dict[str, object]:
        return {"digest": self._all.hexdigest(), "micro": self._micro, "shapes": self._shapes, "rows": self._rows}


def generators() -> Dict[str, str]:
    """Digests of the states of Python's, numpy's, torch's and the GPU's generators, where the run has loaded them."""
    found: Dict[str, str] = {}
    random, numpy, torch = module("random"), module("numpy.random"), module("torch")
    if random is not None:
        found["python"] = _short(repr(random.getstate()).encode("ascii"))
    if numpy is not None:
        kind, keys, position, *_ = numpy.get_state()
        found["numpy"] = _short(("%s %s " % (kind, position)).encode("ascii") + keys.tobytes())
    if torch is not None:
        found["torch"] = _short(tensor_bytes(torch.get_rng_state()))
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            found["cuda"] = _short(tensor_bytes(torch.cuda.get_rng_state()))
    return found


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_SHORT]
