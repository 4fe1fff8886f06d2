"""Settings of a method that peft refuses on a module of the base's widths, before it reads any tensor.

Each refusal was had from peft 0.21.2; the conditions are those of peft/tuners/*/layer.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.findings import Evidence
from envpin.core.sizes import counted, verb
from envpin.diagnose.axes import shape_text
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.shapes import SHOWN, places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.core.findings import Finding
    from envpin.diagnose.subject import CheckSubject

# The field, and which widths have to be multiples of it.
_DIVIDES: dict[str, tuple[str, bool, bool]] = {
    "ROAD": ("group_size", True, False),
    "C3A": ("block_size", True, True),
    "BOFT": ("boft_block_size", False, True),
    "VBLORA": ("vector_length", True, True),
}
# Fields that give single modules another value.
_PATTERNS = ("rank_pattern", "block_size_pattern", "n_frequency_pattern")
# GPT-2's `Conv1D` holds its weight the other way round.
_CONV1D = re.compile(r"(?:^|\.)(?:c_attn|c_proj|c_fc)$")


def method_widths(subject: CheckSubject, kind: str) -> Iterator[Finding]:
    """Modules that no layer of this method can be made on; `kind` is the method."""
    yield from _tokens(subject, kind)
    compared, config = subject.comparison, subject.adapter_config
    if compared is None or any(map(config.get, _PATTERNS)):
        return
    refused: list[tuple[str, tuple[int, ...], str]] = []
    for module in compared.names.modules:
        shape = compared.expected.shape_of(f"{module}.weight")
        if shape is None or len(shape) != 2 or _CONV1D.search(module):
            continue
        if (why := _refusal(kind, config, *shape)) is not None:
            refused.append((module, shape, why))
    if refused:
        modules = counted(len(refused), "module")
        text = f"peft makes no {kind} layer on {modules} of this base: {refused[0][2]}"
        seen = [Evidence(file="adapter_config.json", found=f"{one}: {shape_text(shape)}") for one, shape, _ in refused]
        fix = ("take the base, and the adapter_config.json, of the run that trained these tensors",)
        yield finding("method-shape-mismatch", text, seen[:SHOWN], fix=fix, names=places(subject))


def _refusal(kind: str, config: Mapping[str, object], out: int, into: int) -> str | None:
    """Why peft refuses these settings on a module of so many outputs and inputs."""
    if kind in _DIVIDES:
        field, outputs, inputs = _DIVIDES[kind]
        size = config.get(field)
        if type(size) is not int or size < 1:
            return None
        odd = next((one for one, asked in ((out, outputs), (into, inputs)) if asked and one % size), None)
        return None if odd is None else f"{odd} is no multiple of `{field}` {size}"
    if kind in {"FOURIERFT", "WAVEFT"}:
        count = config.get("n_frequency")
        too_many = type(count) is int and count > out * into
        return f"`n_frequency` {count} is more than its {out * into} weights" if too_many else None
    rank = config.get("r")
    if kind == "SHIRA" and type(rank) is int and rank * (out + into) > out * into:
        return f"`r` {rank} asks for {rank * (out + into)} of its {out * into} weights"
    return None


def _tokens(subject: CheckSubject, kind: str) -> Iterator[Finding]:
    """Trained rows of an embedding that has fewer; a longer tokenizer next to the adapter tells that it grew."""
    rows = None if subject.base is None else subject.base.embedding_rows
    field = "token_indices" if kind == "TRAINABLE_TOKENS" else "trainable_token_indices"
    said = subject.adapter_config.get(field)
    lists = list(said.values()) if isinstance(said, dict) else [said]
    indices = [one for some in lists if isinstance(some, list) for one in some if type(one) is int]
    tokenizer = subject.folder.tokenizer
    grown = tokenizer is not None and tokenizer.length is not None and rows is not None and tokenizer.length > rows
    beyond = [] if rows is None or grown else [one for one in indices if one >= rows]
    if beyond:
        named = f"`{field}` names {counted(len(beyond), 'token')}"
        text = f"{named} that {verb(len(beyond), 'has', 'have')} no row in the base: {beyond[0]} of {rows}"
        seen = [Evidence(file="adapter_config.json", found=f"{field}: {beyond[0]}", expected=f"below {rows}")]
        fix = ("take the base that training loaded, or resize its embedding as training did",)
        yield finding("method-shape-mismatch", text, seen, fix=fix, names=places(subject))
