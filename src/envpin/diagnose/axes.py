"""What the axes of a parameter count, by the role of its module: hidden size, heads, experts, rank, vocabulary. Pure.

Names are those of transformers' and diffusers' modules, and of peft's factors (peft/tuners/*/layer.py); which axis of a
factor is the module's width and which the config gives was read from the shapes that peft 0.11 to 0.21 makes.
"""

from __future__ import annotations

import re
from collections import Counter
from math import isqrt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    Shape = tuple[int, ...]

HIDDEN, MIDDLE, HEAD = "hidden size", "intermediate size", "head size"
QUERIES, KEYS, TOGETHER = "query heads · head size", "key/value heads · head size", "queries, keys and values together"
EXPERTS, OUT, IN = "number of experts", "output width", "input width"
BINS, TEXT, PROMPT = "input channels", "width of the text encoder", "width of the prompts"
RANK, RANKS = "rank", "rank · number of experts"
VOCABULARY, LABELS, POSITIONS = "vocabulary rows", "labels", "positions"
VIRTUAL, TRAINED = "virtual tokens", "trained tokens"
# What only another base explains, where an adapter's tensor differs in it.
WIDTHS = frozenset({HIDDEN, MIDDLE, HEAD, QUERIES, KEYS, TOGETHER, EXPERTS, OUT, IN, BINS, TEXT, PROMPT})
# How many of the differing widths a sentence names.
_NAMED = 3

_WRAPPER = re.compile(r"\.(?:base_layer|original_module|modules_to_save(?:\.[^.]+)?)(?=\.|$)")
_FACTOR = re.compile(
    r"(?:^|\.)(?P<part>lora_(?:embedding_)?[AB]|lora_magnitude_vector|lora_E|lora_ranknum|ia3_l|hada_w\d_[ab]|hada_t\d|"
    r"lokr_\w+|vera_[AB]|vera_lambda_[bd]|oft_[rR]|boft_[RsS]|hra_u|bone_block|miss_block|fourierft_spectrum|c3a_kernel|"
    r"road_\w+|delora_\w+|randlora_\w+|vblora_\w+|waveft_spectrum|shira_weight|trainable_tokens_delta)"
    r"(?:\.(?!weight$)[^.]+)?(?:\.weight)?$"
)
_PROMPT = re.compile(r"(?:^|\.)prompt_(?:embeddings|encoder\.[^.]+\.embedding\.weight)$")
_VOCABULARY_NAME = re.compile(
    r"(?:^|\.)(?:embed_tokens|lm_head|wte|embed_in|embed_out|word_embeddings|shared|tok_embeddings|output|output_layer|"
    r"proj_out|text_embed\.text_embed)\.(?:weight|bias)$"
)
_HEAD_OF_TASK = re.compile(
    r"(?:^|\.)(?:score|classifier|qa_outputs|classification_head|cls_head|classif)(?:\.(?:out_proj|dense|fc|\d))*"
    r"\.(?:weight|bias)$"
)
_POSITIONS = re.compile(r"(?:position_embeddings?|embed_positions|wpe|pos_embed|relative_attention_bias)(?:\.weight)?$")
_TOWER = re.compile(r"(?:^|\.)(?:(?P<vision>visual|vision_tower|vision_model|image_encoder)|audio_tower|audio_model)\.")
# By the last parts of a module's name, the first that fits: what its rows count, and its columns.
_MODULES = tuple(
    (re.compile(rf"(?:^|\.)(?:{pattern})$"), rows, columns)
    for pattern, rows, columns in (
        (r"v_head\.summary", OUT, HIDDEN),
        (r"q_norm|k_norm|q_layernorm|k_layernorm|query_norm|key_norm|norm_q|norm_k", HEAD, HEAD),
        (r"\w*(?:layernorm|norm|ln_\w+|LayerNorm|layer_norm)", HIDDEN, HIDDEN),
        (r"attn2\.to_[kv]", HIDDEN, TEXT),
        (r"mixer\.in_proj", OUT, HIDDEN),
        (r"mixer\.out_proj", HIDDEN, IN),
        (r"q_proj|query|to_q|wq", QUERIES, HIDDEN),
        (r"k_proj|v_proj|key|value|to_k|to_v|wk|wv", KEYS, HIDDEN),
        (r"qkv_proj|qkv|Wqkv|wqkv|c_attn|query_key_value|in_proj|in_proj_weight|W_pack", TOGETHER, HIDDEN),
        (r"o_proj|out_proj|to_out\.0|attn\.c_proj|self_attention\.dense|attention\.(?:wo|dense)", HIDDEN, QUERIES),
        (r"(?:attention\.)output\.dense", HIDDEN, HIDDEN),
        (r"(?:mlp|moe|block_sparse_moe|feed_forward|router)\.(?:gate|router)|router(?:\.layer)?", EXPERTS, HIDDEN),
        (r"gate_proj|up_proj|gate_up_proj|w1|w3|fc1|fc_in|c_fc|wi(?:_\d)?|dense_h_to_4h|intermediate\.dense",
         MIDDLE, HIDDEN),
        (r"down_proj|w2|fc2|fc_out|wo|dense_4h_to_h|mlp\.c_proj|output\.dense", HIDDEN, MIDDLE),
        (r"patch_embed\.proj|patch_embedding|encoder\.conv1|conv_in", OUT, BINS),
    )
)  # fmt: skip
# Of GPT-2's `Conv1D`, whose columns are its outputs: the wider axis tells it from a linear layer of this name.
_CONV1D = re.compile(r"(?:^|\.)(?:c_attn|c_fc|mlp\.c_proj)\.weight$")
_EXPERTS = re.compile(r"(?:^|\.)experts$")
_ADAPTER = re.compile(r"^base_model\.|\.modules_to_save\b")


