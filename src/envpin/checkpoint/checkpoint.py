"""A model or adapter folder, opened: configs, tensors by their headers, tokenizer, manifest and digests, without torch.

An opened `Checkpoint` is what travels through a command. Each part is read when it is first asked for, and once; each
file is opened once (`ReadOnce`). Reading never raises for a broken file: what is wrong with it stands in
`Checkpoint.faults`, so that one bad shard does not hide the other findings.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from envpin.checkpoint.formats.safetensors import Fault, json_fault
from envpin.checkpoint.formats.tokenizer import TokenizerFiles, TokenizerMarks, read_marks, read_tokenizer
from envpin.checkpoint.read_once import ReadOnce
from envpin.checkpoint.recorded import Recorded, read_recorded
from envpin.checkpoint.weights import (
    Weights,
    adapter_weights,
    has_adapter_weights,
    has_model_weights,
    has_uncertain_weights,
    model_weights,
)
from envpin.core import json_input
from envpin.core.adapter_format import ForeignFormat, foreign_format
from envpin.core.command_text import command_text
from envpin.core.errors import InputError
from envpin.core.files import digest_of_file
from envpin.core.hub_cache import published_sha256
from envpin.core.place import local_path
from envpin.core.sizes import verb
from envpin.manifest.types import WeightSample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.checkpoint.formats.sampled import FileSample
    from envpin.core.place import Place

Kind = Literal["adapter", "model", "both", "unknown"]
_CONFIGS = ("config.json", "generation_config.json", "adapter_config.json")

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


class Checkpoint:
    """A folder that holds a model, an adapter, or both. `path` is what messages call it, `files` what it is read from.

    `names` are its entries. Made by `open_checkpoint`.
    """

    def __init__(self, path: Place, *, files: ReadOnce, names: frozenset[str], kind: Kind) -> None:
        self.path = path
        self.files = files
        self.names = names
        self.kind: Kind = kind
        self._digests: dict[str, str] = {}
        self._samples: dict[str, FileSample] | None = None

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, kind={self.kind!r})"

    @cached_property
    def inside(self) -> ReadOnce:
        """The same files without what a link leads to outside of the folder."""
        return self.files.confined()

    @cached_property
    def foreign(self) -> ForeignFormat | None:
        """The format of an adapter that peft did not write; None for peft's own and for models."""
        return foreign_format(self.files, self.names)

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine; of a remote one only headers and small files are read."""
        return isinstance(self.path, Path)

    @cached_property
    def _documents(self) -> dict[str, tuple[dict[str, object] | None, tuple[Fault, ...]]]:
        return {name: _document(self.files / name) for name in _CONFIGS if name in self.names}

    def _config(self, name: str) -> dict[str, object] | None:
        return self._documents.get(name, (None, ()))[0]

    @property
    def config(self) -> dict[str, Any] | None:
        return self._config("config.json")

    @property
    def generation_config(self) -> dict[str, object] | None:
        return self._config("generation_config.json")

    @property
    def adapter_config(self) -> dict[str, object] | None:
        return self._config("adapter_config.json")

    @cached_property
    def _adapter_weights(self) -> Weights:
        return adapter_weights(self.files, self.names)

    @cached_property
    def _model_weights(self) -> Weights:
        return model_weights(self.files, self.names, self._samples)

    @property
    def _shown(self) -> Weights:
        return self._adapter_weights if self.kind == "adapter" else self._model_weights

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The adapter's for an adapter, else the model's."""
        return self._shown.tensors

    @property
    def adapter_tensors(self) -> Mapping[str, Tensor]:
        """The adapter's in any case."""
        return self._adapter_weights.tensors

    @property
    def weight_files(self) -> tuple[str, ...]:
        """The names of the files that hold `tensors`."""
        return self._shown.files

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._shown.metadata

    @property
    def config_faults(self) -> tuple[Fault, ...]:
        """What is broken among the configs."""
        return tuple(fault for _, faults in self._documents.values() for fault in faults)

    @property
    def read_faults(self) -> tuple[Fault, ...]:
        """What is broken among configs and weights."""
        parts = () if self.kind == "adapter" else (self._model_weights,)
        return (*self.config_faults, *(fault for one in (*parts, self._adapter_weights) for fault in one.faults))

    def sample(self) -> None:
        """Have a sample of each file of the model's weights taken while its header is read, in one opening."""
        if "_model_weights" not in self.__dict__ and self.is_local and self._samples is None:
            self._samples = {}

    @property
    def samples(self) -> Mapping[str, WeightSample]:
        """A sample of each safetensors file of the model's weights; of a remote one there are none."""
        if self._samples is None and self.is_local:
            samples: dict[str, FileSample] = {}
            model_weights(self.files, self.names, samples)  # the headers were read before: once more
            self._samples = samples
        _ = self._model_weights
        return {name: WeightSample(**one._asdict()) for name, one in (self._samples or {}).items()}

    def published_digests(self) -> dict[str, str]:
        """The sha256 of files of weights as the Hub tells it: the name of a blob in its cache, or of its listing.

        Nothing is read: what lies in a cache may have been changed since.
        """
        found: dict[str, str] = {}
        for name in self.weight_files:
            told = (self.files / name).sha256 if not self.is_local else published_sha256(local_path(self.path) / name)
            if told is not None:
                found[name] = told
        return found

    @cached_property
    def tokenizer(self) -> TokenizerFiles | None:
        """A vocabulary of 128,000 tokens takes longer to read than all headers together."""
        return read_tokenizer(self.files)

    @cached_property
    def tokenizer_marks(self) -> TokenizerMarks | None:
        """How tokenizer.json was written: from both ends of the file where nobody read the whole of it."""
        if "tokenizer" in self.__dict__:
            return self.tokenizer.marks if self.tokenizer is not None else None
        return read_marks(self.inside / "tokenizer.json")

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Everything broken in this folder, its tokenizer included."""
        return self.read_faults + (self.tokenizer.faults if self.tokenizer is not None else ())

    @cached_property
    def recorded(self) -> Recorded | None:
        """The manifest; None where there is none.

        Raises:
            InputError: it cannot be read, or is no manifest that this envpin knows.
        """
        return read_recorded(self.files)

    def sha256(self, name: str) -> str:
        """The digest of one of its files; of a remote one as its repository tells it.

        Raises:
            OSError: there is no such file, or it cannot be read.
        """
        if name not in self._digests:
            self._digests[name] = digest_of_file(self.files / name)
        return self._digests[name]

    @property
    def quantization(self) -> dict[str, object] | None:
        """`quantization_config` of the config, where there is one."""
        found = (self.config or {}).get("quantization_config")
        return found if isinstance(found, dict) else None

    @property
    def auto_map(self) -> dict[str, object] | None:
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


def open_checkpoint(place: Place | Checkpoint, *, confined: bool = False) -> Checkpoint:
    """The folder at `place`, opened: its entries are listed, and nothing is read yet. One that is open stays as it is.

    `confined` leaves out what a link leads to outside of the folder.

    Raises:
        InputError: it does not exist, is not a folder, or holds neither a model nor an adapter.
    """
    if isinstance(place, Checkpoint):
        return place
    files = ReadOnce(place).confined() if confined else ReadOnce(place)
    names = _names(files)
    has_adapter = "adapter_config.json" in names or has_adapter_weights(names)
    has_model = has_model_weights(names)
    kind: Kind
    if has_adapter:
        kind = "both" if has_model else "adapter"
    elif has_model or "config.json" in names:
        kind = "model"
    elif has_uncertain_weights(names) or foreign_format(files, names) is not None:
        kind = "unknown"
    else:
        raise _nothing_here(place, names)
    return Checkpoint(place, files=files, names=names, kind=kind)


def _nothing_here(place: Place, names: frozenset[str]) -> InputError:
    """That a folder holds neither, and which folders right below it hold adapters: a run with its checkpoints."""
    below = [name for name in sorted(names) if isinstance(place, Path) and _has_config(place / name)]
    text = f"`{place}` holds neither a model nor an adapter"
    hint = "give the folder with adapter_config.json or config.json in it"
    if below and isinstance(place, Path):
        shown = ", ".join(f"`{name}/`" for name in below[:3])
        more = f" and {len(below) - 3} more" if len(below) > 3 else ""
        text += f"; below it {shown}{more} {verb(len(below), 'holds one', 'hold one each')}"
        words = ("check", place / below[0]) if len(below) == 1 else ("scan", place)
        hint = command_text("envpin", *words)
    return InputError(text, path=str(place), hint=hint)


def _has_config(folder: Path) -> bool:
    try:
        return (folder / "adapter_config.json").is_file()
    except OSError:
        return False


def opener() -> Callable[[Place], Checkpoint]:
    """An `open_checkpoint` that opens each folder once, for many adapters of one base."""
    opened: dict[str, Checkpoint] = {}

    def open_once(place: Place) -> Checkpoint:
        if str(place) not in opened:
            opened[str(place)] = open_checkpoint(place)
        return opened[str(place)]

    return open_once


def _names(path: Place) -> frozenset[str]:
    try:
        return frozenset(entry.name for entry in path.iterdir())
    except FileNotFoundError as error:
        raise InputError(f"`{path}` does not exist", path=str(path)) from error
    except NotADirectoryError as error:
        hint = command_text("envpin", "check", Path(str(path)).parent)
        raise InputError(f"`{path}` is a file, not a folder", path=str(path), hint=hint) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"`{path}` cannot be read: {cause}", path=str(path)) from error


def _document(file: Place) -> tuple[dict[str, object] | None, tuple[Fault, ...]]:
    remarks: list[str] = []
    faults: list[Fault] = []
    document = None
    try:
        document = json_input.read_object(file, remarks=remarks)
    except json_input.BadJsonError as error:
        faults.append(json_fault(file.name, error))
    except OSError as error:
        faults.append(Fault("corrupt-header", file.name, f"cannot be read: {error.strerror or error}"))
    codes = {json_input.MARKED: "corrupt-header"}
    return document, (*faults, *(Fault(codes.get(text, "duplicate-json-key"), file.name, text) for text in remarks))


# Where peft saves a whole weight: under the module's own name, under `base_layer` where the module has a LoRA of its
# own, under `modules_to_save` where the state dict was not cleaned (DeepSpeed, FSDP).
_WHOLE = (
    "",
    ".base_layer",
    ".token_adapter.base_layer",
    ".modules_to_save",
    ".modules_to_save.default",
    ".original_module",
)


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
