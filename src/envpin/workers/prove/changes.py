"""What an adapter does to which tensor of its base, read from its config and the names and shapes in its file.

Covered here, and recomputed without peft: LoRA with every scaling rule (`use_rslora`, `rank_pattern`, `alpha_pattern`),
on linear layers, `Conv1D`, convolutions and embeddings, with biases of its own; DoRA; PiSSA and OLoRA, which change
their base on loading; IA3; whole tensors (`modules_to_save`, trained biases, grown tables); single rows
(`trainable_token_indices`). What is not, is left to peft, with the reason. Standard library only.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Pattern, Tuple

from ..runtime.scaling import Release, scale_of

Shapes = Dict[str, Tuple[int, ...]]

_PREFIX = "base_model.model."
_SHARED = "base_model"
_PART = re.compile(
    r"^(?P<module>.+?)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector|ia3_l"
    r"|(?:token_adapter\.)?trainable_tokens_delta)(?:\.(?P<rest>.+))?$"
)
_OTHER_KINDS = re.compile(r"\.(?:lora_|ia3_|hada_|lokr_|oft_|boft_|vera_|vblora_|hra_|ln_tuning|token_adapter)")
_WRAPPERS = re.compile(r"\.modules_to_save(?:\.default)?\.|\.(?:token_adapter\.)?base_layer\.")
# Fields that say how training went, not what was trained.
_NEUTRAL = {
    "auto_mapping", "base_model_name_or_path", "bias", "exclude_modules", "fan_in_fan_out", "inference_mode",
    "init_lora_weights", "init_ia3_weights", "layers_pattern", "layers_to_transform", "lora_alpha", "lora_bias",
    "lora_dropout", "megatron_core", "modules_to_save", "peft_type", "peft_version", "r", "rank_pattern",
    "alpha_pattern", "revision", "target_modules", "task_type", "trainable_token_indices", "use_dora", "use_rslora",
    "eva_config", "qalora_group_size", "ensure_weight_tying", "feedforward_modules", "loftq_config", "corda_config",
    "lora_ga_config", "runtime_config", "velora_config", "target_parameters", "token_indices", "init_weights",
}  # fmt: skip
# `Conv1D` models have these as `Linear`, whatever the config says of the others.
_LINEAR_HEADS = ("lm_head", "score", "classifier")
# Loading takes the first change off the base.
_CHANGING_STARTS = ("pissa", "olora")
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica")


class TensorChange(NamedTuple):
    """One tensor of the base that the adapter changes. `kind`: `low-rank` (start + scale · left · right), `dora`,
    `scaled` (start · vector), `whole`, `rows`, or `by-peft`, where `why` says what is not known here. `start` names
    the adapter's own table that stands in for the base's, `initial` what loading takes off the base first."""

    key: str
    module: str
    kind: str
    tensors: Tuple[str, ...]
    left: Optional[str] = None
    right: Optional[str] = None
    embedding: bool = False
    scale: float = 1.0
    magnitude: Optional[str] = None
    start: Optional[str] = None
    initial: Optional[str] = None
    indices: Tuple[int, ...] = ()
    module_is_transposed: bool = False
    why: Optional[str] = None


def read(config: Dict[str, object], shapes: Shapes, peft: Optional[Release] = None) -> List[TensorChange]:
    """What the adapter with this config and these tensors changes; each of its tensors is in one of the changes, only
    repeats one that is, or is shared by all of them. `peft` is the release whose rules hold, or None for the newest."""
    given = _Given(config, shapes, peft, *_grouped(shapes, _parts_of(config)))
    reason = _unknown(config)
    changes: List[TensorChange] = []
    for module, parts in sorted(given.parts.items()):
        if reason is not None:
            names = tuple(sorted(parts.values()))
            changes.append(TensorChange(module + ".weight", module, "by-peft", names, why=reason))
        else:
            changes += _changes_of(module, parts, given)
    used = {name for one in changes for name in one.tensors}
    changes += [_whole(key, name) for key, name in sorted(given.whole.items()) if name not in used]
    used |= {*given.whole.values(), *given.copies}
    return changes + _left(sorted(set(shapes) - used), config, reason)


class _Given(NamedTuple):
    """An adapter's config and shapes; the release of peft; its factors by module and part, its whole tensors by the
    name that they replace, and copies that peft does not read back."""

    config: Dict[str, object]
    shapes: Shapes
    peft: Optional[Release]
    parts: Dict[str, Dict[str, str]]
    whole: Dict[str, str]
    copies: List[str]


def _parts_of(config: Dict[str, object]) -> Pattern[str]:
    """Where the name of a module ends and that of a method's own tensor begins: with the method (`delora_A`)."""
    method = str(config.get("peft_type") or "LORA").lower()
    return re.compile(r"%s|\.%s_" % (_OTHER_KINDS.pattern, re.escape(method)))


def _left(names: List[str], config: Dict[str, object], reason: Optional[str]) -> List[TensorChange]:
    """Tensors of kinds that are not known here, by the module that they belong to."""
    method = str(config.get("peft_type") or "LORA")
    why = reason or "its tensors are those of %s, which is left to peft" % method
    parts = _parts_of(config)
    modules: Dict[str, List[str]] = {}
    for name in names:
        modules.setdefault(parts.split(_plain(name))[0], []).append(name)
    if len(modules) > 1:
        modules.pop(_SHARED, None)  # the projections of VeRA and RandLoRA, which every module shares
    return [
        TensorChange(one + ".weight", one, "by-peft", tuple(mine), why=why) for one, mine in sorted(modules.items())
    ]


