"""What a log says about shapes: 400 `size mismatch` lines have one cause, which their shapes together show. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.diagnose.axes import (
    HIDDEN,
    LABELS,
    RANK,
    RANKS,
    TRAINED,
    VIRTUAL,
    VOCABULARY,
    WIDTHS,
    Width,
    differing,
    factor_part,
    is_of_an_adapter,
    plain_what,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHAPE = r"torch\.Size\(\[([\d,\s]*)\]\)"
# torch's own wording, of transformers up to 4 and of peft; and the table that transformers 5 prints before it raises.
_TORCH = re.compile(
    r"size mismatch for (?P<name>[^\s:]{1,300}):? copying a param(?:eter)? with shape " + _SHAPE
    + r" from checkpoint, the shape in current model is " + _SHAPE
)  # fmt: skip
_OLD = re.compile(
    r"(?P<name>[\w.]{1,300}): found shape "
    + _SHAPE
    + r" in the checkpoint and "
    + _SHAPE
    + r" in the model instantiated"
)
# accelerate's wording, which names the last part of the parameter only.
_SET = re.compile(
    r"Trying to set a tensor of shape " + _SHAPE + r" in \"(?P<name>[^\"\s]{1,300})\" \(which has shape " + _SHAPE
)
ANCHORS = ("Trying to set a tensor of shape ", "size mismatch for ", "MISMATCH", " in the checkpoint and ")
# What sd-scripts and its like call the two factors, and how their names begin.
_FACTORS = {"lora_down": "lora_A", "lora_up": "lora_B"}
_DOWN_OR_UP = re.compile(r"(?<=\.)lora_(?:down|up)(?=\.weight$)")
OF_A_NETWORK = re.compile(r"^(?:lora|lycoris)_(?:unet|te\d?|transformer|prior|dit)_\w+\.lora_")
_INSIDE = re.compile(r"\.(?:layers|layer|h|blocks?)\.|lora_magnitude")
# Keys and values have fewer rows than the hidden size where heads share them, which code without the notion ignores.
_KEY_VALUE = re.compile(r"\.(?:k_proj|v_proj)\.(?:weight|bias)$")
# What a module's own load_state_dict calls its one parameter: peft fills the embedding of prompts that way, and
# transformers 4.50 to 4.57 load every module so. The line before tells the module's class.
BARE = frozenset({"weight", "bias"})
_MODULE = re.compile(r"loading state_dict for (\w{1,80}):")
# Without a name, the number of rows tells embeddings apart: people give a prompt some tens of tokens, tables of
# positions have hundreds, and no hidden size is as large as a vocabulary.
_MOST_PROMPTS, _LEAST_TOKENS, _MOST_LABELS = 200, 30_000, 100
# ImageNet-1k, with a class for the background, and ImageNet-21k as two of its releases count it.
_OF_IMAGES = frozenset({1000, 1001, 21_841, 21_843})
_OF_AXIS = {
    RANK: "rank-mismatch", RANKS: "rank-mismatch", LABELS: "task-head", VIRTUAL: "method-shape-mismatch",
    TRAINED: "method-shape-mismatch",
}  # fmt: skip
# Codes that the number of tokens explains, and another model as well.
OF_VOCABULARY = frozenset({"vocab-grown", "vocab-mismatch", "padding-mismatch", "vocab-shrunk-padded"})


class Line(NamedTuple):
    """One parameter that did not fit: its shape in the checkpoint, and in the model. `partial` is a name of which only
    the last part is told; `module` the class of the module that was filled, for a name that says nothing."""

    name: str
    found: tuple[int, ...]
    expected: tuple[int, ...]
    partial: bool = False
    module: str = ""


def read_line(text: str) -> Line | None:
    """The parameter and shapes that a line speaks of."""
    for pattern in (_TORCH, _OLD, _SET):
        match = pattern.search(text)
        if match is not None:
            shapes = [part for at, part in enumerate(match.groups(), 1) if at != match.re.groupindex["name"]]
            name = _DOWN_OR_UP.sub(lambda part: _FACTORS[part[0]], match["name"])
            return Line(name, _shape(shapes[0]), _shape(shapes[1]), partial=pattern is _SET)
    cells = [cell.strip() for cell in text.split("|")]
    if len(cells) >= 3 and cells[1] == "MISMATCH":
        shapes = re.findall(_SHAPE, cells[2])
        if len(shapes) == 2 and cells[0]:
            return Line(cells[0].split()[-1][:300], _shape(shapes[0]), _shape(shapes[1]))
    return None


def in_module(line: Line, before: str) -> Line:
    """The line with the class of the module that `before`, the text before it, says was filled."""
    told = _MODULE.findall(before)
    return line._replace(module=told[-1]) if told else line


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,18}", text))


def cause_of(line: Line) -> str:
    """The code that one line alone speaks for."""
    found, expected = line.found, line.expected
    if 0 in found or 0 in expected or _placeholder(found, expected, line.name):
        return "empty-tensors-zero3"
    if factor_part(line.name) is None and _packed(found) != _packed(expected):
        return "quantized-base-packed"
    if is_turned(line):
        return "moe-layout" if _is_of_experts(line) else "architecture-drift"
    if _KEY_VALUE.search(line.name) and len(found) == len(expected) == 2 and expected == (found[1], found[1]):
        return "config-needs-newer-transformers"
    return _by_axes(line)


def _by_axes(line: Line) -> str:
    """What the axes tell in which the shapes differ: another model before all else, as it explains the rest."""
    widths = {plain_what(one): one for one in widths_of(line)}
    if widths.keys() & WIDTHS:
        another = HIDDEN in widths or is_of_an_adapter(line.name)
        return "wrong-base-hidden-size" if another else "architecture-drift"
    if (rows := widths.get(VOCABULARY)) is not None:
        return _vocabulary(rows.found, rows.expected)
    return next((code for what, code in _OF_AXIS.items() if what in widths), None) or _without_axes(line)


def _without_axes(line: Line) -> str:
    """Of shapes with unlike numbers of axes, or of axes that the method's settings give."""
    found, expected = line.found, line.expected
    part = factor_part(line.name)
    if part is None:
        return "moe-layout" if 3 in {len(found), len(expected)} and "expert" in line.name else "architecture-drift"
    if not part.startswith("lora_"):
        return "method-shape-mismatch"
    # A convolution of one point in the checkpoint, a linear layer in the model, or the other way round.
    if len(found) != len(expected) and squeezed(found) == squeezed(expected):
        return "wrong-base-hidden-size"
    return "moe-layout" if "expert" in line.name and 3 in {len(found), len(expected)} else "rank-mismatch"