class Width(NamedTuple):
    """One axis in which two shapes differ: what it counts, its length in the checkpoint and in the model."""

    what: str
    found: int
    expected: int


def is_of_an_adapter(name: str) -> bool:
    """Whether a parameter's name is one that peft gives, and no whole model's own."""
    return (_ADAPTER.search(name) or _FACTOR.search(name) or _PROMPT.search(name)) is not None


def factor_part(name: str) -> str | None:
    """`lora_A`, `oft_R`, …: which part of which method a parameter is; None for a whole weight."""
    found = _FACTOR.search(name)
    return None if found is None else found["part"]


def holds_vocabulary(module: str) -> bool:
    """Whether a module is an embedding of tokens, or the head that gives their logits."""
    last = module.rpartition(".")[2]
    if last.endswith("_proj"):
        return False  # most modules by far, asked for each of their factors
    return _VOCABULARY_NAME.search(f"{_plain(module)}.weight") is not None


def differing(name: str, found: Shape, expected: Shape) -> tuple[Width, ...]:
    """The axes in which two shapes of a parameter differ. Empty where they have unlike numbers of axes, or where what
    differs is counted by nothing that is known."""
    if len(found) != len(expected):
        return ()
    factor = _FACTOR.search(name)
    if factor is not None:
        module = _plain(name[: factor.start()])
        if (blocks := _of_blocks(factor["part"], found, expected, module)) is not None:
            return blocks
        whats = _of_factor(factor["part"], module, len(found), found)
    else:
        whats = _of_weight(name, found)
    tower = _tower(name)
    return tuple(
        Width(f"{what}{tower}" if what in WIDTHS else what, here, there)
        for what, here, there in zip(whats, found, expected, strict=False) if what and here != there
    )  # fmt: skip


def plain_what(width: Width) -> str:
    """What an axis counts, without the tower it lies in."""
    return re.sub(r" of the \w+ tower$", "", width.what)


def widths_text(widths: Iterable[Width]) -> str:
    """`hidden size 3072 (here 4096), intermediate size …`: what differs, the most frequent first."""
    counts = Counter(widths)
    most = sorted(counts, key=lambda one: (one.what != HIDDEN, -counts[one]))[:_NAMED]
    return ", ".join(f"{one.what} {one.found} (here {one.expected})" for one in most)


def positions_text(name: str, found: Shape, expected: Shape) -> str | None:
    """What tables of positions of two lengths say; None for other parameters."""
    if _POSITIONS.search(name) is None or len(found) != len(expected) or not found:
        return None
    axis = next((at for at, (here, there) in enumerate(zip(found, expected, strict=True)) if here != there), 0)
    here, there = found[axis], expected[axis]
    says = f"the checkpoint has {here} positions, this model {there}"
    if _tower(name) and (sides := [_patches(count) for count in (here, there)]) and None not in sides:
        return f"{says} ({sides[0]} and {sides[1]} patches): another `image_size` or `patch_size`"
    return f"{says}: another `max_position_embeddings`"


