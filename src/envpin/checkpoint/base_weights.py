"""Does this base hold the weights that training loaded? What the record tells against what lies here or on the Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.checkpoint.quantization import of_base
from envpin.manifest.base_weights import WeightsComparison, compare_weights, worst_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.checkpoint.bases import FoundBase
    from envpin.manifest.types import BaseModel


def compare_base(
    recorded: BaseModel | None, found: FoundBase, digests: Mapping[str, str] | None = None
) -> WeightsComparison:
    """`digests` are the sha256 of whole files, where somebody has made them; without them it is what the Hub tells of
    its files, and samples of those of a local folder."""
    base = found.checkpoint
    published = base.published_digests()
    compared = compare_weights(
        recorded,
        base.weight_files,
        published if digests is None else digests,
        base.samples if recorded is not None and recorded.weights else {},
        present=base.names,
    )
    if recorded is None or compared.state in {"equal", "sampled"}:
        return compared
    if recorded.stored_quantized and not _is_stored_quantized(found):
        return WeightsComparison("not compared", reason="training loaded quantized weights, and these are not")
    of_commit = recorded.commit is not None and recorded.commit == found.commit
    if compared.state != "differ" and of_commit and set(base.weight_files) <= set(published):
        return WeightsComparison("equal", reason="of the recorded commit of the Hub")
    return compared


def compare_bases(
    recorded: Iterable[BaseModel | None], found: FoundBase, digests: Mapping[str, str] | None = None
) -> WeightsComparison:
    """As `compare_base` for the one base of several adapters; of their answers the one that says least."""
    return worst_of(compare_base(one, found, digests) for one in recorded)


def _is_stored_quantized(found: FoundBase) -> bool:
    quantization = of_base(found.checkpoint)
    return quantization is not None and quantization.stored
