"""What the parts of a config and the quantization of its weights ask of transformers, beyond the type of the model.

A LLaVA around Qwen3 loads only where its own type and that of its `text_config` are known: the classes listed here look
the type of a part up among all that the release knows. Classes with parts of their own (`qwen2_5_vl_text`) do not.
What was collected of the stack is read only for weights that are quantized.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from envpin.matrix.conditions import Need
from envpin.matrix.signs import shorten, value_at
from envpin.matrix.spelling import misread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from envpin.matrix.support import Support

_BOTH = ("text_config", "vision_config")
_TEXT = ("text_config",)
_CODERS = ("encoder", "decoder")
# `sub_configs` of the configuration classes of 4.57.6 and 5.24.0: the keys whose class is AutoConfig in both, or in the
# only one that has the type.
LOOKED_UP: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "aya_vision": _BOTH, "blip-2": _TEXT, "cohere2_vision": _BOTH, "deepseek_vl": _BOTH, "deepseek_vl_hybrid": _BOTH,
    "encoder-decoder": _CODERS, "exaone4_5": _TEXT, "fast_vlm": _BOTH, "florence2": _TEXT, "fuyu": _TEXT,
    "glmasr": ("text_config", "audio_config"), "got_ocr2": _TEXT, "granite_speech": ("text_config", "projector_config"),
    "idefics2": _TEXT, "idefics3": _TEXT, "instructblip": _TEXT, "instructblipvideo": _TEXT, "internvl": _TEXT,
    "janus": _TEXT, "kimi_k25": _TEXT, "lighton_ocr": _BOTH, "llava": _BOTH, "llava_next": _BOTH,
    "llava_next_video": _BOTH, "llava_onevision": _BOTH, "minicpmv4_6": _TEXT, "mistral3": _BOTH, "paligemma": _BOTH,
    "qwen2_audio": ("text_config", "audio_config"), "shieldgemma2": _BOTH, "smolvlm": _TEXT,
    "speech-encoder-decoder": _CODERS, "video_llama_3": _TEXT, "video_llava": _BOTH, "vipllava": _BOTH,
    "vision-encoder-decoder": _CODERS, "vision-text-dual-encoder": _BOTH,
    "voxtral": ("text_config", "audio_config"),
})  # fmt: skip


# The text part of each such family's tiny model, which is what the runs of the family are of.
RUN_WITH: Mapping[str, str] = MappingProxyType({
    "florence2": "bart", "glm-asr": "llama", "idefics3": "llama", "internvl3": "qwen2", "llava": "llama",
    "llava-next": "mistral", "minicpm-v-4.6": "qwen3_5_text", "ministral3": "ministral3", "mistral3": "mistral",
    "paligemma": "gemma", "paligemma2": "gemma2", "pixtral": "mistral", "qwen2-audio": "qwen2", "smolvlm2": "llama",
    "voxtral": "llama",
})  # fmt: skip


# Where a config says so, the second as compressed-tensors wrote it at first.
_QUANTIZED = ("quantization_config", "compression_config")


class Floor(NamedTuple):
    """The first release of transformers that a field of the config lets in, and what for; None where none does."""

    release: str | None
    reason: str


def part_floors(kind: str, config: Mapping[str, object], support: Support) -> tuple[Floor, ...]:
    """The types of the parts that the class of `kind` looks up: the first release that knows each."""
    code = config.get("auto_map")
    if isinstance(code, dict) and "AutoConfig" in code:
        return ()  # its own class reads the parts, as it likes
    found = []
    for key in LOOKED_UP.get(kind, ()):
        part = config.get(key)
        own = part.get("model_type") if isinstance(part, dict) else None
        if isinstance(own, str) and own.strip():
            window = support.window(own)
            found.append(Floor(window[0] if window else None, f"knows `{shorten(own)}`, the type of its `{key}`"))
    return tuple(found)


def method_floor(config: Mapping[str, object] | None) -> Floor | None:
    """The first release that loads weights of this quantization; None where they are not quantized, or where the first
    release whose list was read has it already."""
    method = quantization_of(config)
    if method is None:
        return None
    from envpin.matrix.stack import METHODS, load_stack

    tool = load_stack().tools.get("transformers")
    if tool is None or "quantizations" not in tool.registries:
        return None
    releases = tool.listing("quantizations", METHODS.get(method, (method,)))
    reason = f"loads weights quantized with {shorten(method)}"
    if not releases:
        return Floor(None, reason)
    return None if releases[0] == tool.read[0] else Floor(releases[0].version, reason)


def spelling_floors(config: Mapping[str, object]) -> tuple[Floor, ...]:
    """The first releases that read what transformers 5 spells otherwise than 4, where 4 would take another value."""
    lost = misread(config)
    return tuple(
        Floor(release, f"reads the config as transformers 5 writes it: older ones {words}")
        for release in dict.fromkeys(one.release for one in lost)
        for words in (" and ".join(one.words for one in lost if one.release == release),)
    )


# Loaded with one set of weights on 4.43.2 to 5.24.0: until 4.50 the lengths of a yarn began at max_position_embeddings,
# and from 4.51 to 4.55 its factor was max_position_embeddings through the original length, whatever the config said.
_YARN_ORIGINAL, _YARN_FACTOR = "4.51.0", "4.56.0"


def yarn_floor(config: Mapping[str, object]) -> Floor | None:
    """The first release that computes the config's yarn as it is written; None where every release that has yarn does,
    or where the config names no original length."""
    text = config.get("text_config")
    part = text if isinstance(text, dict) and value_at(config, "rope_scaling.rope_type") is None else config
    factor, original = (value_at(part, f"rope_scaling.{one}") for one in ("factor", "original_max_position_embeddings"))
    longest = part.get("max_position_embeddings")
    if value_at(part, "rope_scaling.rope_type") != "yarn" or not all(map(_is_number, (factor, original, longest))):
        return None
    if float(original) * float(factor) != float(longest):  # type: ignore[arg-type]  # numbers, by the line before
        return Floor(_YARN_FACTOR, "takes the factor of this yarn from `rope_scaling`, not from the lengths")
    return Floor(_YARN_ORIGINAL, "reads `original_max_position_embeddings` of a yarn") if longest != original else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def method_releases() -> dict[str, str]:
    """Each quantization that transformers lists, as configs call it, and the release of its floor; empty for none."""
    from envpin.matrix.stack import METHODS, load_stack

    tool = load_stack().tools.get("transformers")
    listed = tool.registries.get("quantizations", {}) if tool is not None else {}
    floors = {one: method_floor({"quantization_config": {"quant_method": one}}) for one in sorted({*listed, *METHODS})}
    return {name: (floor.release or "") if floor else "" for name, floor in floors.items()
            if floor is None or floor.release}  # fmt: skip


def not_run(family: str, config: Mapping[str, object], *, native: bool = True) -> tuple[str, ...]:
    """What the runs of a family say nothing of."""
    found = []
    method, text = quantization_of(config), config.get("text_config")
    if method is not None:
        found.append(
            f"The weights are quantized with {shorten(method)}: what was run of the family had weights that are not."
        )
    code = config.get("auto_map")
    if native and isinstance(code, dict) and any(isinstance(key, str) and key.startswith("AutoModel") for key in code):
        found.append(
            "`auto_map` names code of the model's own, which `trust_remote_code` runs: the pins and the family's runs "
            "are of the class of transformers, which may compute something else."
        )
    own, ran = text.get("model_type") if isinstance(text, dict) else None, RUN_WITH.get(family)
    if ran is not None and isinstance(own, str) and own.strip() and own != ran:
        found.append(f"The text model is a `{shorten(own)}`: the family's runs had a `{ran}`.")
    return tuple(found)


def quantization_of(config: Mapping[str, object] | None) -> str | None:
    """The method that a config says the weights are quantized with."""
    for part in (config, config.get("text_config") if config else None):
        if not isinstance(part, dict):
            continue
        own: dict[str, object] = next((part[one] for one in _QUANTIZED if isinstance(part.get(one), dict)), {})
        method = own.get("quant_method")
        if isinstance(method, str) and method.strip():
            return method.strip().lower()
        if own.get("load_in_4bit") or own.get("load_in_8bit"):
            return "bitsandbytes"
        table = part.get("quantization")
        if isinstance(table, dict) and {"bits", "group_size"} <= table.keys():
            return "mlx"  # as MLX LM writes it, next to a quantization_config that names no method
    return None


def with_floors(needs: Sequence[Need], floors: Iterable[Floor], kind: str, support: Support) -> tuple[Need, ...]:
    """`needs`, and each floor that keeps a release out which they let in and which knows the type."""
    known = [one for one in floors if one.release is not None]
    if not known:
        return tuple(needs)
    from packaging.specifiers import SpecifierSet  # most of what a resolve may take, and few configs have a floor

    joined = list(needs)
    for floor in known:
        bounds = [SpecifierSet(one.versions) for one in joined if one.package == "transformers"]
        before = (one.version for one in support.transformers[: support.positions.get(floor.release or "", 0)])
        if any(support.knows(one, kind) and all(bound.contains(one) for bound in bounds) for one in before):
            joined.append(Need("transformers", f">={floor.release}", f"first release that {floor.reason}"))
    return tuple(joined)


def risen(release: str | None, floors: Iterable[Floor], support: Support) -> str | None:
    """`release`, or the settled patch of the highest floor above it; None where a floor has no release."""
    for floor in floors:
        if release is None or floor.release is None:
            return None
        if support.positions.get(release, 0) < support.positions.get(floor.release, 0):
            release = support.settled(floor.release)
    return release
