"""Which plain tensors those of a quantized base stand for, and that they are decoded right (decoders.py)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Dict, List, Mapping, Optional, Set, Tuple, Type, Union

from ..protocol import KnownError
from ..requests import QuantizedBase
from ..results import DecodedBase
from .decoders import BlockFloat8, EightBit, FourBit, RoundTrip, count
from .empty import empty_model
from .io.files import StoredTensor, WeightFolder, byte_count, refuse
from .io.reader import Reader

if TYPE_CHECKING:
    import torch
    import transformers

Packed = Union[FourBit, EightBit, BlockFloat8, RoundTrip]

_STATE = ".quant_state.bitsandbytes__"
_FLOATS = ("BF16", "F16", "F32")


class Decoded:
    """What is quantized in a base: decoders by the name of the tensor they stand for."""

    def __init__(self, quantized: QuantizedBase) -> None:
        self.stored = quantized.stored
        self.config = quantized.config
        self._loaded = quantized.dtype
        self.decoders: Dict[str, Packed] = {}

    def quantize_on_loading(
        self,
        base: WeightFolder,
        names: Dict[str, StoredTensor],
        wanted: Type[transformers.PreTrainedModel],
        config: transformers.PretrainedConfig,
    ) -> None:
        """Let `base` and `names` list, in place of each weight that this transformers would quantize on loading, what
        is left of it after quantizing and dequantizing."""
        for module in quantized_modules(wanted, config, self.config):
            stored = names.get(module + ".weight")
            if stored is None:
                raise refuse("`%s` is quantized on loading, and is not stored as one tensor" % module)
            self.decoders[stored.name] = RoundTrip(stored, self.config, self._loaded)
            names[module + ".weight"] = _plain(stored, self.decoders[stored.name])
        base.replace({name: _plain(base.tensors[name], one) for name, one in self.decoders.items()}, set())

    def check(self, reader: Reader) -> DecodedBase:
        """Decode the first weight of every class by bitsandbytes too, where it can, and compare to the bit.

        Raises:
            KnownError: `verification-failed`, naming a weight that the two decode differently.
        """
        import torch

        seen: Set[Tuple[object, ...]] = set()
        equal, note, misread = 0, None, False
        device: Optional[str] = None
        for name, decoder in sorted(self.decoders.items()):
            if isinstance(decoder, RoundTrip) and device is None:
                decoder.rows(reader, 0, 1)
                device = decoder.device
            if decoder.describe() in seen or isinstance(decoder, (BlockFloat8, RoundTrip)):
                continue
            seen.add(decoder.describe())
            try:
                wanted = decoder.by_library(reader)
            except Exception as error:  # absent, or without a kernel for this machine
                note = "bitsandbytes cannot decode here: %s" % " ".join(str(error).split())[:160]
                break
            found = decoder.rows(reader, 0, decoder.shape[0])
            if found.dtype == wanted.dtype and torch.equal(found, wanted.reshape(found.shape)):
                equal += 1
            elif _is_near(found, wanted.reshape(found.shape)):
                note = "bitsandbytes rounds its 4-bit codes to 16 bit on this machine; they are decoded as on a GPU"
            else:
                raise KnownError("verification-failed", "`%s` is decoded otherwise by bitsandbytes" % name, tensor=name)
            misread = misread or (isinstance(decoder, FourBit) and decoder.is_misread(reader))
        if misread:
            note = "bitsandbytes' own layers misread weights here whose rows are no whole number of blocks"
        return DecodedBase(
            tensors=len(self.decoders),
            kinds=self._kinds(),
            classes=len(seen),
            equal_to_library=equal,
            misread_by_library=misread,
            quantized_on=device,
            note=note,
        )

    def _kinds(self) -> Dict[str, int]:
        kinds: Dict[str, int] = {}
        for decoder in self.decoders.values():
            kinds[decoder.kind] = kinds.get(decoder.kind, 0) + 1
        return kinds


def settle(
    config: transformers.PretrainedConfig, base: WeightFolder, quantized: Optional[QuantizedBase]
) -> Tuple[transformers.PretrainedConfig, Optional[Decoded]]:
    """`config` as that of a plain model, and what is to be decoded. `quantized` is the request's decision.

    Raises:
        KnownError: `quantized-base` where the base is quantized and nothing was decided, `not-streamable` where
            something packed is left that is no known format.
    """
    found = getattr(config, "quantization_config", None)
    if found and not quantized:
        method = found.get("quant_method") if isinstance(found, dict) else found.quant_method
        method = str(getattr(method, "value", method) or "unknown").lower()
        raise KnownError("quantized-base", "the base is quantized (%s)" % method, method=method)
    if not quantized:
        return config, None
    for one in (config, getattr(config, "text_config", None)):
        if one is not None and getattr(one, "quantization_config", None) is not None:
            del one.quantization_config
    if quantized.policy != "dequantize":
        if quantized.stored:
            raise KnownError("quantized-base", "the base's files are quantized: they are not the original weights")
        return config, None
    decoded = Decoded(quantized)
    if decoded.stored:
        decoded.decoders = unpack(base, decoded.config)
    return config, decoded


def _is_near(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two decoded weights differ by no more than a code that was rounded to bfloat16 explains."""
    difference = (one.float() - other.float()).abs()
    return bool((difference <= 2.0**-7 * one.float().abs()).all())


