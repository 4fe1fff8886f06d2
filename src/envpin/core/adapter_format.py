"""Which tool's format an adapter is in: one recogniser for every command. What peft wrote is not named here.

An adapter that AutoTrain, Unsloth, torchtune or sentence-transformers saved with `peft_type` and peft's file names *is*
in peft's format, whoever trained it. Names and small documents decide; no weights are read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.core import json_input
from envpin.core.command_text import command_text
from envpin.core.files import read_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from envpin.core.place import Place

_PEFT = frozenset({"adapter_model.safetensors", "adapter_model.bin"})
_MODEL = frozenset(
    {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"}
)
# Keys of peft's LoraConfig that no other format has: a config with one of them was peft's, however damaged.
_OWN = frozenset({"peft_type", "auto_mapping", "base_model_name_or_path", "inference_mode"})
_DOCUMENT_BYTES = 2_000_000
# The first key-value pairs of a GGUF file, `general.type` among them; of a safetensors file nearly all of the header,
# whose metadata stand in any order: kohya's scripts write the tags of the training pictures there.
_HEAD, _HEADER = 4096, 400_000
_LOOKED_INTO = 3  # files of weights under names that no tool gives
# Tensors of LoRA as tools for pictures and films name them: of kohya's scripts and LyCORIS, and by the parts of a
# pipeline (diffusers, ComfyUI, ai-toolkit).
_KOHYA = re.compile(
    rb'"ss_network_(?:module|dim|alpha)"|"(?:lora|lycoris)_(?:unet|te\d?|transformer|prior)[_\d][^"]{1,300}"'
)
_PARTS = re.compile(
    rb'"(?:unet|transformer|text_encoder(?:_\d)?|diffusion_model|model\.diffusion_model)\.[^"]{1,300}'
    rb"(?:\.lora[._](?:A|B|down|up)|_lora\.(?:down|up)|\.hada_w|\.lokr_w)"
)


class ForeignFormat(NamedTuple):
    """A format that peft cannot load. `tool` wrote it; `file` shows it; `base` is what it names; `next_step` is what
    merges or converts it, with FOLDER for the adapter's."""

    id: str
    tool: str
    file: str
    next_step: str
    base: str | None = None

    @property
    def words(self) -> str:
        """`an adapter in the format of MLX LM, which peft cannot load`, with its base where that is named."""
        named = f"; its base is `{self.base}`" if self.base else ""
        return f"an adapter in the format of {self.tool}, which peft cannot load{named}"

    def step(self, folder: object) -> str:
        """`next_step` for the adapter in `folder`: a command, or a call in Python."""
        name = repr(str(folder)) if self.next_step.startswith("with ") else command_text(folder)
        return self.next_step.replace("FOLDER", name)


class ForeignModel(NamedTuple):
    """A model that transformers has no class for: the `field` of config.json with the `kind` shows it."""

    what: str
    field: str
    kind: str
    next_step: str

    @property
    def words(self) -> str:
        """`a policy of LeRobot ("act"), which transformers has no class for`."""
        return f"{self.what} (`{self.kind}`), which transformers has no class for"


_KIND_SHOWN = 60


def foreign_model(config: Mapping[str, object]) -> ForeignModel | None:
    """Whose model a config.json describes: of a robot's policy, or of a part of a pipeline. None for transformers'."""
    if config.get("model_type") or config.get("architectures"):
        return None
    if isinstance(kind := config.get("type"), str) and {"input_features", "output_features"} <= set(config):
        return ForeignModel("a policy of LeRobot", "type", kind[:_KIND_SHOWN], "load it with LeRobot")
    if isinstance(kind := config.get("_class_name"), str) and "_diffusers_version" in config:
        step = "load the pipeline's folder with diffusers"
        return ForeignModel("a part of a diffusers pipeline", "_class_name", kind[:_KIND_SHOWN], step)
    return None


def foreign_format(place: Place, names: frozenset[str] | None = None) -> ForeignFormat | None:
    """The format of the adapter in a folder, where it is not peft's; None for peft's, for models, for what is neither.

    Never raises: what cannot be read shows nothing.
    """
    try:
        present = frozenset(entry.name for entry in place.iterdir()) if names is None else names
    except (OSError, ValueError):
        return None
    return recognise_format(present, lambda name: _document(place / name), lambda name, size: _head(place / name, size))


def recognise_format(
    names: frozenset[str],
    read: Callable[[str], Mapping[str, object] | None],
    head: Callable[[str, int], bytes],
) -> ForeignFormat | None:
    """See `foreign_format`. `read` gives the JSON object in a file, `head` as many of its first bytes as are asked."""
    config = read("adapter_config.json") if "adapter_config.json" in names else None
    for found in _signs(names, config or {}, read, head):
        return found
    return None


