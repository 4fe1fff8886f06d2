"""What a model answers to a few fixed inputs, and how far two sets of answers are apart.

The judgement is a ratio, |merged - adapter| / |adapter - base|, because the noise of a merge in bf16 has no fixed size:
it is small only when it is small beside what the adapter changed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Dict, List, Optional

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


def logits(model: transformers.PreTrainedModel, batch: List[List[int]]) -> torch.Tensor:
    """The first floating output of `model` on a batch of token ids, as float32 on the CPU.

    Raises whatever the model raises on text-only input; the caller decides whether that matters.
    """
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
    """What `model` is called with for a batch of token ids: speech models hear noise, and read the ids as text."""
    import torch

    config = model.config
    if getattr(model, "main_input_name", "input_ids") == "input_features":
        frames = 2 * config.max_source_positions
        noise = torch.linspace(-1.0, 1.0, ids.shape[0] * config.num_mel_bins * frames, device=ids.device)
        features = torch.sin(40.0 * noise).reshape(ids.shape[0], config.num_mel_bins, frames)
        return {"input_features": features, "decoder_input_ids": ids[:, :8]}
    arguments = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if getattr(config, "is_encoder_decoder", False):
        arguments["decoder_input_ids"] = ids[:, :8]
    return arguments


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
