"""Whether a merge changes a table that other modules of the base share. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.checkpoint.checkpoint import EMBEDDINGS, HEADS
from envpin.diagnose.adapter_names import read_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpin.checkpoint.checkpoint import Checkpoint


def tied_module(base: Checkpoint, adapters: Iterable[Checkpoint]) -> str | None:
    """The embedding or head on which an adapter has a low-rank change, where the base stores one table for both; a
    base without any head looks the same."""
    if base.embedding is None or base.head is not None:
        return None
    modules = (factor.module for adapter in adapters for factor in read_names(adapter.tensors).factors)
    return next((one for one in modules if _is_table(one)), None)


def _is_table(module: str) -> bool:
    pieces = module.split(".")
    return pieces[-1] in (*EMBEDDINGS, *HEADS) and not any(map(str.isdigit, pieces))
