"""A model or adapter folder as data, without torch: configs, tensors by their headers, tokenizer, broken files.

Reading never raises for a broken file: what is wrong with it stands in `Folder.faults`, so that one bad shard does not
hide the other findings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from envpin.checkpoint.formats.safetensors import Fault, Tensor
from envpin.checkpoint.formats.tokenizer import TokenizerFiles, read_tokenizer
from envpin.checkpoint.weights import Weights, adapter_weights, model_weights
from envpin.core import json_input
from envpin.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.core.place import Place

Kind = Literal["adapter", "model", "both", "unknown"]

# The last parts of an input embedding's name in the decoder families, most common first.
EMBEDDINGS = (
    "embed_tokens",
    "wte",
    "word_embeddings",
    "embed_in",
    "tok_embeddings",
    "embedding",
    "embeddings",
    "shared",
)
HEADS = ("lm_head", "embed_out", "output_layer", "output")


@dataclass(frozen=True, kw_only=True)
class Folder:
    """`tensors` are the adapter's for an adapter, else the model's; `adapter_tensors` are the adapter's in any case.

    `weight_files` are the names of the files that hold `tensors`.
    """

    path: Place
    kind: Kind
    config: dict[str, Any] | None
    generation_config: dict[str, Any] | None
    adapter_config: dict[str, Any] | None
    tensors: Mapping[str, Tensor]
    adapter_tensors: Mapping[str, Tensor]
    weight_files: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    read_faults: tuple[Fault, ...] = ()

    @cached_property
    def tokenizer(self) -> TokenizerFiles | None:
        """Read when asked for: a vocabulary of 128,000 tokens takes longer than all headers together."""
        return read_tokenizer(self.path)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Everything broken in this folder, its tokenizer included."""
        return self.read_faults + (self.tokenizer.faults if self.tokenizer is not None else ())

    @property
    def quantization(self) -> dict[str, Any] | None:
        """`quantization_config` of the config, where there is one."""
        found = (self.config or {}).get("quantization_config")
        return found if isinstance(found, dict) else None

    @property
    def auto_map(self) -> dict[str, Any] | None:
        """Which classes live in files beside the weights (remote code), from the config or the tokenizer's."""
        for config in (self.config, self.tokenizer.config if self.tokenizer is not None else None):
            found = (config or {}).get("auto_map")
            if isinstance(found, dict) and found:
                return found
        return None

    @property
    def embedding(self) -> Tensor | None:
        """The input embedding's weight among `tensors`; an adapter's only where it carries one whole."""
        return _find(self.tensors, EMBEDDINGS)

    @property
    def head(self) -> Tensor | None:
        """The output head's weight among `tensors`."""
        return _find(self.tensors, HEADS)

    @property
    def embedding_rows(self) -> int | None:
        """Rows of the input embedding: of the weight, or as the LoRA factor of it says."""
        return _rows(self.embedding, self.tensors, EMBEDDINGS, "lora_embedding_A", 1)

    @property
    def head_rows(self) -> int | None:
        """Rows of the output head; None for tied embeddings that were saved once."""
        return _rows(self.head, self.tensors, HEADS, "lora_B", 0)


def read_folder(path: Place) -> Folder:
    """What a folder holds.

    Raises:
        InputError: it does not exist, is not a folder, or holds neither a model nor an adapter.
    """
    names = _names(path)
    faults: list[Fault] = []
    config = _config(path, "config.json", names, faults)
    generation = _config(path, "generation_config.json", names, faults)
    adapter_config = _config(path, "adapter_config.json", names, faults)
    adapter = adapter_weights(path, names)
    model = model_weights(path, names)
    has_adapter = "adapter_config.json" in names or bool(adapter.files)
    has_model = bool(model.files) and model.certain
    if has_adapter:
        kind: Kind = "both" if has_model else "adapter"
    elif has_model or "config.json" in names:
        kind = "model"
    elif model.files:
        kind = "unknown"
    else:
        raise InputError(
            f"`{path}` holds neither a model nor an adapter",
            path=str(path),
            hint="give the folder with adapter_config.json or config.json in it",
        )
    shown = adapter if kind == "adapter" else model
    parts: tuple[Weights, ...] = (adapter,) if kind == "adapter" else (model, adapter)
    return Folder(
        path=path,
        kind=kind,
        config=config,
        generation_config=generation,
        adapter_config=adapter_config,
        tensors=shown.tensors,
        adapter_tensors=adapter.tensors,
        weight_files=shown.files,
        metadata=shown.metadata,
        read_faults=(*faults, *(fault for part in parts for fault in part.faults)),
    )


def _names(path: Place) -> frozenset[str]:
    try:
        return frozenset(entry.name for entry in path.iterdir())
    except FileNotFoundError as error:
        raise InputError(f"`{path}` does not exist", path=str(path)) from error
    except NotADirectoryError as error:
        hint = f"envpin check {Path(str(path)).parent}"
        raise InputError(f"`{path}` is a file, not a folder", path=str(path), hint=hint) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"`{path}` cannot be read: {cause}", path=str(path)) from error


def _config(path: Place, name: str, names: frozenset[str], faults: list[Fault]) -> dict[str, Any] | None:
    if name not in names:
        return None
    remarks: list[str] = []
    try:
        return json_input.read_object(path / name, remarks=remarks)
    except json_input.BadJsonError as error:
        faults.append(Fault("corrupt-header", name, f"is not valid JSON: {error}"))
    except OSError as error:
        faults.append(Fault("corrupt-header", name, f"cannot be read: {error.strerror or error}"))
    finally:
        faults += [Fault("duplicate-json-key", name, text) for text in remarks]
    return None


# Where peft saves a whole weight: under the module's own name, under `base_layer` where the module has a LoRA of its
# own, under `modules_to_save` where the state dict was not cleaned (DeepSpeed, FSDP).
_WHOLE = ("", ".base_layer", ".modules_to_save", ".modules_to_save.default", ".original_module")


def _find(tensors: Mapping[str, Tensor], modules: tuple[str, ...]) -> Tensor | None:
    """The whole weight of the first of `modules` that there is."""
    best: tuple[int, Tensor] | None = None
    for name, tensor in tensors.items():
        if not name.endswith(".weight") or ".layers." in name:
            continue
        module = name.removesuffix(".weight")
        for ending in _WHOLE:
            last = module.removesuffix(ending).rpartition(".")[2]
            if module.endswith(ending) and last in modules:
                rank = modules.index(last)
                if best is None or rank < best[0]:
                    best = (rank, tensor)
    return best[1] if best is not None else None


def _rows(
    weight: Tensor | None, tensors: Mapping[str, Tensor], modules: tuple[str, ...], factor: str, axis: int
) -> int | None:
    if weight is not None:
        return weight.shape[0] if len(weight.shape) == 2 else None
    for name, tensor in tensors.items():
        module, found, _ = name.rpartition(f".{factor}")
        if found and module.rpartition(".")[2] in modules and len(tensor.shape) == 2:
            return tensor.shape[axis]
    return None