def widths_of(line: Line) -> tuple[Width, ...]:
    """The axes in which the two shapes differ."""
    name, found, expected = line.name, line.found, line.expected
    if _is_head(line):
        name = f"classifier.{name}"
    elif name in BARE and len(found) == len(expected) == 2 and found[1] == expected[1]:
        rows = min(found[0], expected[0])
        if rows >= _LEAST_TOKENS:
            name = "embed_tokens.weight"
        elif max(found[0], expected[0]) <= _MOST_PROMPTS and line.module == "Embedding":
            name = "prompt_embeddings"
        else:
            return ()
    return differing(name, found, expected)


def _is_head(line: Line) -> bool:
    """Whether a linear layer without a name has as few rows as only the head of a task has, or the classes of ImageNet;
    sizes of hidden layers are multiples of eight."""
    rows = {line.found[:1], line.expected[:1]} - {()}
    counts = [one[0] for one in rows if one[0] not in _OF_IMAGES]
    few = len(rows) == 2 and all(one <= _MOST_LABELS for one in counts) and any(one % 8 for one in counts)
    return line.name in BARE and line.module == "Linear" and few and line.found[1:] == line.expected[1:]


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the axes of length one."""
    return tuple(one for one in shape if one != 1)


def is_turned(line: Line) -> bool:
    """Whether in and out are swapped. A factor is turned only where experts hold it."""
    found, expected = line.found, line.expected
    if len(found) != len(expected) or found == expected or len(found) < 2:
        return False
    if len(found) == 2:
        return found == expected[::-1] and (factor_part(line.name) is None or _is_of_experts(line))
    return len(found) == 3 and sorted(found) == sorted(expected) and factor_part(line.name) is None


def _is_of_experts(line: Line) -> bool:
    return "expert" in line.name or len(line.found) == 3


def _placeholder(found: tuple[int, ...], expected: tuple[int, ...], name: str) -> bool:
    """DeepSpeed before 0.5 left one element where it took the others away."""
    return (
        (1,) in {found, expected}
        and found != expected
        and (len(found) != len(expected) or _INSIDE.search(name) is not None)
    )


def _vocabulary(here: int, there: int) -> str:
    if here > there:
        return "vocab-grown"
    if any(there == -(-here // to) * to for to in (8, 16, 32, 64, 128)):
        return "padding-mismatch"
    # Vocabularies are padded to multiples of 128 before release; a trainer cuts them to the tokens in use.
    return "vocab-shrunk-padded" if there % 128 == 0 and there - here < 2048 else "vocab-mismatch"


def _packed(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and shape[1] == 1 and shape[0] > 4096


# A cause of the whole model, which explains what other lines seem to say. A rank explains no vocabulary.
_WHOLE = ("empty-tensors-zero3", "quantized-base-packed", "wrong-base-hidden-size", "moe-layout")


def common_cause(lines: Iterable[Line], *, of_a_folder: bool = False) -> dict[str, list[Line]]:
    """The causes of a set of lines, each with the lines that it explains. `of_a_folder`: `from_pretrained` filled the
    model, which made it by the config.json that lies with the weights."""
    found = _common_cause(lines)
    other = found.get("wrong-base-hidden-size", [])
    if of_a_folder and other and not any(is_of_an_adapter(line.name) for line in other):
        found["architecture-drift"] = [*found.pop("wrong-base-hidden-size"), *found.get("architecture-drift", [])]
    return found


def _common_cause(lines: Iterable[Line]) -> dict[str, list[Line]]:
    by_code: dict[str, list[Line]] = {}
    for line in lines:
        by_code.setdefault(cause_of(line), []).append(line)
    for code in _WHOLE:
        if code in by_code:
            rest = [line for other, some in by_code.items() if other != code for line in some]
            return {code: by_code[code] + rest}
    # Where a whole model's sizes differ, so may its vocabulary: it is another model.
    drift = by_code.get("architecture-drift", [])
    if any(plain_what(one) in WIDTHS for line in drift for one in widths_of(line)):
        for code in OF_VOCABULARY & by_code.keys():
            drift += by_code.pop(code)
    return by_code
