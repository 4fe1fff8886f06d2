"""What becomes of the embedding when an adapter meets its base. Pure.

With R rows in the base, A in the adapter (if it carries any) and T tokens beside the adapter:

===========================  =======  =====================================================================
A = R                        keep
A > R                        grow     to A: the adapter's rows are the truth, padding is not
A < R, A = T                 overlay  a trainer shrank a padded vocabulary: A rows over the first A, keep R
A < R otherwise              refuse   another base, or a save that was cut off
no A, T ≤ R or unknown       keep
no A, T > R                  refuse   the rows of the new tokens were trained or made, and never saved
===========================  =======  =====================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from envpin.core.sizes import counted, verb

# What trainers and configs pad vocabularies to (`pad_to_multiple_of`): 8 for tensor cores of fp16, 16 to 128 for
# blocks and shards of Megatron, NeMo and vLLM. Any smaller multiple would explain a difference by chance.
_PADDINGS = (8, 16, 32, 64, 128)


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingPlan:
    """`rows` is what the merged embedding has; `code` a code of the findings catalogue, or None where nothing is up."""

    action: Literal["keep", "grow", "overlay", "refuse"]
    rows: int
    code: str | None
    reason: str


def plan_embedding(*, base_rows: int, adapter_rows: int | None, tokenizer_length: int | None) -> EmbeddingPlan:
    """The row of the table above that holds."""
    if adapter_rows is None:
        return _without_rows(base_rows, tokenizer_length)
    if adapter_rows == base_rows:
        return EmbeddingPlan(action="keep", rows=base_rows, code=None, reason="adapter and base have the same rows")
    if adapter_rows > base_rows:
        code = "padding-mismatch" if _padded(adapter_rows, tokenizer_length) else "vocab-grown"
        reason = f"training grew the vocabulary from {base_rows} to {counted(adapter_rows, 'row')}"
        if code == "padding-mismatch":
            reason += f" ({counted(tokenizer_length, 'token')}, padded)"
        return EmbeddingPlan(action="grow", rows=adapter_rows, code=code, reason=reason)
    return _fewer_rows(base_rows, adapter_rows, tokenizer_length)


def _without_rows(base_rows: int, tokenizer_length: int | None) -> EmbeddingPlan:
    if tokenizer_length is None or tokenizer_length <= base_rows:
        reason = "the adapter carries no embedding, and the base has a row for every token"
        return EmbeddingPlan(action="keep", rows=base_rows, code=None, reason=reason)
    lost = tokenizer_length - base_rows
    reason = (
        f"the tokenizer has {counted(tokenizer_length, 'token')}, the base {counted(base_rows, 'row')}, and the "
        f"adapter carries no embedding: the {counted(lost, 'row')} of the new tokens "
        f"{verb(lost, 'was', 'were')} never saved"
    )
    return EmbeddingPlan(action="refuse", rows=base_rows, code="vocab-rows-not-saved", reason=reason)


def _fewer_rows(base_rows: int, adapter_rows: int, tokenizer_length: int | None) -> EmbeddingPlan:
    if adapter_rows == tokenizer_length:
        padded = _padded(base_rows, adapter_rows)
        return EmbeddingPlan(
            action="overlay",
            rows=base_rows,
            code="padding-mismatch" if padded else "vocab-shrunk-padded",
            reason=f"training kept {counted(adapter_rows, 'row')}, one for each token, of a vocabulary padded to "
            f"{base_rows:,}: they go over the first {adapter_rows:,}, the padding stays",
        )
    if (
        tokenizer_length is not None
        and _padded(adapter_rows, tokenizer_length)
        and _padded(base_rows, tokenizer_length)
    ):
        reason = (
            f"{counted(tokenizer_length, 'token')} were padded to {counted(adapter_rows, 'row')} in training, "
            f"but to {base_rows} in the base"
        )
        return EmbeddingPlan(action="refuse", rows=base_rows, code="padding-mismatch", reason=reason)
    tokens = "no tokenizer to explain it" if tokenizer_length is None else counted(tokenizer_length, "token")
    reason = (
        f"the adapter has {counted(adapter_rows, 'row')}, the base {base_rows}, with {tokens}: another base, "
        "or a save cut off"
    )
    return EmbeddingPlan(action="refuse", rows=base_rows, code="vocab-mismatch", reason=reason)


def _padded(rows: int, tokens: int | None) -> bool:
    """Whether `rows` is what padding `tokens` to a usual multiple gives, and more than `tokens`."""
    return tokens is not None and 0 < tokens < rows and any(rows == -(-tokens // to) * to for to in _PADDINGS)
