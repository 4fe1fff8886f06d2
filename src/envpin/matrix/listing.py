"""Which releases of a tool list this model: by its architecture, its type or its name, as the tool spells it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envpin.matrix.architectures import architecture_type, squashed
from envpin.matrix.names import name_match
from envpin.matrix.stack import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from envpin.matrix.match import Match
    from envpin.matrix.stack import Tool, ToolRelease
    from envpin.matrix.types import Break, Matrix

# A model that these do not list, they do not run. Others take models that they do not list as well: their lists are of
# names (llamafactory, unsloth), of what has a patch (liger-kernel, axolotl) or of defaults (peft).
STRICT = frozenset(
    {"vllm", "sglang", "lmdeploy", "exllamav3", "mlx-lm", "ctranslate2", "optimum-onnx", "gptqmodel", "ms-swift"}
)
_MODELS = ("architectures", "model_types", "configs", "repositories", "packing", "lora_targets", "models",
           "gguf_architectures")  # fmt: skip


class ModelNames(NamedTuple):
    """What a model is called: its type, its architectures, its Hub names, and the family's patterns of names."""

    model_type: str | None
    architectures: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    family: object = None


class Listing(NamedTuple):
    """What a tool says: `names` are those of its registry of that `kind` that mean the model, `releases` list one."""

    tool: Tool
    kind: str
    names: tuple[str, ...]
    releases: tuple[ToolRelease, ...]

    @property
    def versions(self) -> str:
        """The specifier of the releases that list it."""
        return bound_of(self.releases, self.tool.read)

    @property
    def reason(self) -> str:
        """Why these releases, in a line."""
        what = ", ".join(self.names[:2]) + (f" and {len(self.names) - 2} more" if len(self.names) > 2 else "")
        first = self.releases[0]
        return f"lists {what} since {first.version} ({first.date})"


def names_of(config: Mapping[str, object] | None, name: str | None, found: Match) -> ModelNames:
    """How registries may call a model."""
    written = config.get("architectures") if config else None
    architectures = tuple(one for one in written if isinstance(one, str)) if isinstance(written, list) else ()
    own = [name] if name else []
    if found.family is not None and (found.basis == "name" or not own):
        own += found.family.models
    family = found.family.match if found.family is not None else None
    return ModelNames(found.model_type, architectures, tuple(dict.fromkeys(own)), family)


def listing_of(tool: Tool, model: ModelNames) -> Listing | None:
    """What the tool's registry says of the model; None where it has none that tells models apart."""
    kind = next((one for one in _MODELS if one in tool.registries), None)
    if kind is None:
        return None
    names = tuple(sorted(_matching(tool.registries[kind], kind, model)))
    return Listing(tool, kind, names, tool.listing(kind, names))


def method_listing(tool: Tool, method: str) -> Listing | None:
    """The releases that list a quantization method; None where the tool lists none at all."""
    if "quantizations" not in tool.registries:
        return None
    names = tuple(one for one in METHODS.get(method, (method,)) if one in tool.registries["quantizations"])
    return Listing(tool, "quantizations", names, tool.listing("quantizations", names))


def _matching(registry: Iterable[str], kind: str, model: ModelNames) -> set[str]:
    if kind == "repositories":
        return set(_repositories(registry, model))
    if kind == "architectures" and model.architectures:
        return set(model.architectures) & set(registry)
    if model.model_type is None:
        return set()
    wanted = squashed(model.model_type)
    if kind == "architectures":
        alike = {one for one in registry if squashed(architecture_type(one)) == wanted}
        return {one for one in alike if one.endswith(("ForCausalLM", "ForConditionalGeneration"))} or alike
    if kind == "models":
        return {one for one in registry if model.family is not None and squashed(one) in _family_ids(model)}
    return {one for one in registry if squashed(one.removesuffix("Config") if kind == "configs" else one) == wanted}


def _repositories(registry: Iterable[str], model: ModelNames) -> list[str]:
    """Repositories that are the model by its name, or else those that its family's patterns match."""
    registry = list(registry)
    wanted = {one.lower() for one in model.names}
    last = {one.rpartition("/")[2] for one in wanted}
    own = [one for one in registry if one.lower() in wanted]
    own = own or [one for one in registry if one.lower().rpartition("/")[2] in last]
    if own or model.family is None:
        return own
    return [one for one in registry if name_match(model.family, one)]  # type: ignore[arg-type]


def _family_ids(model: ModelNames) -> set[str]:
    return {squashed(one.rpartition("/")[2].rpartition("-")[0] or one) for one in model.names} | {
        squashed(model.model_type or "")
    }


def bound_of(wanted: Sequence[ToolRelease], every: Sequence[ToolRelease]) -> str:
    """The specifier that lets `wanted` in and, of `every` release, no other that was not yanked."""
    if not wanted:
        return ""
    inside = {one.version for one in wanted}
    usable = [one for one in every if not one.yanked]
    at = [place for place, one in enumerate(usable) if one.version in inside]
    parts = [f">={usable[at[0]].version}"]
    if at[-1] < len(usable) - 1:
        parts.append(f"<={usable[at[-1]].version}")
    parts += [f"!={one.version}" for one in usable[at[0] : at[-1] + 1] if one.version not in inside]
    return ",".join(parts)


def named_breaks(found: Match, matrix: Matrix) -> list[Break]:
    """The breaks of the family that lie in versions, not in a crossing."""
    own = found.family.breaks if found.family is not None else ()
    return [matrix.breaks[one] for one in own if one in matrix.breaks and matrix.breaks[one].by_versions_alone]