def unpack(base: WeightFolder, quantization: Mapping[str, object]) -> Dict[str, Packed]:
    """Let `base` list the tensors that its packed ones stand for; returns their decoders by name.

    Raises:
        KnownError: `not-streamable` where something packed is left that is no such format.
    """
    usual = _usual(base)
    decoders: Dict[str, Packed] = {}
    hidden: Set[str] = set()
    for name, tensor in list(base.tensors.items()):
        if _STATE in name:
            key = name.partition(_STATE)[0]
            state = json.loads(_text(tensor))
            parts = {one[len(key) + 1 :]: part for one, part in base.tensors.items() if one.startswith(key + ".")}
            decoders[key] = FourBit(base.tensors[key], parts, state)
            hidden |= {key + "." + part for part in parts}
        elif name.endswith(".SCB"):
            key = name[: -len("SCB")] + "weight"
            decoders[key] = EightBit(base.tensors[key], tensor, usual)
            hidden |= {name, key + "_format"}
        elif name.endswith("_scale_inv") and name[: -len("_scale_inv")] in base.tensors:
            key = name[: -len("_scale_inv")]
            size = quantization.get("weight_block_size")
            block = (int(size[0]), int(size[1])) if isinstance(size, (list, tuple)) and size else None
            decoders[key] = _float8(base.tensors[key], tensor, block, usual)
            hidden |= {name, key[: -len("weight")] + "activation_scale"}
    base.replace({name: _plain(base.tensors[name], one) for name, one in decoders.items()}, hidden & set(base.tensors))
    left = [name for name, one in base.tensors.items() if one.dtype not in (*_FLOATS, "BOOL", "I64", "I32")]
    if left:
        raise refuse("`%s` is packed in a way that envpin does not know" % left[0], tensors=left[:50])
    return decoders


def _float8(stored: StoredTensor, scales: StoredTensor, block: Optional[Tuple[int, int]], dtype: str) -> BlockFloat8:
    one = count(scales.shape) == 1
    if not one and (block is None or len(stored.shape) != 2 or scales.shape != _blocks(stored.shape, block)):
        raise refuse("the scales of `%s` do not fit its shape" % stored.name)
    return BlockFloat8(stored, scales, block, dtype)


def _blocks(shape: Tuple[int, ...], block: Tuple[int, int]) -> Tuple[int, ...]:
    return (-(-shape[0] // block[0]), -(-shape[1] // block[1]))


def quantized_modules(
    wanted: Type[transformers.PreTrainedModel],
    config: transformers.PretrainedConfig,
    quantization: Mapping[str, object],
) -> List[str]:
    """Which modules this transformers replaces by quantized ones: its own rules, run on a model without weights."""
    import transformers

    if quantization.get("llm_int8_has_fp16_weight"):
        raise refuse(
            "training kept the weights in float16 (llm_int8_has_fp16_weight), so there is nothing to dequantize"
        )
    try:
        from transformers.quantizers import AutoHfQuantizer

        known = transformers.BitsAndBytesConfig.from_dict(
            {key: value for key, value in quantization.items() if not key.startswith("_")}
        )
        quantizer = AutoHfQuantizer.from_config(known, pre_quantized=False)
        model = empty_model(wanted, config)
        kept = list(getattr(model, "_keep_in_fp32_modules", None) or [])
        quantizer.preprocess_model(model=model, device_map={"": "cpu"}, keep_in_fp32_modules=kept)
    except KnownError:
        raise
    except Exception as error:
        raise refuse(
            "transformers %s does not tell which modules it quantizes: %s: %s"
            % (transformers.__version__, type(error).__name__, str(error)[:300])
        ) from error
    classes = {"Linear4bit", "Linear8bitLt"}
    return [name for name, module in model.named_modules() if type(module).__name__ in classes]


def _plain(stored: StoredTensor, decoder: Packed) -> StoredTensor:
    size = byte_count(decoder.dtype, decoder.shape)
    return StoredTensor(stored.name, decoder.dtype, decoder.shape, stored.path, -1, size, decoder)


def _usual(base: WeightFolder) -> str:
    """The dtype of most tensors that are not quantized: norms, embeddings, the head."""
    small = (".SCB", "_scale_inv", "absmax", "quant_map", "activation_scale")
    found = [one.dtype for name, one in base.tensors.items() if one.dtype in _FLOATS and not name.endswith(small)]
    return max(sorted(set(found)), key=found.count) if found else "BF16"


def _text(tensor: StoredTensor) -> str:
    with open(tensor.path, "rb") as stream:
        stream.seek(tensor.offset)
        return stream.read(tensor.size).decode("utf-8")
