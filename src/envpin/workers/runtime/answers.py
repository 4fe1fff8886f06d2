"""What a model answers to a few fixed inputs, and how far two sets of answers are apart.

The judgement is a ratio, |merged - adapter| / |adapter - base|, because the noise of a merge in bf16 has no fixed size:
it is small only when it is small beside what the adapter changed.
"""

from __future__ import annotations

import math
from inspect import signature
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from ..results import ProbeFigures

if TYPE_CHECKING:
    import torch
    import transformers

_LENGTH = 24
_ROWS = 4


def inputs(
    rows: int, extra: Optional[List[int]] = None, *, batch: int = _ROWS, length: int = _LENGTH
) -> List[List[int]]:
    """Token ids in [0, rows), the same for every model with as many rows; `extra` ids are woven into each row.

    A linear congruential sequence (Numerical Recipes' constants) needs no seed state and no library.
    """
    state = 12345
    found: List[List[int]] = []
    for _ in range(batch):
        row = []
        for _ in range(length):
            state = (1664525 * state + 1013904223) % 2**32
            row.append((state >> 8) % rows)
        for place, token in enumerate(extra or []):
            row[(3 * place + 1) % length] = token
        found.append(row)
    return found


def inputs_for(
    model: transformers.PreTrainedModel,
    rows: Optional[int],
    extra: Optional[List[int]] = None,
    *,
    batch: int = _ROWS,
    length: int = _LENGTH,
) -> List[List[int]]:
    """`inputs` that `model` has positions for. Models without a table of tokens (`rows` is None) get as many rows of
    their own kind of input: `arguments_of` takes no more than the shape."""
    config = getattr(model.config, "text_config", None) or model.config
    for name in ("max_position_embeddings", "n_positions", "max_target_positions"):
        positions = getattr(config, name, None)
        if isinstance(positions, int) and 0 < positions < length + 2:
            length = max(1, positions - 2)  # RoBERTa and its like begin to count at two
    if length > 3 and length % 3 == 0:
        length -= 1  # places of extra tokens are three apart
    return inputs(rows or 2, extra, batch=batch, length=length)


def embedding_rows(model: transformers.PreTrainedModel) -> Optional[int]:
    """Rows of the table of tokens; None for a model that has none (images, sound)."""
    try:
        weight = model.get_input_embeddings().weight
    except (AttributeError, NotImplementedError):
        return None
    return int(weight.shape[0]) if weight.dim() == 2 else None


def logits(model: transformers.PreTrainedModel, batch: List[List[int]]) -> torch.Tensor:
    """The first floating output of `model` on a batch of token ids, as float32 on the CPU.

    Raises whatever the model raises on text-only input; the caller decides whether that matters.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the decoder of SpeechT5 drops out while it answers, too
        return _logits(model, batch)


def _logits(model: transformers.PreTrainedModel, batch: List[List[int]]) -> torch.Tensor:
    import torch

    device = next(model.parameters()).device
    arguments = arguments_of(model, torch.tensor(batch, dtype=torch.long, device=device))
    if getattr(model.config, "pad_token_id", None) is None:
        # Sequence classification pools at the last token, and refuses batches of more than one without a pad token.
        outputs = [
            first_output(model(**{name: value[row : row + 1] for name, value in arguments.items()}))
            for row in range(len(batch))
        ]
        return torch.cat(outputs).float().cpu()
    return first_output(model(**arguments)).float().cpu()


def arguments_of(model: transformers.PreTrainedModel, ids: torch.Tensor) -> Dict[str, torch.Tensor]:
    """What `model` is called with for a batch of token ids: speech models hear a wave and read the ids as text, image
    models see a picture, those that compare both (CLIP) get both, and those that speak (SpeechT5) what they said so
    far. All in the dtype of the weights, which they do not convert to themselves."""
    import torch

    config = model.config
    main = getattr(model, "main_input_name", "input_ids")
    if main == "input_features":
        shape = (ids.shape[0], config.num_mel_bins, 2 * config.max_source_positions)
        return {"input_features": _wave(model, shape, ids.device), "decoder_input_ids": ids[:, :8]}
    if main == "input_values":
        return {"input_values": _wave(model, (ids.shape[0], 4000), ids.device)}
    if main == "pixel_values" and embedding_rows(model) is None:
        size = getattr(config, "image_size", None) or 64
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        picture = (ids.shape[0], getattr(config, "num_channels", 3), height, width)
        return {"pixel_values": _wave(model, picture, ids.device)}
    arguments = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    takes = signature(getattr(model, "get_base_model", lambda: model)().forward).parameters  # peft takes anything
    if getattr(model, "logit_scale", None) is not None and "pixel_values" in takes:
        arguments.update(_pictures(model, ids, patches="spatial_shapes" in takes))
    elif "decoder_input_values" in takes:
        arguments["decoder_input_values"] = _wave(model, (ids.shape[0], 8, config.num_mel_bins), ids.device)
        arguments["speaker_embeddings"] = _wave(model, (ids.shape[0], config.speaker_embedding_dim), ids.device)
    elif getattr(config, "is_encoder_decoder", False):
        arguments["decoder_input_ids"] = ids[:, :8]
    return arguments


def _pictures(model: transformers.PreTrainedModel, ids: torch.Tensor, *, patches: bool) -> Dict[str, torch.Tensor]:
    """A picture for each row of ids, or its patches with their places, as the NaFlex models take them."""
    import torch

    config = model.config.vision_config
    if not patches:
        shape = (ids.shape[0], config.num_channels, config.image_size, config.image_size)
        return {"pixel_values": _wave(model, shape, ids.device)}
    side = max(1, int(config.num_patches**0.5))
    patches_of = (ids.shape[0], side * side, config.num_channels * config.patch_size**2)
    return {
        "pixel_values": _wave(model, patches_of, ids.device),
        "pixel_attention_mask": torch.ones(patches_of[:2], dtype=torch.long, device=ids.device),
        "spatial_shapes": torch.tensor([[side, side]] * ids.shape[0], device=ids.device),
    }


def _wave(model: transformers.PreTrainedModel, shape: Tuple[int, ...], device: torch.device) -> torch.Tensor:
    import torch

    dtype = next(one.dtype for one in model.parameters() if one.is_floating_point())
    count = 1
    for extent in shape:
        count *= extent
    return torch.sin(40.0 * torch.linspace(-1.0, 1.0, count, device=device)).reshape(shape).to(dtype)


def first_output(output: transformers.utils.ModelOutput) -> torch.Tensor:
    for name in ("logits", "start_logits", "last_hidden_state"):
        value = getattr(output, name, None)
        if value is not None:
            return value
    return output[0]


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Root mean square of the difference over the columns that both have."""
    columns = min(one.shape[-1], other.shape[-1])
    difference = one[..., :columns].double() - other[..., :columns].double()
    return float(difference.pow(2).mean().sqrt())


def ratio(base: torch.Tensor, adapter: torch.Tensor, merged: torch.Tensor) -> ProbeFigures:
    """|merged - adapter| / |adapter - base|; None where the adapter moves nothing. JSON cannot carry infinities."""
    moved = distance(adapter, base)
    noise = distance(merged, adapter)
    value = noise / moved if moved > 0 else None
    return ProbeFigures(moved=_finite(moved), noise=_finite(noise), ratio=_finite(value))


def _finite(value: Optional[float]) -> Optional[float]:
    return value if value is not None and math.isfinite(value) else None