def _plain(name: str) -> str:
    return name[len(_PREFIX) :] if name.startswith(_PREFIX) else name


def _grouped(
    shapes: Shapes, parts_of_method: Pattern[str]
) -> Tuple[Dict[str, Dict[str, str]], Dict[str, str], List[str]]:
    parts: Dict[str, Dict[str, str]] = {}
    whole: Dict[str, str] = {}
    copies: List[str] = []
    for name in sorted(shapes):
        plain = _plain(name)
        found = _PART.match(plain)
        if found is not None and ".base_layer" not in found.group("module"):
            part = "rows" if found.group("part").endswith("trainable_tokens_delta") else found.group("part")
            part += ".bias" if (found.group("rest") or "").endswith("bias") else ""
            parts.setdefault(found.group("module"), {})[part] = name
        elif ".original_module." in plain:
            copies.append(name)
        elif plain.endswith((".weight", "bias")) and not parts_of_method.search(_unwrapped(plain)):
            key = _unwrapped(plain)
            if key in whole:
                copies.append(name)
            else:
                whole[key] = name
    return parts, whole, copies


def _unwrapped(name: str) -> str:
    """The name that a tensor saved as a whole has in the base."""
    return _WRAPPERS.sub(".", name)


def _unknown(config: Dict[str, object]) -> Optional[str]:
    """What of the config keeps its formula from being known here, in words."""
    kind = str(config.get("peft_type") or "LORA")
    if kind not in {"LORA", "IA3", "TRAINABLE_TOKENS"}:
        return "%s is left to peft" % kind
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower() not in (*_CHANGING_STARTS, *_PLAIN_STARTS):
        return "`init_lora_weights` is `%s`" % start
    for name, value in sorted(config.items()):
        if name not in _NEUTRAL and value not in (None, False, [], {}, "", 0):
            return "`%s` is set" % name
    return None


def _whole(key: str, name: str) -> TensorChange:
    return TensorChange(key, key.rpartition(".")[0], "whole", (name,), start=name)


def _changes_of(module: str, parts: Dict[str, str], given: _Given) -> List[TensorChange]:
    key = module + ".weight"
    tensors = tuple(sorted(parts.values()))
    if "rows" in parts:
        indices = _indices(given.config.get("trainable_token_indices") or given.config.get("token_indices"), module)
        if indices is None or len(indices) != given.shapes[parts["rows"]][0]:
            why = "`trainable_token_indices` does not name its rows"
            return [TensorChange(key, module, "by-peft", tensors, why=why)]
        start = given.whole.get(key)  # a table that grew is saved next to its trained rows
        tensors = tuple(sorted({*tensors, *([start] if start else [])}))
        return [TensorChange(key, module, "rows", tensors, left=parts["rows"], indices=indices, start=start)]
    if "ia3_l" in parts:
        vector = parts["ia3_l"]
        return [TensorChange(one, module, "scaled", tensors, left=vector) for one in (key, module + ".bias")]
    return _low_rank(module, parts, given)


def _low_rank(module: str, parts: Dict[str, str], given: _Given) -> List[TensorChange]:
    key, config = module + ".weight", given.config
    tensors = tuple(sorted(parts.values()))
    embedding = "lora_embedding_A" in parts
    a, b = (parts.get(("lora_embedding_" if embedding else "lora_") + side) for side in "AB")
    if a is None or b is None or not _fits(given.shapes[a], given.shapes[b]):
        return [TensorChange(key, module, "by-peft", tensors, why="its factors do not belong together")]
    scale = scale_of(config, module, given.shapes[a][0], given.peft)
    start = given.whole.get(key)
    initial = str(config.get("init_lora_weights")).lower()
    # A table that the adapter brings (a head with LoRA) is loaded after the first change was taken off: it is without.
    taken_off = initial in _CHANGING_STARTS and not embedding and start is None and len(given.shapes[a]) == 2
    weight = TensorChange(
        key,
        module,
        "dora" if "lora_magnitude_vector" in parts else "low-rank",
        tuple(sorted({*tensors, *([start] if start else [])})),
        left=b,
        right=a,
        embedding=embedding,
        scale=scale,
        magnitude=parts.get("lora_magnitude_vector"),
        start=start,
        initial=initial if taken_off else None,
        module_is_transposed=bool(config.get("fan_in_fan_out")) and module.rpartition(".")[2] not in _LINEAR_HEADS,
    )
    bias = parts.get("lora_B.bias")
    return [
        weight,
        *([TensorChange(module + ".bias", module, "low-rank", (bias,), left=bias, scale=scale)] if bias else []),
    ]


def _fits(a: Tuple[int, ...], b: Tuple[int, ...]) -> bool:
    return len(a) >= 2 and len(b) >= 2 and a[0] == b[1]


def _indices(given: object, module: str) -> Optional[Tuple[int, ...]]:
    """The rows that `trainable_token_indices` names for a module: a list for the input embedding, or lists by name."""
    if isinstance(given, dict):
        given = next((value for key, value in given.items() if (module + ".").endswith(key + ".")), None)
    if not isinstance(given, list) or not all(isinstance(one, int) for one in given):
        return None
    return tuple(given)
