"""What envpin knows of peft's methods, by the fields of an adapter_config.json.

The engine `stream` puts tensors into peft's layers one layer at a time, on a model without weights. That is right only
where loading an adapter changes nothing of the base and keeps nothing outside the layers. Whatever is not listed here
(a method, a field, the value of an initialisation) is left to peft's own loader on the real base.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

# An adapter_config.json: what a release writes into it is for that release to say.
AdapterConfig = Dict[str, Any]

_EVERY = (
    "auto_mapping base_model_name_or_path exclude_modules inference_mode layers_pattern layers_to_transform"
    " modules_to_save peft_type peft_version revision target_modules task_type unsloth_fixed "
)
# The methods that give the same bits layer by layer (docs/reference/methods-grid.md), and their fields.
STREAMED: Dict[str, FrozenSet[str]] = {
    method: frozenset((_EVERY + fields).split())
    for method, fields in {
        "LORA": "alpha_pattern bias corda_config enable_lora ensure_weight_tying eva_config fan_in_fan_out"
        " init_lora_weights loftq_config lora_alpha lora_bias lora_dropout lora_ga_config megatron_config megatron_core"
        " merge_weights qalora_group_size r rank_pattern runtime_config target_parameters trainable_token_indices"
        " use_bdlora use_dora use_qalora use_rslora velora_config",
        "BONE": "bias init_weights r",
        "C3A": "bias block_size block_size_pattern init_weights",
        "DEFT": "alpha bias decomposition_method deft_dropout fan_in_fan_out init_scale init_weights para r",
        "FOURIERFT": "bias fan_in_fan_out init_weights n_frequency n_frequency_pattern random_loc_seed scaling",
        "GRALORA": "alpha bias fan_in_fan_out gralora_dropout gralora_k hybrid_r init_weights r",
        "HRA": "apply_GS bias init_weights r",
        "IA3": "fan_in_fan_out feedforward_modules init_ia3_weights",
        "LN_TUNING": "",
        "LOHA": "alpha alpha_pattern init_weights module_dropout r rank_dropout rank_pattern use_effective_conv2d",
        "LOKR": "alpha alpha_pattern decompose_both decompose_factor init_weights module_dropout r rank_dropout"
        " rank_dropout_scale rank_pattern use_effective_conv2d",
        "MISS": "bias init_weights mini_r miss_dropout r",
        "OFT": "alpha_pattern bias block_share coft eps fan_in_fan_out init_weights module_dropout"
        " num_cayley_neumann_terms oft_block_size r rank_pattern use_cayley_neumann",
        "ROAD": "group_size init_weights variant",
        "TRAINABLE_TOKENS": "init_weights token_indices",
    }.items()
}
_INITIALISATIONS = ("init_lora_weights", "init_weights", "init_ia3_weights")
# Those that only say how the adapter's own tensors begin; their values come from the file. Training with `lora_ga`
# changed the base: see `refusal`.
_PLAIN_STARTS: Dict[str, FrozenSet[str]] = {
    "LORA": frozenset({"gaussian", "orthogonal", "eva", "mica", "true", "false"}),
    "LOKR": frozenset({"lycoris"}),
    "MISS": frozenset({"bat", "mini"}),
    "BONE": frozenset({"bat"}),
    "C3A": frozenset({"gaussian", "kaiming_uniform", "xavier_uniform"}),
}
_RULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "unmergeable.json")
# Of LoRA: what makes of a layer something else than W + s·B·A.
_VARIANTS = ("kasa_config", "monteclora_config", "alora_invocation_tokens", "arrow_config", "use_dora", "use_bdlora")


def method_of(config: AdapterConfig) -> str:
    return str(config.get("peft_type") or "LORA").upper()


def unusual(config: AdapterConfig) -> List[str]:
    """What of an adapter's config keeps it from being merged layer by layer, in words; empty where nothing does."""
    method = method_of(config)
    known = STREAMED.get(method)
    if known is None:
        return ["`peft_type` is `%s`" % method]
    found = []
    for field, value in sorted(config.items()):
        if field in _INITIALISATIONS and isinstance(value, str):
            if value.lower() not in _PLAIN_STARTS.get(method, ()):
                found.append("`%s` is `%s`" % (field, value))
        elif field not in known and _says_something(value):
            found.append("`%s` is given" % field)
    return found


def _says_something(value: object) -> bool:
    return value not in (None, False, [], {}, "")


def is_additive(config: AdapterConfig) -> bool:
    """Whether the merged weight of each layer is W + s·B·A of the base's own W, and nothing else."""
    fields = [field for field in (*_VARIANTS, "fan_in_fan_out", "velora_config") if _says_something(config.get(field))]
    return method_of(config) == "LORA" and not unusual(config) and not fields


class Refusal(NamedTuple):
    """Why no merge is the model that was trained. `code` is that of the finding with which `check` says so."""

    code: str
    reason: str


def refusal(config: AdapterConfig) -> Optional[Refusal]:
    """The first rule of unmergeable.json that this config meets; `check` reads the same rules."""
    with open(_RULES, encoding="utf-8") as stream:
        rules = json.load(stream)
    for rule in rules:
        value = method_of(config) if rule["field"] == "peft_type" else config.get(rule["field"])
        text = str(value)
        if "begins" in rule:
            met = isinstance(value, str) and value.lower().startswith(rule["begins"])
        else:
            met = text in rule["values"] if "values" in rule else _says_something(value)
        if met:
            shown = "`%s`" % text.lower() if "begins" in rule else "`%s`" % text if "values" in rule else text[:100]
            return Refusal(rule["code"], "`%s` is %s: %s" % (rule["field"], shown, rule["reason"]))
    return None


def loftq_bits(config: AdapterConfig) -> Optional[object]:
    """To how many bits loading this adapter quantizes the base (`loftq_init`); None where it does not."""
    if str(config.get("init_lora_weights")).lower() != "loftq":
        return None
    given = config.get("loftq_config")
    return given.get("loftq_bits", 4) if isinstance(given, dict) else 4


def needs_gpu(config: AdapterConfig, peft_release: Tuple[int, int]) -> bool:
    """Whether this peft loads the adapter on a GPU only: 4 bits always, 8 from 0.19 on, when peft gave up its own
    quantizer for bitsandbytes' (peft/utils/loftq_utils.py)."""
    bits = loftq_bits(config)
    return bits == 4 or (bits == 8 and peft_release >= (0, 19))
