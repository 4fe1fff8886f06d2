"""What an adapter does to which tensor of its base, read from its config and the names and shapes in its file.

Covered here, and recomputed without peft: LoRA with every scaling rule (`use_rslora`, `rank_pattern`, `alpha_pattern`),
on linear layers, `Conv1D`, convolutions and embeddings, with biases of its own; DoRA; PiSSA and OLoRA, which change
their base on loading; IA3; whole tensors (`modules_to_save`, trained biases, grown tables); single rows
(`trainable_token_indices`). What is not, is left to peft, with the reason. Standard library only.
"""

import math
import re
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

Shapes = Dict[str, Tuple[int, ...]]

_PREFIX = "base_model.model."
_PART = re.compile(
    r"^(?P<module>.+?)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector|ia3_l"
    r"|(?:token_adapter\.)?trainable_tokens_delta)(?:\.(?P<rest>.+))?$"
)
_OTHER_KINDS = re.compile(r"\.(?:lora_|ia3_|hada_|lokr_|oft_|boft_|vera_|vblora_|hra_|ln_tuning|token_adapter)")
# Fields that say how training went, not what was trained.
_NEUTRAL = {
    "auto_mapping", "base_model_name_or_path", "bias", "exclude_modules", "fan_in_fan_out", "inference_mode",
    "init_lora_weights", "init_ia3_weights", "layers_pattern", "layers_to_transform", "lora_alpha", "lora_bias",
    "lora_dropout", "megatron_core", "modules_to_save", "peft_type", "peft_version", "r", "rank_pattern",
    "alpha_pattern", "revision", "target_modules", "task_type", "trainable_token_indices", "use_dora", "use_rslora",
    "eva_config", "qalora_group_size", "ensure_weight_tying", "feedforward_modules", "loftq_config", "corda_config",
    "lora_ga_config", "runtime_config", "velora_config", "target_parameters",
}  # fmt: skip
# `Conv1D` models have these as `Linear`, whatever the config says of the others.
_LINEAR_HEADS = ("lm_head", "score", "classifier")
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica")


class Change(NamedTuple):
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


class Adapter(NamedTuple):
    """`changes` by the tensor that they change; `unused` tensors of the file are no part of any."""

    changes: List[Change]
    unused: List[str]


def read(config: Dict[str, Any], shapes: Shapes) -> Adapter:
    """What the adapter with this config and these tensors changes."""
    groups = _grouped(shapes)
    reason = _unknown(config)
    changes: List[Change] = []
    used: Set[str] = set()
    for module, parts in sorted(groups.parts.items()):
        found = _changes_of(module, parts, config, shapes, groups, reason)
        changes += found
        used |= {name for one in found for name in one.tensors}
    for key, name in sorted(groups.whole.items()):
        if name not in used:
            changes.append(_whole(key, name, reason))
            used.add(name)
    known = used | set(groups.copies)
    left = sorted(set(shapes) - known)
    for module in sorted({_OTHER_KINDS.split(_plain(name))[0] for name in left}):
        mine = tuple(name for name in left if _OTHER_KINDS.split(_plain(name))[0] == module)
        kind = str(config.get("peft_type") or "LORA")
        why = reason or "its tensors are those of %s, which is left to peft" % kind
        changes.append(Change(module + ".weight", module, "by-peft", mine, why=why))
    return Adapter(changes, [])


class _Groups(NamedTuple):
    parts: Dict[str, Dict[str, str]]
    whole: Dict[str, str]
    copies: List[str]


def _plain(name: str) -> str:
    return name[len(_PREFIX) :] if name.startswith(_PREFIX) else name


def _grouped(shapes: Shapes) -> _Groups:
    """Factors by module, whole tensors by the name that they replace, and copies that peft does not read back."""
    groups = _Groups({}, {}, [])
    for name in sorted(shapes):
        plain = _plain(name)
        found = _PART.match(plain)
        if found is not None and ".base_layer" not in found.group("module"):
            part = found.group("part")
            if part.endswith("trainable_tokens_delta"):
                part = "rows"
            if (found.group("rest") or "").split(".")[-1] == "bias":
                part += ".bias"
            groups.parts.setdefault(found.group("module"), {})[part] = name
        elif ".original_module." in plain:
            groups.copies.append(name)
        elif plain.endswith((".weight", ".bias")) and not _OTHER_KINDS.search(plain):
            key = re.sub(r"\.modules_to_save(?:\.default)?\.", ".", plain).replace(".base_layer.", ".")
            if key in groups.whole:
                groups.copies.append(name)
            else:
                groups.whole[key] = name
    return groups


