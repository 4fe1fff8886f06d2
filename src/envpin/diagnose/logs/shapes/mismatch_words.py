"""What is said of parameters that do not fit, from their shapes: the sizes that differ, and the steps. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.sizes import counted
from envpin.diagnose.axes import (
    LABELS,
    RANK,
    RANKS,
    TRAINED,
    VIRTUAL,
    VOCABULARY,
    WIDTHS,
    is_of_an_adapter,
    plain_what,
    positions_text,
    shape_text,
    side_of_triangle,
    widths_text,
)
from envpin.diagnose.logs.shapes.mismatch import BARE, OF_A_NETWORK, OF_VOCABULARY, is_turned, squeezed, widths_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from envpin.diagnose.logs.shapes.mismatch import Line


def _steps_for_a_rank(lines: list[Line]) -> tuple[str, ...]:
    """By what the weights are loaded into: a network of sd-scripts, or an adapter of peft."""
    rank = numbers_for(lines)["rank"]
    if OF_A_NETWORK.search(lines[0].name) is not None:
        return (
            f"train on with the rank of the file: --network_dim {rank}, or --dim_from_weights",
            "or leave the file out (--network_weights), where a new LoRA is meant",
        )
    if rank == "?":
        return ("take config and weights of the same checkpoint",)
    return (
        "take config and weights of the same checkpoint",
        f"where a training resumes: LoraConfig(r={rank}) as it was, or a new output folder and no old checkpoint",
        f"only if nothing else changed: `r` to {rank} in adapter_config.json, and `lora_alpha` to what training used",
    )


def words_for(code: str, lines: list[Line]) -> str | None:
    """What the shapes say more exactly than the catalogue; None where that says all."""
    line = lines[0]
    says = _SAYS.get(code)
    if code in OF_VOCABULARY and not any(is_of_an_adapter(one.name) for one in lines):
        says = _of_rows
    return None if says is None or not line.found or not line.expected else says(lines)


def numbers_for(lines: list[Line]) -> dict[str, str]:
    """The numbers that the catalogue's steps name, each of the axis that counts it; `?` where no axis does."""
    widths = [one for line in lines for one in widths_of(line)]
    asked = {"rows": VOCABULARY, "rank": RANK, "labels": LABELS}
    return {name: next((str(one.found) for one in widths if one.what == what), "?") for name, what in asked.items()}


def steps_for(code: str, lines: list[Line]) -> tuple[str, ...]:
    """What helps where the catalogue's steps do not fit: the weights are a whole model's, or the shapes do not tell the
    rank."""
    if code == "rank-mismatch" and (steps := _steps_for_a_rank(lines)):
        return steps
    if any(is_of_an_adapter(one.name) or one.partial for one in lines) or not lines[0].found:
        return ()
    if code in OF_VOCABULARY:
        rows = numbers_for(lines)["rows"]
        return (
            f"take the config.json that belongs to these weights (`vocab_size` {rows})",
            f"give the model their size before they are loaded: `model.resize_token_embeddings({rows})`",
        )
    if code == "task-head":
        labels = numbers_for(lines)["labels"]
        return (
            f"take the config.json that was saved with these weights, or load them with num_labels={labels}",
            "where a new head is to be trained: ignore_mismatched_sizes=True",
        )
    if code == "wrong-base-hidden-size":
        return ("take weights and config.json of the same model",)
    return ()


def _of_another_model(lines: list[Line]) -> str | None:
    """Which sizes differ, where the module's role tells what they are."""
    widths = [one for line in lines for one in widths_of(line) if plain_what(one) in WIDTHS]
    if widths and any(is_of_an_adapter(line.name) for line in lines):
        return f"The adapter was trained on a base of other sizes: {widths_text(widths)}"
    if widths:
        return f"The weights are of a model of other sizes than config and code make: {widths_text(widths)}"
    if (positions := next(filter(None, (positions_text(*line[:3]) for line in lines)), None)) is not None:
        return f"{positions[0].upper()}{positions[1:]}"
    if any(line.name in BARE for line in lines):
        return _of_no_name(next(line for line in lines if line.name in BARE))
    return _of_layout(lines)


