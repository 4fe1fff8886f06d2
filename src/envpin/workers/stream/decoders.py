"""Quantized bases as the plain tensors that they stand for, decoded row by row while a merge reads them.

Stored formats, each checked against the library that wrote it (tests/workers/quantized_inside.py):

- bitsandbytes 4-bit (`W`, `W.absmax`, `W.quant_map`, `W.quant_state.bitsandbytes__nf4`, and `W.nested_absmax`,
  `W.nested_quant_map` with double quantization): two codes to a byte, the first in the high half; value = code * absmax
  of its block of the flattened weight, in float32, rounded once to the dtype that the state names.
- bitsandbytes 8-bit (`W` int8, `SCB`): value = W * SCB of its row / 127 in float32.
- fp8 with block scales (`W` float8_e4m3, `W_scale_inv`): value = W * scale of its block in float32.

A 16-bit base that training quantized on loading is quantized and dequantized by bitsandbytes itself (`RoundTrip`).
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Dict, List, Mapping, Optional, Tuple, TypedDict

from ..protocol import KnownError
from .io.files import RowReader, StoredTensor, torch_dtype

if TYPE_CHECKING:
    import torch

# 1/127 as bitsandbytes writes it (functional.int8_vectorwise_dequant).
_INT8_UNIT = 7.874015718698502e-3
_BLOCK = 64  # what bitsandbytes' layers quantize in (nn.Params4bit)


class FourBitState(TypedDict, total=False):
    """What bitsandbytes stores about a 4-bit weight. The `nested_` keys are there with double quantization."""

    quant_type: str
    blocksize: int
    dtype: str
    shape: List[int]
    nested_blocksize: int
    nested_offset: float


class FourBit:
    """One 4-bit weight of bitsandbytes."""

    whole_only = False

    def __init__(self, packed: StoredTensor, parts: Dict[str, StoredTensor], state: FourBitState) -> None:
        self.packed, self.parts, self.state = packed, parts, state
        self.kind = "bitsandbytes-" + str(state["quant_type"])
        self.shape = tuple(int(extent) for extent in state["shape"])
        self.dtype = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}[str(state["dtype"])]
        self.nested = "nested_blocksize" in state

    def describe(self) -> Tuple[object, ...]:
        return (self.kind, self.shape, self.dtype, self.state["blocksize"], self.nested)

    def rows(self, reader: RowReader, first: int, last: int) -> torch.Tensor:
        width = count(self.shape[1:])
        block = int(self.state["blocksize"])
        begin, end = first * width, last * width
        start = begin // block * block
        stop = min(count(self.shape), -(-end // block) * block)
        packed = reader.bytes_of(self.packed, start // 2, -(-stop // 2))
        scales = self._scales(reader, start // block, -(-stop // block))
        values = _values(packed, reader.whole(self.parts["quant_map"]), scales, block)
        return values[begin - start : end - start].to(torch_dtype(self.dtype)).reshape(last - first, *self.shape[1:])

    def _scales(self, reader: RowReader, first: int, last: int) -> torch.Tensor:
        """absmax of the blocks [first, last), in float32."""
        import torch

        stored = self.parts["absmax"]
        if not self.nested:
            return reader.rows(stored, first, last).float()
        block = int(self.state["nested_blocksize"])
        codes = reader.whole(self.parts["nested_quant_map"])
        outer = reader.rows(self.parts["nested_absmax"], first // block, -(-last // block))
        which = torch.div(torch.arange(first, last), block, rounding_mode="floor") - first // block
        values = codes[reader.rows(stored, first, last).long()] * outer[which]
        return (values + float(self.state["nested_offset"])).float()

    def by_library(self, reader: RowReader, shape: Optional[Tuple[int, ...]] = None) -> torch.Tensor:
        """The whole weight, dequantized by bitsandbytes. It is given as one block to a row: its CPU kernel (0.50.2)
        takes every row for a whole number of blocks, and decodes other shapes wrongly."""
        import torch
        from bitsandbytes.functional import QuantState, dequantize_4bit

        state = QuantState.from_dict({name: reader.whole(part) for name, part in self.parts.items()}, "cpu")
        block = int(self.state["blocksize"])
        state.shape = torch.Size(shape or (count(self.shape) // block, block))
        packed = reader.bytes_of(self.packed, 0, self.packed.size).reshape(-1, 1)
        return dequantize_4bit(packed, state).reshape(self.shape)

    def is_misread(self, reader: RowReader) -> bool:
        """Whether bitsandbytes decodes this weight otherwise when it is asked as its own layers ask."""
        import torch

        return not torch.equal(self.by_library(reader, self.shape), self.rows(reader, 0, self.shape[0]))


def _values(packed: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor, block: int) -> torch.Tensor:
    """Blocks of 4-bit codes in float32, as the CUDA kernels compute them. (On the CPU, bitsandbytes up to 0.48 rounds
    the codes to 16 bit first.)"""
    import torch

    indices = torch.stack([packed >> 4, packed & 15], dim=1).reshape(-1)
    return codes[indices.long()] * scales.repeat_interleave(block)[: len(indices)]


class EightBit:
    """One weight of LLM.int8: a scale for each row."""

    whole_only = False
    kind = "bitsandbytes-int8"

    def __init__(self, stored: StoredTensor, scales: StoredTensor, dtype: str) -> None:
        self.stored, self.scales, self.dtype = stored, scales, dtype
        self.shape = stored.shape

    def describe(self) -> Tuple[object, ...]:
        return (self.kind, self.shape, self.dtype)

    def rows(self, reader: RowReader, first: int, last: int) -> torch.Tensor:
        weight, scales = reader.rows(self.stored, first, last), reader.rows(self.scales, first, last)
        return (weight * scales.view(-1, 1) * _INT8_UNIT).to(torch_dtype(self.dtype))

    def by_library(self, reader: RowReader) -> torch.Tensor:
        from bitsandbytes.functional import int8_vectorwise_dequant

        value = int8_vectorwise_dequant(reader.whole(self.stored), reader.whole(self.scales))
        return value.to(torch_dtype(self.dtype))


class BlockFloat8:
    """One fp8 weight with a scale for each block of rows and columns, or one for all."""

    whole_only = False
    kind = "fp8"

    def __init__(
        self, stored: StoredTensor, scales: StoredTensor, block: Optional[Tuple[int, int]], dtype: str
    ) -> None:
        self.stored, self.scales, self.block, self.dtype = stored, scales, block, dtype
        self.shape = stored.shape

    def describe(self) -> Tuple[object, ...]:
        return (self.kind, self.shape, self.dtype, self.block)

    def rows(self, reader: RowReader, first: int, last: int) -> torch.Tensor:
        weight = reader.rows(self.stored, first, last).float()
        scales = reader.whole(self.scales).float()
        if scales.numel() > 1:
            height, width = self.block or (1, 1)
            upper = first // height
            some = scales[upper : -(-last // height)].repeat_interleave(height, 0)
            some = some[first - upper * height : last - upper * height]
            scales = some.repeat_interleave(width, 1)[:, : weight.shape[1]]
        return (weight * scales).to(torch_dtype(self.dtype))


class RoundTrip:
    """One plain weight that training quantized on loading: quantized and dequantized by bitsandbytes, whole, because
    double quantization ties its blocks together. Keeps the dtype that it is stored in."""

    whole_only = True

    def __init__(self, stored: StoredTensor, quantization: Mapping[str, object], loaded: Optional[str]) -> None:
        self.stored, self.quantization = stored, quantization
        self.loaded = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}.get(str(loaded), stored.dtype)
        self.shape, self.dtype = stored.shape, stored.dtype
        self.device: Optional[str] = None
        four = quantization.get("load_in_4bit") or quantization.get("_load_in_4bit")
        self.kind = "bitsandbytes-" + (str(quantization.get("bnb_4bit_quant_type") or "fp4") if four else "int8")

    def describe(self) -> Tuple[object, ...]:
        return (self.kind, self.shape, self.dtype, self.loaded)

    def rows(self, reader: RowReader, first: int, last: int) -> torch.Tensor:
        # The caller's own, as what is read: a merge adds its change in place.
        return reader.remembered(self.stored.name, lambda: self._whole(reader))[first:last].clone()

    def _whole(self, reader: RowReader) -> torch.Tensor:
        weight = reader.whole(self.stored).to(torch_dtype(self.loaded))
        found, self.device = round_trip(weight, self.kind, self.quantization)
        return found.to(torch_dtype(self.dtype))


def round_trip(weight: torch.Tensor, kind: str, quantization: Mapping[str, object]) -> Tuple[torch.Tensor, str]:
    """`weight` quantized by this environment's bitsandbytes and dequantized, in its own dtype; and on which device.

    Raises:
        KnownError: `no-bitsandbytes` where it is not there, or computes on no device of this machine.
    """
    import torch

    # Training quantized on a GPU. A CPU breaks ties between codes its own way, and rounds otherwise what double
    # quantization stores: up to 1.2 in 1000 values of a 16-bit weight were another (bitsandbytes 0.50.2, H100).
    devices = ["cuda", "cpu"] if torch.cuda.is_available() else ["cpu"]
    try:
        import bitsandbytes
        from bitsandbytes import functional
    except Exception as error:  # it also fails on import where it finds no CUDA
        raise KnownError(
            "no-bitsandbytes", "bitsandbytes cannot be imported in this environment: %s" % error
        ) from error
    trouble: Optional[BaseException] = None
    for device in devices:
        try:
            return _round_trip(functional, weight.to(device), kind, quantization).to("cpu"), device
        except (RuntimeError, NotImplementedError, AttributeError, AssertionError, ValueError, TypeError) as error:
            trouble = error
    raise KnownError(
        "no-bitsandbytes",
        "bitsandbytes %s quantizes on none of %s here: %s" % (bitsandbytes.__version__, ", ".join(devices), trouble),
    )


def _round_trip(
    functional: ModuleType, weight: torch.Tensor, kind: str, quantization: Mapping[str, object]
) -> torch.Tensor:
    import torch

    if kind == "bitsandbytes-int8":
        # Int8Params goes through float16, whatever dtype the model is loaded in.
        values, scales, _ = functional.int8_vectorwise_quant(weight.to(torch.float16).contiguous())
        return functional.int8_vectorwise_dequant(values, scales).to(weight.dtype)
    if weight.numel() % _BLOCK:
        raise ValueError("%d values are no whole number of blocks" % weight.numel())
    packed, state = functional.quantize_4bit(
        weight.reshape(-1, _BLOCK).contiguous(),  # one block to a row: see `FourBit.by_library`
        blocksize=_BLOCK,
        compress_statistics=bool(quantization.get("bnb_4bit_use_double_quant")),
        quant_type=kind.rpartition("-")[2],
    )
    scales = state.absmax
    if state.nested:
        scales = functional.dequantize_blockwise(state.absmax, state.state2) + state.offset
    values = _values(packed.reshape(-1).view(torch.uint8), state.code.to(packed.device), scales.float(), _BLOCK)
    return values.to(weight.dtype).reshape(weight.shape)


def count(shape: Tuple[int, ...]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count
