"""Fields that transformers 5 spells otherwise than 4: what 4 makes of a config with them. Pure.

5.24.0 wrote configs and weights of some fifty tiny models of these types, which 4.57.6, 4.53.3, 4.48.3 and 4.44.2 then
loaded: their logits are equal where nothing is named here. 4 takes the default of its own config class for a field that
it does not find, so that a config at that default is read right. The defaults are those of 4.57.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ROPE_THETA = 10000.0
_THETA: dict[str, float] = {
    "apertus": 12e6, "bitnet": 5e5, "blt": 5e5, "csm": 5e5, "ernie4_5": 5e5, "ernie4_5_moe": 5e5, "evolla": 5e5,
    "falcon_h1": 1e5, "flex_olmo": 5e5, "fuyu": 25e3, "gemma3_text": 1e6, "gemma3n_text": 1e6, "gpt_oss": 15e4,
    "helium": 1e5, "kyutai_speech_to_text": 1e5, "lfm2": 1e6, "llama4_text": 5e5, "longcat_flash": 1e7,
    "minimax": 1e6, "mixtral": 1e6, "modernbert": 16e4, "modernbert-decoder": 16e4, "persimmon": 25e3, "phimoe": 1e6,
    "qwen2_5_vl_text": 1e6, "qwen2_vl_text": 1e6, "qwen3_vl_moe_text": 5e6, "qwen3_vl_text": 5e6, "smollm3": 2e6,
}  # fmt: skip
# Of layers with a sliding window, where these have an angle of their own.
_LOCAL_THETA: dict[str, float] = {
    "gemma3_text": 1e4, "gemma3n_text": 1e4, "modernbert": 1e4, "modernbert-decoder": 16e4
}  # fmt: skip
_PARTIAL: dict[str, float] = {
    "bamba": 0.5, "glm": 0.5, "glm4": 0.5, "glm4_moe": 0.5, "glm4v_moe_text": 0.5, "gpt_neox": 0.25,
    "gpt_neox_japanese": 1.0, "moonshine": 0.9, "nemotron": 0.5, "persimmon": 0.5, "phi": 0.5, "phi3": 1.0,
    "phi4_multimodal": 1.0, "qwen3_next": 0.25, "recurrent_gemma": 0.5, "stablelm": 0.25,
}  # fmt: skip
_SCALING: dict[str, tuple[str, float]] = {"apertus": ("llama3", 8.0), "gpt_oss": ("yarn", 32.0)}
# The default number of experts where 5 began to write `num_local_experts` for `num_experts`, and that release.
_EXPERTS: dict[str, tuple[int, str]] = {"qwen3_moe": (128, "5.1.0"), "qwen3_vl_moe_text": (60, "5.4.0")}


class Misread(NamedTuple):
    """A field that releases before `release` do not find: its name in 4, what the config says and what they take.
    `silent` where they load it all the same."""

    field: str
    says: str | float
    taken: str | float | None
    release: str = "5.0.0"
    silent: bool = True

    @property
    def words(self) -> str:
        """What older releases do, after their name."""
        says, taken = _shown(self.says), _shown(self.taken)
        if self.silent:
            return f"silently read `{self.field}` as {taken} instead of {says}"
        return f"do not find `{self.field}` ({says}), take {taken} and fail"


def tables() -> dict[str, object]:
    """What is known here, for the page of the matrix, which asks the same of a config without Python."""
    return {
        "usual": _ROPE_THETA, "theta": _THETA, "local": _LOCAL_THETA, "partial": _PARTIAL, "scaling": _SCALING,
        "experts": _EXPERTS,
    }  # fmt: skip


def misread(config: Mapping[str, object]) -> tuple[Misread, ...]:
    """What transformers before 5 reads otherwise than the config means it, of a whole config.json."""
    code = config.get("auto_map")
    if isinstance(code, dict) and "AutoConfig" in code:
        return ()  # its own class reads the fields, as it likes
    found = [*_of_part(config)]
    if isinstance(text := config.get("text_config"), dict):
        found += _of_part(text)
    return tuple(dict.fromkeys(found))


def _of_part(part: Mapping[str, object]) -> Iterator[Misread]:
    kind = part.get("model_type")
    kind = kind if isinstance(kind, str) else ""
    default, since = _EXPERTS.get(kind, (None, ""))
    experts = part.get("num_local_experts")
    if default is not None and "num_experts" not in part and type(experts) is int and experts != default:
        yield Misread("num_experts", experts, default, since, silent=False)
    parameters = part.get("rope_parameters")
    if not isinstance(parameters, dict):
        return
    full = parameters.get("full_attention")
    whole = full if isinstance(full, dict) else parameters
    yield from _theta(part, whole, kind)
    local = parameters.get("sliding_attention")
    if isinstance(local, dict) and kind in _LOCAL_THETA and _absent(part, "rope_local_base_freq", "local_rope_theta"):
        yield from _other("rope_local_base_freq", local.get("rope_theta"), _LOCAL_THETA[kind])
    if kind in _PARTIAL and _absent(part, "partial_rotary_factor", "rotary_pct"):
        yield from _other("partial_rotary_factor", whole.get("partial_rotary_factor"), _PARTIAL[kind])
    if _absent(part, "rope_scaling"):
        yield from _scaling(whole, kind)


def _theta(part: Mapping[str, object], whole: Mapping[str, object], kind: str) -> Iterator[Misread]:
    if _absent(part, "rope_theta", "global_rope_theta", "rotary_emb_base"):
        yield from _other("rope_theta", whole.get("rope_theta"), _THETA.get(kind, _ROPE_THETA))


def _scaling(whole: Mapping[str, object], kind: str) -> Iterator[Misread]:
    if isinstance(whole.get("mrope_section"), list):
        yield Misread("rope_scaling.mrope_section", str(whole["mrope_section"])[:60], None, silent=False)
        return
    says, taken = whole.get("rope_type"), _SCALING.get(kind)
    if not isinstance(says, str) or says == "axial":
        return
    if says == "default":
        if taken is not None:
            yield Misread("rope_scaling", "none", taken[0])
    elif (says, whole.get("factor")) != taken:
        yield Misread("rope_scaling", says, None if taken is None else taken[0])


def _other(field: str, says: object, taken: float) -> Iterator[Misread]:
    if isinstance(says, int | float) and not isinstance(says, bool) and says != taken:
        yield Misread(field, says, taken)


def _absent(part: Mapping[str, object], *names: str) -> bool:
    return all(part.get(name) is None for name in names)


def _shown(value: str | float | None) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "none" if value is None else str(value)[:60]
