"""What a log says about shapes: 400 `size mismatch` lines have one cause, which their shapes together show. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.core.sizes import counted

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
_VOCABULARY = re.compile(
    r"(?:embed_tokens|lm_head|wte|embed_in|embed_out|word_embeddings|shared|tok_embeddings|output|output_layer)"
    r"(?:\.(?:base_layer|modules_to_save(?:\.\w+)?|original_module))?\.(?:weight|bias)$"
)
_A = re.compile(r"\.lora_(?:embedding_)?A\b")
_INSIDE = re.compile(r"\.(?:layers|layer|h|blocks?)\.|lora_magnitude")
# The head of a task, wrapped as peft wraps it or not: its rows are labels.
_HEAD = re.compile(
    r"(?:^|\.)(?:score|classifier|qa_outputs|classification_head|cls_head|classif)"
    r"(?:\.(?:original_module|modules_to_save(?:\.\w+)?|out_proj|dense|fc|\d))*\.(?:weight|bias)$"
)
# Keys and values have fewer rows than the hidden size where heads share them, which code without the notion ignores.
_KEY_VALUE = re.compile(r"\.(?:k_proj|v_proj)\.(?:weight|bias)$")
_POSITIONS = re.compile(r"(?:position_embeddings?|embed_positions|wpe|pos_embed|relative_attention_bias)(?:\.weight)?$")
_TOWER = re.compile(r"(?:^|\.)(?:visual|vision_tower|vision_model|audio_tower|image_encoder)\.")
# Factors of peft's other methods: the axes whose length is the module's width, and those that the config gives.
_METHOD = re.compile(
    r"\.(?P<part>oft_R|boft_[Rs]|hra_u|hada_w\d_[ab]|hada_t\d|lokr_\w+|vera_lambda_[bd]|ia3_l|bone_block|"
    r"miss_block|fourierft_spectrum|c3a_kernel|road_\w+|delora_\w+|randlora_\w+|vblora_\w+|"
    r"waveft_spectrum|shira_weight)\b"
)  # fmt: skip
_WIDTH_AXES = {"hra_u": 0, "hada_w1_a": 0, "hada_w2_a": 0, "hada_w1_b": 1, "hada_w2_b": 1, "vera_lambda_b": 0}
_B = re.compile(r"\.lora_(?:embedding_)?B\b")


class Line(NamedTuple):
    """One parameter that did not fit: its shape in the checkpoint, and in the model."""

    name: str
    found: tuple[int, ...]
    expected: tuple[int, ...]


def read_line(text: str) -> Line | None:
    """The parameter and shapes that a line speaks of."""
    for pattern in (_TORCH, _OLD, _SET):
        match = pattern.search(text)
        if match is not None:
            shapes = [part for at, part in enumerate(match.groups(), 1) if at != match.re.groupindex["name"]]
            return Line(match["name"], _shape(shapes[0]), _shape(shapes[1]))
    cells = [cell.strip() for cell in text.split("|")]
    if len(cells) >= 3 and cells[1] == "MISMATCH":
        shapes = re.findall(_SHAPE, cells[2])
        if len(shapes) == 2 and cells[0]:
            return Line(cells[0].split()[-1][:300], _shape(shapes[0]), _shape(shapes[1]))
    return None


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,18}", text))


def cause_of(line: Line) -> str:
    """The code that one line alone speaks for."""
    found, expected = line.found, line.expected
    if 0 in found or 0 in expected or _placeholder(found, expected, line.name):
        return "empty-tensors-zero3"
    if (code := _by_role(line)) is not None:
        return code
    if _packed(found) != _packed(expected):
        return "quantized-base-packed"
    if _VOCABULARY.search(line.name) or _looks_like_vocabulary(line):
        return _vocabulary(found, expected)
    if len(found) == len(expected) == 2 and found == expected[::-1]:
        return "moe-layout"
    return _module(line)


def _by_role(line: Line) -> str | None:
    """What the module's role tells: a factor of another method, a head, positions, a vision tower, stacked experts."""
    found, expected = line.found, line.expected
    if (method := _METHOD.search(line.name)) is not None:
        return _of_method(method["part"], found, expected)
    if _HEAD.search(line.name) and found[1:] == expected[1:]:
        return "task-head"
    if _KEY_VALUE.search(line.name) and len(found) == len(expected) == 2 and expected == (found[1], found[1]):
        return "config-needs-newer-transformers" if found[0] < expected[0] else None
    if _POSITIONS.search(line.name) or (_TOWER.search(line.name) and len(found) != 2):
        return "architecture-drift"
    return _of_stack(line) if 3 in {len(found), len(expected)} else None