def _signs(
    names: frozenset[str],
    config: Mapping[str, object],
    read: Callable[[str], Mapping[str, object] | None],
    head: Callable[[str, int], bytes],
) -> Iterator[ForeignFormat]:
    if (robot := _lerobot(names, config, read)) is not None:
        yield robot
    if config.get("peft_type"):
        return
    mlx = next((one for one in ("adapters.safetensors", "adapters.npz") if one in names), None)
    # The config tells, whatever the weights are called.
    if {"fine_tune_type", "lora_parameters", "lora_layers"} & set(config) or (
        mlx and not _PEFT & names and not _OWN & set(config)
    ):
        base = _text(config, "model") or _text(config, "model_path")
        step = f"mlx_lm.fuse --model {command_text(base or 'BASE')} --adapter-path FOLDER --save-path MERGED"
        file = mlx or "adapter_config.json"
        yield ForeignFormat(id="mlx-lm", tool="MLX LM", file=file, next_step=step, base=base)
    if _PEFT & names:
        return
    if "pytorch_adapter.bin" in names or {"hidden_size", "model_class", "version"} <= set(config):
        weights = "pytorch_adapter.bin" if "pytorch_adapter.bin" in names else "adapter_config.json"
        step = "with the `adapters` library: model.load_adapter(FOLDER), model.merge_adapter(NAME)"
        base = _text(config, "model_name")
        yield ForeignFormat(id="adapter-hub", tool="AdapterHub (adapters)", file=weights, next_step=step, base=base)
    yield from _by_name(names, head)


def _lerobot(
    names: frozenset[str], config: Mapping[str, object], read: Callable[[str], Mapping[str, object] | None]
) -> ForeignFormat | None:
    """A robot policy's; LeRobot uses peft's files for its LoRA, on a policy that transformers has no class for."""
    mapping = config.get("auto_mapping")
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    file = "adapter_config.json" if isinstance(library, str) and library.startswith("lerobot.") else None
    trained = read("train_config.json") or {} if "train_config.json" in names else {}
    if "policy" in trained and {"dataset", "env"} & set(trained):
        file = file or "train_config.json"
    if file is None or not (config or _PEFT & names):
        return None
    base = _text(config, "base_model_name_or_path")
    step = "load it with LeRobot, which knows the policy's class"
    return ForeignFormat(id="lerobot", tool="LeRobot", file=file, next_step=step, base=base)


def _by_name(names: frozenset[str], head: Callable[[str, int], bytes]) -> Iterator[ForeignFormat]:
    if _MODEL & names:
        return
    diffusers = next(
        (one for one in ("pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin") if one in names), None
    )
    if diffusers is not None:
        step = "with diffusers: pipe.load_lora_weights(FOLDER), pipe.fuse_lora(), pipe.save_pretrained(OUT)"
        yield ForeignFormat(id="diffusers", tool="diffusers", file=diffusers, next_step=step)
    for name in sorted(names):
        if name.endswith(".gguf") and b"adapter" in (start := head(name, _HEAD)) and start.startswith(b"GGUF"):
            step = f"llama-export-lora --model BASE.gguf --lora {command_text(name)} --output MERGED.gguf"
            yield ForeignFormat(id="gguf", tool="llama.cpp (GGUF)", file=name, next_step=step)
        elif name.endswith(".nemo") or name == "adapter_metadata.json":
            step = "export it with NeMo to peft's format, or merge it there"
            yield ForeignFormat(id="nemo", tool="NeMo", file=name, next_step=step)
        elif name == "adapter.pt" or (name.startswith("adapter_") and name.endswith(".pt") and name[8:-3].isdigit()):
            step = "convert it with torchtune's checkpointer (`safe_serialization`), which writes peft's format"
            yield ForeignFormat(id="torchtune", tool="torchtune", file=name, next_step=step)
        elif name in {"lit_model.pth.lora", "lit_model.pth.adapter", "lit_model.pth.adapter_v2"}:
            step = "litgpt merge_lora FOLDER" if name.endswith("lora") else "load it with LitGPT, which has no merge"
            yield ForeignFormat(id="litgpt", tool="LitGPT", file=name, next_step=step)
        elif name == "weights" and "context" in names and head("weights/adapter_metadata.json", 1):
            step = "export it with NeMo to peft's format, or merge it there"
            yield ForeignFormat(id="nemo", tool="NeMo", file="weights/adapter_metadata.json", next_step=step)
        elif name == "ggml-adapter-model.bin":
            step = "take the adapter that it was converted from"
            yield ForeignFormat(id="ggml", tool="llama.cpp (GGML)", file=name, next_step=step)

    yield from _by_header(names, head)


def _by_header(names: frozenset[str], head: Callable[[str, int], bytes]) -> Iterator[ForeignFormat]:
    """A LoRA for pictures under a name of its owner's choice, as most of them have."""
    for name in sorted(one for one in names if one.endswith(".safetensors"))[:_LOOKED_INTO]:
        start = head(name, _HEADER)
        step = (
            f"with diffusers: pipe.load_lora_weights(FOLDER, weight_name={name!r}), pipe.fuse_lora(), "
            "pipe.save_pretrained(OUT)"
        )
        if _KOHYA.search(start):
            tool = "kohya's sd-scripts (LyCORIS)"
            yield ForeignFormat(id="kohya", tool=tool, file=name, next_step=step)
        elif _PARTS.search(start):
            yield ForeignFormat(id="diffusers", tool="diffusers or ComfyUI", file=name, next_step=step)


def _text(document: Mapping[str, object], key: str) -> str | None:
    value = document.get(key)
    return value.strip()[:300] if isinstance(value, str) and value.strip() else None


def _document(path: Place) -> Mapping[str, object] | None:
    try:
        return json_input.read_object(path, limit=_DOCUMENT_BYTES) if path.is_file() else None
    except (OSError, json_input.BadJsonError):
        return None


def _head(path: Place, size: int) -> bytes:
    try:
        if not path.is_file():
            return b""
        return read_head(path, size)
    except OSError:
        return b""