def _of_no_name(line: Line) -> str:
    module = f" of {line.module}" if line.module else ""
    return (
        f"A weight{module} whose place the log does not name has shape {shape_text(line.found)} in the checkpoint, "
        f"{shape_text(line.expected)} in this model: another number of tokens, labels, positions or "
        "ranks, or another model"
    )


def _of_layout(lines: list[Line]) -> str | None:
    """The same numbers in another order, or with axes of length one."""
    if any(is_turned(line) for line in lines):
        return "In and out are swapped: a linear layer on one side, GPT-2's `Conv1D` on the other"
    if any(len(line.found) != len(line.expected) and squeezed(line.found) == squeezed(line.expected)
           for line in lines):  # fmt: skip
        return "A convolution stands on one side and a linear layer on the other: it is another model"
    return None


def _of_method(lines: list[Line]) -> str | None:
    line = lines[0]
    found, expected = line.found, line.expected
    if ".oft_R" in line.name and len(found) == len(expected) == 2:
        one, other = side_of_triangle(found[1]), side_of_triangle(expected[1])
        if one and other:
            return (
                f"`oft_R` holds {counted(found[0], 'block')} of {one}, and the config asks for {expected[0]} of "
                f"{other}: the block size differs, and the base is right ({found[0]}·{one} = {expected[0]}·{other})"
            )
    field = {VIRTUAL: "num_virtual_tokens", TRAINED: "trainable_token_indices"}
    for width in widths_of(line):
        if width.what in field:
            return (
                f"The tensors have {counted(width.found, width.what.removesuffix('s'))}, and `{field[width.what]}` of "
                f"adapter_config.json asks for {width.expected}"
            )
    return None


def _of_rows(lines: list[Line]) -> str:
    rows = numbers_for(lines)["rows"]
    return f"The vocabulary size is {rows} in the checkpoint and {lines[0].expected[0]} in this model"


def _of_head(lines: list[Line]) -> str:
    found, expected = lines[0].found, lines[0].expected
    return f"The head of the task has {counted(found[0], 'label')} in the checkpoint, and {expected[0]} in this model"


def _of_ignored_heads(lines: list[Line]) -> str:
    return (
        f"The config's `num_key_value_heads` was ignored: the keys have {counted(lines[0].found[0], 'row')}, and this "
        f"transformers makes {lines[0].expected[0]}. Llama has it from 4.31.0 on"
    )


def _of_rank(lines: list[Line]) -> str | None:
    """None where the shapes do not tell the rank."""
    rank = next((one for one in widths_of(lines[0]) if one.what == RANK), None)
    if OF_A_NETWORK.search(lines[0].name) is not None:
        here = "" if rank is None else f": {rank.found} in the file, {rank.expected} here"
        return f"The LoRA network was made with another rank (network_dim) than the file of its weights has{here}"
    ranks = next((one for one in widths_of(lines[0]) if one.what == RANKS), None)
    if ranks is not None:
        return (
            f"Rank times number of experts is {ranks.found} in the checkpoint and {ranks.expected} in this model: "
            "another rank than the tensors have, or a base with another number of experts"
        )
    if rank is None:
        return None
    return (
        f"The adapter's weights have LoRA rank {rank.found}, and what they are loaded into has another one, "
        f"{rank.expected}: adapter_config.json is of another run, or the code that resumes one gives another `r`"
    )


_SAYS: dict[str, Callable[[list[Line]], str | None]] = {
    "wrong-base-hidden-size": _of_another_model,
    "architecture-drift": _of_another_model,
    "task-head": _of_head,
    "config-needs-newer-transformers": _of_ignored_heads,
    "method-shape-mismatch": _of_method,
    "rank-mismatch": _of_rank,
}