def _of_method(part: str, found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """A factor that is not LoRA's: the base is at fault only where the module's own width differs."""
    if part == "ia3_l" or len(found) != len(expected):
        return "wrong-base-hidden-size" if len(found) == len(expected) else "method-shape-mismatch"
    if part == "oft_R" and len(found) == 2:
        widths = [blocks * side for shape in (found, expected) if (side := _side(shape[1])) for blocks in shape[:1]]
        return "wrong-base-hidden-size" if len(widths) == 2 and widths[0] != widths[1] else "method-shape-mismatch"
    axis = _WIDTH_AXES.get(part)
    other = axis is not None and axis < len(found) and found[axis] != expected[axis]
    return "wrong-base-hidden-size" if other else "method-shape-mismatch"


def _side(triangle: int) -> int | None:
    """The side of a square whose upper triangle has so many entries."""
    side = round((1 + (1 + 8 * triangle) ** 0.5) / 2)
    return side if side * (side - 1) // 2 == triangle else None


def _of_stack(line: Line) -> str:
    """Experts are stacked in three dimensions, and convolutions over time have them too."""
    if "expert" in line.name or (len(line.found) == len(line.expected) and sorted(line.found) == sorted(line.expected)):
        return "moe-layout"
    return _module(line)


def words_for(code: str, line: Line) -> str | None:
    """What the shapes of one line say more exactly than the catalogue; None where that says all."""
    found, expected = line.found, line.expected
    if code == "task-head" and found and expected:
        return (
            f"The head of the task has {counted(found[0], 'label')} in the checkpoint, and {expected[0]} in this model"
        )
    if code == "config-needs-newer-transformers" and found and expected:
        return (
            f"The config's `num_key_value_heads` was ignored: the keys have {counted(found[0], 'row')}, and this "
            "transformers "
            f"makes {expected[0]}. Llama has it from 4.31.0 on"
        )
    if code == "method-shape-mismatch" and ".oft_R" in line.name and len(found) == len(expected) == 2:
        one, other = _side(found[1]), _side(expected[1])
        if one and other:
            return (
                f"`oft_R` holds {counted(found[0], 'block')} of {one}, and the config asks for {expected[0]} of "
                f"{other}: the "
                f"block size differs, and the base is right ({found[0]}·{one} = {expected[0]}·{other})"
            )
    return None


def _placeholder(found: tuple[int, ...], expected: tuple[int, ...], name: str) -> bool:
    """DeepSpeed before 0.5 left one element where it took the others away."""
    return (
        (1,) in {found, expected}
        and found != expected
        and (len(found) != len(expected) or _INSIDE.search(name) is not None)
    )


def _module(line: Line) -> str:
    found, expected = line.found, line.expected
    factor_a, factor_b = bool(_A.search(line.name)), bool(_B.search(line.name))
    if factor_a or factor_b:
        rank, width = (0, 1) if factor_a else (1, 0)
        # Unlike numbers of axes: peft before 0.3 stacked several ranks into one convolution.
        if len(found) != len(expected) or len(found) < 2 or found[rank] != expected[rank]:
            return "rank-mismatch"
        return "wrong-base-hidden-size" if found[width] != expected[width] else "rank-mismatch"
    return "wrong-base-hidden-size" if _INSIDE.search(line.name) else "architecture-drift"


def _vocabulary(found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if found[1:] != expected[1:]:
        return "wrong-base-hidden-size"
    if not found or not expected or found[0] > expected[0]:
        return "vocab-grown"
    here, there = found[0], expected[0]
    if any(there == -(-here // to) * to for to in (8, 16, 32, 64, 128)):
        return "padding-mismatch"
    # Vocabularies are padded to multiples of 128 before release; a trainer cuts them to the tokens in use.
    return "vocab-shrunk-padded" if there % 128 == 0 and there - here < 2048 else "vocab-mismatch"


def _looks_like_vocabulary(line: Line) -> bool:
    """A nameless matrix whose rows alone differ, and are as many as tokens: no hidden size is that of a vocabulary."""
    rows = min(line.found[:1] + line.expected[:1], default=0)
    return line.name == "weight" and len(line.found) == 2 and line.found[1:] == line.expected[1:] and rows >= 30_000


def _packed(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and shape[1] == 1 and shape[0] > 4096


# A cause of the whole model, which explains what other lines seem to say. A rank explains no vocabulary.
_WHOLE = ("empty-tensors-zero3", "quantized-base-packed", "wrong-base-hidden-size", "moe-layout")


def common_cause(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """The causes of a set of lines, each with the lines that it explains."""
    by_code: dict[str, list[Line]] = {}
    for line in lines:
        by_code.setdefault(cause_of(line), []).append(line)
    for code in _WHOLE:
        if code in by_code:
            rest = [line for other, some in by_code.items() if other != code for line in some]
            return {code: by_code[code] + rest}
    return by_code