def _patches(count: int) -> str | None:
    """`24·24`: the patches of a square image, with or without a place for its class."""
    for patches in (count - 1, count):
        side = isqrt(patches)
        if side > 1 and side * side == patches:
            return f"{side}·{side}"
    return None


def _plain(name: str) -> str:
    return _WRAPPER.sub("", name)


def _tower(name: str) -> str:
    found = _TOWER.search(name)
    return "" if found is None else f" of the {'vision' if found['vision'] else 'audio'} tower"


def _of_weight(name: str, shape: Shape = ()) -> tuple[str, ...]:
    """What each axis of a whole weight counts."""
    if _PROMPT.search(name) is not None:
        return VIRTUAL, PROMPT
    plain = _plain(name)
    if _VOCABULARY_NAME.search(plain) is not None:
        return VOCABULARY, HIDDEN
    if _HEAD_OF_TASK.search(plain) is not None:
        return LABELS, HIDDEN
    if _POSITIONS.search(plain) is not None:
        return POSITIONS, HIDDEN
    whats = _of_module(re.sub(r"\.(?:weight|bias)$", "", plain))
    wider = next((at for at, what in enumerate(whats) if what in (MIDDLE, TOGETHER)), None)
    if wider is not None and _CONV1D.search(plain) is not None and len(shape) == 2 and shape[wider] < shape[1 - wider]:
        return whats[::-1]
    return whats


def _of_module(module: str) -> tuple[str, str]:
    return next(((rows, columns) for pattern, rows, columns in _MODULES if pattern.search(module)), (OUT, IN))


def _of_factor(part: str, module: str, axes: int, shape: Shape) -> tuple[str, ...]:
    """What each axis of a factor counts; "" for one that the method's own settings give."""
    rows, columns = _of_module(module)
    rank = RANKS if _EXPERTS.search(module) else RANK
    if holds_vocabulary(module) and not module.endswith(("lm_head", "proj_out")):
        rows, columns = HIDDEN, HIDDEN
    table: dict[str, tuple[str, ...]] = {
        "lora_A": (rank, columns), "lora_B": (rows, rank),
        "lora_embedding_A": (RANK, VOCABULARY), "lora_embedding_B": (HIDDEN, RANK),
        "lora_magnitude_vector": ("", rows) if axes > 1 else (rows,),
        "hada_w1_a": (rows,), "hada_w2_a": (rows,), "hada_w1_b": ("", columns), "hada_w2_b": ("", columns),
        "vera_A": ("", IN), "vera_B": (OUT,), "vera_lambda_b": (rows,),
        "hra_u": (columns,), "bone_block": ("", rows), "miss_block": ("", rows), "boft_s": (rows,),
        "ia3_l": ("", columns if axes == 2 else OUT) if shape[:1] == (1,) else (rows,),
        "trainable_tokens_delta": (TRAINED, HIDDEN),
    }  # fmt: skip
    return table.get(part, ())


def _of_blocks(part: str, found: Shape, expected: Shape, module: str) -> tuple[Width, ...] | None:
    """The width that the blocks of a factor make up together; None for a factor that is not made of blocks."""
    axis = {"oft_r": 0, "oft_R": 1, "boft_R": 1, "bone_block": 0, "miss_block": 0}.get(part)
    if axis is None or (axis == 0 and len(found) < 3) or len(found) < 2:
        return None
    widths = [_width_of_blocks(shape) for shape in (found, expected)]
    if None in widths or widths[0] == widths[1]:
        return ()
    return (Width(f"{_of_module(module)[axis]}{_tower(module)}", widths[0] or 0, widths[1] or 0),)


def _width_of_blocks(shape: Shape) -> int | None:
    """Blocks are squares, or (`oft_R` from peft 0.16 on) the upper triangles of squares. None where one block is shared
    by all, which says nothing of the width."""
    if len(shape) == 2:
        side = side_of_triangle(shape[1])
        return None if side is None else shape[0] * side
    return None if shape[-3] == 1 else shape[-3] * shape[-1]


def side_of_triangle(entries: int) -> int | None:
    """The side of a square whose upper triangle, without its diagonal, has so many entries."""
    side = round((1 + (1 + 8 * entries) ** 0.5) / 2)
    return side if side * (side - 1) // 2 == entries else None


def shape_text(shape: tuple[int, ...]) -> str:
    """`[32001, 4096]`."""
    return str(list(shape))
