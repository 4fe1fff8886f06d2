"""Digests of what lies in memory: an adapter's tensors, a batch, the states of the random generators.

Tensors are read where they lie, row by row, without numpy. No tensor is changed, no random number is drawn.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import sys
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from _envpin_hook import module

if TYPE_CHECKING:
    from torch import Tensor

# An adapter of rank 64 of an 8B model has 640 MB: whole ones up to here (about 60 ms), evenly spaced elements above.
WHOLE = 48 * 1024 * 1024
TENSORS_LISTED = 4000
# Of a batch: token ids are far below, pixels are not. About 5 ms.
BATCH = 4 * 1024 * 1024
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


class _HeldTensor:
    """A tensor of a batch with its bytes, which are split into rows without asking torch once more."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.shape = tuple(tensor.shape)
        self.item = tensor.element_size()
        size = self.item * math.prod(self.shape)
        self.sampled = size > BATCH
        if self.sampled:
            every = -(-size // BATCH)
            flat = tensor.detach().reshape(self.shape[0], -1)[:, ::every] if len(self.shape) > 1 else tensor[::every]
            self.data = tensor_bytes(flat)
        else:
            self.data = tensor_bytes(tensor)
        self._runs: Dict[int, Optional[Tuple[int, int]]] = {}

    def row(self, number: int) -> bytes:
        size = len(self.data) // self.shape[0]
        return self.data[number * size : (number + 1) * size]

    def unmasked(self, number: int, mask: _HeldTensor) -> bytes:
        """A row as far as `mask`, which has the same shape, does not hide it."""
        run = mask.run(number) if not self.sampled else None
        if run is None:
            return tensor_bytes(self.tensor[number][mask.tensor[number].bool()])
        start = number * self.shape[1]
        return self.data[(start + run[0]) * self.item : (start + run[1]) * self.item]

    def run(self, number: int) -> Optional[Tuple[int, int]]:
        """Of a mask: from where to where the ones of a row lie; None where they are no one run, or no plain ones."""
        if number not in self._runs:
            self._runs[number] = self._find_run(self.row(number))
        return self._runs[number]

    def _find_run(self, row: bytes) -> Optional[Tuple[int, int]]:
        if len(self.shape) != 2 or self.sampled or sys.byteorder != "little" or self.tensor.is_floating_point():
            return None
        lowest = row[:: self.item]
        ones = lowest.count(b"\1")
        start, end = lowest.find(b"\1"), lowest.rfind(b"\1") + 1
        return (start, end) if ones and end - start == ones and row.count(b"\0") == len(row) - ones else None


class BatchDigest:
    """The batches of one optimizer step: a digest over all, one for each row without its padding.

    Tensors beyond `BATCH` bytes (pixels) are sampled, as an adapter's are.
    """

    def __init__(self) -> None:
        self._all = hashlib.sha256()
        self._rows: List[str] = []
        self._shapes: List[List[int]] = []
        self._micro = 0
        self._sampled = False
        self._told = False

    def add(self, inputs: Any) -> None:
        """A micro-batch: tensors by name, or rows of plain values (those of GRPO, before their completions)."""
        self._micro += 1
        if isinstance(inputs, (list, tuple)):
            for row in inputs[:ROWS_LISTED]:
                self._add_plain(row)
        elif hasattr(inputs, "keys"):
            self._add_tensors(inputs)

    def _add_plain(self, row: object) -> None:
        text = plain_text(row)
        if text is not None:
            self._told = True
            digest = hashlib.sha256(text.encode("utf-8", "replace"))
            self._all.update(digest.digest())
            if len(self._rows) < ROWS_LISTED:
                self._rows.append(digest.hexdigest()[:_SHORT])

    def _add_tensors(self, inputs: Mapping[str, Any]) -> None:
        held: Dict[str, _HeldTensor] = {}
        for name in sorted(inputs):
            one = inputs[name]
            if hasattr(one, "data_ptr"):
                held[name] = tensor = _HeldTensor(one)
                self._all.update(("%s %s %s" % (name, one.dtype, tensor.shape)).encode("utf-8"))
                self._all.update(tensor.data)
                self._told = True
                self._sampled = self._sampled or tensor.sampled
        widest = max((len(one.shape) for one in held.values()), default=0)
        if widest:
            first = held.get("input_ids") or next(one for one in held.values() if len(one.shape) == widest)
            self._shapes.append(list(first.shape))
            if first.shape:
                self._add_rows(held, first.shape[0])

    def _add_rows(self, held: Dict[str, _HeldTensor], count: int) -> None:
        mask = held.get("attention_mask")
        named = [
            (name.encode("utf-8"), one, mask is not None and mask.shape == one.shape)
            for name, one in held.items()
            if name != "attention_mask" and one.shape and one.shape[0] == count
        ]
        for row in range(min(count, ROWS_LISTED - len(self._rows))):
            digest = hashlib.sha256()
            for name, one, is_masked in named:
                digest.update(name)
                # How far a row is padded depends on the others.
                digest.update(one.unmasked(row, mask) if is_masked and mask is not None else one.row(row))
            self._rows.append(digest.hexdigest()[:_SHORT])

    def described(self) -> Optional[Dict[str, object]]:
        """None where nothing of the batches could be read: digests of nothing would be equal."""
        if not self._told:
            return None
        found: Dict[str, object] = {
            "digest": self._all.hexdigest(), "micro": self._micro, "shapes": self._shapes, "rows": self._rows,
        }  # fmt: skip
        if self._sampled:
            found["sampled"] = True
        return found


def plain_text(row: object) -> Optional[str]:
    """A row of plain values as a text; None where it holds anything else, or more than a row of text has."""
    try:
        text = json.dumps(row, sort_keys=True, ensure_ascii=True)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if len(text) <= BATCH else None


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
