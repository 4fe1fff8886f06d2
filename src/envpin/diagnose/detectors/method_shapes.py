"""Shapes of every method's tensors against what its config says, without the base."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envpin.core.sizes import counted, verb
from envpin.diagnose.axes import side_of_triangle
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.shapes import places, seen_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.core.findings import Finding
    from envpin.diagnose.subject import CheckSubject


class _Axis(NamedTuple):
    """The axis of a tensor (by a part of its name) whose length a field of the config gives."""

    part: str
    axis: int
    field: str
    dims: int = 0  # only of tensors with so many axes; 0: of all


_AXES: dict[str, tuple[_Axis, ...]] = {
    "HRA": (_Axis("hra_u", 1, "r"),),
    "LOHA": (_Axis("hada_w1_b", 0, "r"), _Axis("hada_w2_b", 0, "r")),
    "FOURIERFT": (_Axis("fourierft_spectrum", 0, "n_frequency"),),
    "VERA": (_Axis("vera_lambda_d", 0, "r"),),
    "BOFT": (_Axis("boft_R", -1, "boft_block_size"),),
    "WAVEFT": (_Axis("waveft_spectrum", 0, "n_frequency"),),
    "PROMPT_TUNING": (_Axis("prompt_embeddings", 0, "num_virtual_tokens"),),
    "P_TUNING": (_Axis("prompt_embeddings", 0, "num_virtual_tokens"),),
    "PREFIX_TUNING": (_Axis("prompt_embeddings", 0, "num_virtual_tokens"),),
    # `bat` keeps blocks of r × r, the others r rows.
    "MISS": (_Axis("miss_block", 0, "r", 2), _Axis("miss_block", -1, "r", 3)),
    "BONE": (_Axis("bone_block", 0, "r", 2), _Axis("bone_block", -1, "r", 3)),
    "C3A": (_Axis("c3a_kernel", -1, "block_size"),),
    "RANDLORA": (_Axis("randlora_lambda", 0, "r"),),
    "VBLORA": (_Axis("vblora_vector_bank", 0, "num_vectors"), _Axis("vblora_vector_bank", 1, "vector_length")),
    "DELORA": (_Axis("delora_A", 0, "r"),),
    "GRALORA": (_Axis("gralora_A", 0, "gralora_k"),),
}
# Fields that give single modules another size.
_PATTERNS = ("rank_pattern", "n_frequency_pattern", "block_size_pattern")


def method_shapes(subject: CheckSubject, kind: str) -> Iterator[Finding]:
    """Tensors whose shapes are not those of the config; `kind` is the method."""
    config, tensors = subject.adapter_config, subject.folder.adapter_tensors
    if kind == "OFT":
        yield from _oft(subject)
    if kind == "TRAINABLE_TOKENS":
        yield from _tokens(subject)
    for axis in _AXES.get(kind, ()):
        wanted = config.get(axis.field)
        if type(wanted) is not int or wanted < 1 or any(map(config.get, _PATTERNS)):
            continue
        wanted *= _copies(subject, kind)
        wrong = [
            one
            for name, one in tensors.items()
            if axis.part in name
            and one.shape
            and 0 not in one.shape
            and _along(one, axis) != wanted
            and axis.dims in {0, len(one.shape)}
        ]
        if wrong:
            text = (
                f"{counted(len(wrong), 'tensor')} {verb(len(wrong), 'has', 'have')} "
                f"{_along(wrong[0], axis) or 'no axis'} where `{axis.field}` says {wanted}"
            )
            yield finding(
                "method-shape-mismatch", text, seen_of(wrong, f"{axis.field} {wanted}"), names=places(subject)
            )


def _copies(subject: CheckSubject, kind: str) -> int:
    """Prompts are kept once for the encoder and once for the decoder; those of prefix tuning once for both."""
    copies = subject.adapter_config.get("num_transformer_submodules")
    both = kind in {"PROMPT_TUNING", "P_TUNING"} and copies == 2
    return 2 if both else 1


def _tokens(subject: CheckSubject) -> Iterator[Finding]:
    """`trainable_tokens_delta` has a row for each token of the config; LoRA's own are looked at in `declared.py`."""
    said = subject.adapter_config.get("token_indices")
    if not isinstance(said, list):
        return
    for name, tensor in subject.folder.adapter_tensors.items():
        if "trainable_tokens_delta" in name and len(tensor.shape) == 2 and len(said) != tensor.shape[0]:
            text = (
                f"`trainable_tokens_delta` has {counted(tensor.shape[0], 'row')}, and `token_indices` names "
                f"{counted(len(said), 'token')}"
            )
            yield finding(
                "method-shape-mismatch", text, seen_of([tensor], counted(len(said), "row")), names=places(subject)
            )


def _along(tensor: Tensor, axis: _Axis) -> int | None:
    """The length of an axis; None of a tensor that has fewer."""
    shape = tensor.shape
    return shape[axis.axis] if -len(shape) <= axis.axis < len(shape) else None


def _oft(subject: CheckSubject) -> Iterator[Finding]:
    """`oft_R` holds the upper triangle of each block: [blocks, size (size - 1) / 2]; peft before 0.16 held squares."""
    size, count = subject.adapter_config.get("oft_block_size"), subject.adapter_config.get("r")
    shared = subject.adapter_config.get("block_share") is True
    wrong: list[tuple[Tensor, int, int]] = []
    for name, tensor in subject.folder.adapter_tensors.items():
        if "oft_R" not in name or len(tensor.shape) != 2 or 0 in tensor.shape:
            continue
        blocks, inner = tensor.shape
        own = side_of_triangle(inner)
        if own is None:
            continue
        if (type(size) is int and size > 0 and own != size) or (
            not size and not shared and type(count) is int and count > 0 and blocks != count
        ):
            wrong.append((tensor, blocks, own))
    if wrong:
        _, blocks, own = wrong[0]
        says = f"blocks of {size}" if size else counted(count if isinstance(count, int) else None, "block")
        text = (
            f"`oft_R` has {counted(blocks, 'block')} of {own} in {counted(len(wrong), 'module')}, "
            f"adapter_config.json says {says}"
        )
        fix = (
            f"set `oft_block_size` to {own} and `r` to 0, if this config is of another run than the weights",
            "take config and weights of the same checkpoint; the base is not at fault",
        )
        expected = f"{counted(blocks * own // size, 'block')} of {size}" if type(size) is int and size else str(count)
        seen = seen_of([one for one, *_ in wrong], expected)
        yield finding("method-shape-mismatch", text, seen, fix=fix, names=places(subject))