def _unknown(config: Dict[str, Any]) -> Optional[str]:
    """What of the config keeps its formula from being known here, in words."""
    kind = str(config.get("peft_type") or "LORA")
    if kind not in {"LORA", "IA3"}:
        return "%s is left to peft" % kind
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower() not in ("pissa", "olora", *_PLAIN_STARTS):
        return "`init_lora_weights` is `%s`" % start
    for name, value in sorted(config.items()):
        if name not in _NEUTRAL and value not in (None, False, [], {}, "", 0):
            return "`%s` is set" % name
    return None


def _whole(key: str, name: str, reason: Optional[str]) -> Change:
    if reason is not None and not key.endswith((".weight", ".bias")):
        return Change(key, key.rpartition(".")[0], "by-peft", (name,), why=reason)
    return Change(key, key.rpartition(".")[0], "whole", (name,), start=name)


def _changes_of(
    module: str, parts: Dict[str, str], config: Dict[str, Any], shapes: Shapes, groups: _Groups, reason: Optional[str]
) -> List[Change]:
    key = module + ".weight"
    tensors = tuple(sorted(parts.values()))
    if reason is not None:
        return [Change(key, module, "by-peft", tensors, why=reason)]
    if "rows" in parts:
        indices = _indices(config.get("trainable_token_indices"), module)
        if indices is None or len(indices) != shapes[parts["rows"]][0]:
            why = "`trainable_token_indices` does not name its rows"
            return [Change(key, module, "by-peft", tensors, why=why)]
        return [Change(key, module, "rows", tensors, left=parts["rows"], indices=indices)]
    if "ia3_l" in parts:
        return [Change(key, module, "scaled", tensors, left=parts["ia3_l"]),
                Change(module + ".bias", module, "scaled", tensors, left=parts["ia3_l"])]  # fmt: skip
    embedding = "lora_embedding_A" in parts
    a, b = (parts.get(("lora_embedding_" if embedding else "lora_") + side) for side in "AB")
    if a is None or b is None or not _fits(shapes[a], shapes[b]):
        return [Change(key, module, "by-peft", tensors, why="its factors do not belong together")]
    scale = scale_of(config, module, shapes[a][0])
    start = groups.whole.get(key)
    names = tuple(sorted({*tensors, *([start] if start else [])}))
    initial = str(config.get("init_lora_weights")).lower()
    found = [
        Change(
            key, module, "dora" if "lora_magnitude_vector" in parts else "low-rank", names, left=b, right=a,
            embedding=embedding, scale=scale, magnitude=parts.get("lora_magnitude_vector"), start=start,
            module_is_transposed=bool(config.get("fan_in_fan_out")) and module.split(".")[-1] not in _LINEAR_HEADS,
            initial=initial if initial in ("pissa", "olora") and not embedding and len(shapes[a]) == 2 else None,
        )
    ]  # fmt: skip
    if "lora_B.bias" in parts:
        bias = parts["lora_B.bias"]
        found.append(Change(module + ".bias", module, "low-rank", (bias,), left=bias, scale=scale))
    return found


def _fits(a: Tuple[int, ...], b: Tuple[int, ...]) -> bool:
    return len(a) >= 2 and len(b) >= 2 and a[0] == b[1]


def scale_of(config: Dict[str, Any], module: str, rank: int) -> float:
    """peft's scaling of a module: alpha / r, or alpha / sqrt(r) with `use_rslora`."""
    alpha = float(_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", 8)))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _pattern(patterns: Optional[Dict[str, Any]], module: str, default: Any) -> Any:
    """peft matches a pattern against the end of a module's path, or, with `^`, against all of it."""
    for key, value in (patterns or {}).items():
        try:
            if re.match(key if key.startswith("^") else r"(.*\.)?(%s)$" % key, module):
                return value
        except re.error:
            continue
    return default


def _indices(given: Any, module: str) -> Optional[Tuple[int, ...]]:
    """The rows that `trainable_token_indices` names for a module: a list for the input embedding, or lists by name."""
    if isinstance(given, dict):
        given = next((value for key, value in given.items() if (module + ".").endswith(key + ".")), None)
    if not isinstance(given, list) or not all(isinstance(one, int) for one in given):
        return None
    return tuple(given)
