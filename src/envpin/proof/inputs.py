"""The three folders of a proof, opened by their headers, and everything that keeps one from being read at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.checkpoint.no_adapter import require_adapter
from envpin.checkpoint.quantization import of_base
from envpin.core.command_text import command_text
from envpin.core.errors import InputError
from envpin.host.verbs import EmbeddingChoice, FolderFiles, ProveCall, QuantizedChoice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.core.place import Place

_SHOWN = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ProofInputs:
    """Three readable folders on this machine."""

    base: Checkpoint
    adapter: Checkpoint
    merged: Checkpoint

    def request(self) -> ProveCall:
        """In the words of the worker protocol."""
        quantization = of_base(self.base)
        stored = quantization is not None and quantization.stored
        rows, own = self.adapter_rows, self.base.embedding_rows
        return ProveCall(
            base=_files(self.base, self.base.weight_files),
            adapter=_files(self.adapter, _adapter_files(self.adapter)),
            merged=_files(self.merged, self.merged.weight_files),
            base_is_tied=_is_tied(self.base),
            merged_is_tied=_is_tied(self.merged),
            quantized=QuantizedChoice(policy="dequantize", stored=True, config=dict(quantization.config))
            if quantization is not None and stored
            else None,
            embedding=EmbeddingChoice(action="grow", rows=rows) if rows and own and rows > own else EmbeddingChoice(),
        )

    @property
    def adapter_rows(self) -> int | None:
        """How many rows of the embedding the adapter brings; None where it leaves them alone."""
        return self.adapter.embedding_rows if self.adapter.kind == "adapter" else None


def open_inputs(base: Place, adapter: Place, merged: Place) -> ProofInputs:
    """Open all three.

    Raises:
        InputError: one of them cannot be read, is not what its place asks for, or holds values that make no sense.
    """
    given = _opened(adapter, "adapter")
    if given.kind == "model" and "adapter" in {_opened(base, "base").kind, _opened(merged, "merged model").kind}:
        raise InputError(f"`{adapter}` holds no adapter, but a model", path=str(adapter), hint=_ORDER)
    require_adapter(given)
    _refuse_values(given)
    _refuse_faults(given, given.adapter_tensors)
    found = ProofInputs(base=_model(base, "base"), adapter=given, merged=_model(merged, "merged model"))
    folders = {"base": found.base, "adapter": found.adapter, "merged model": found.merged}
    seen: dict[Path, str] = {}
    for words, one in folders.items():
        path = Path(str(one.path)).resolve()
        if path in seen and "adapter" not in {words, seen[path]}:
            raise InputError(f"the {seen[path]} and the {words} are one folder: `{one.path}`", path=str(one.path))
        seen[path] = words
    return found


def _model(place: Place, words: str) -> Checkpoint:
    found = _opened(place, words)
    if found.kind == "adapter":
        raise InputError(f"`{place}` is an adapter, not a {words}", path=str(place), hint=_ORDER)
    _refuse_faults(found, found.tensors)
    return found


def _opened(place: Place, words: str) -> Checkpoint:
    if not isinstance(place, Path):
        raise InputError(
            f"`{place}` is on the Hub, and a proof reads every byte of the {words}",
            path=str(place),
            hint=f"{command_text('hf', 'download', getattr(place, 'id', place))}, then give the folder that it prints",
        )
    return open_checkpoint(place)


_ORDER = "envpin prove BASE ADAPTER MERGED, in this order"


def _refuse_faults(found: Checkpoint, tensors: Mapping[str, object]) -> None:
    faults = [f"{fault.file}: {fault.message}" for fault in found.read_faults]
    if faults:
        more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        raise InputError(f"`{found.path}` cannot be read", path=str(found.path), problems=[*faults[:_SHOWN], *more])
    pickled = [name for name in found.weight_files if not name.endswith(".safetensors")]
    if pickled:
        raise InputError(
            f"`{found.path}` holds `{pickled[0]}`, which is a pickle; only safetensors files are read",
            path=str(found.path),
            hint="save it again with safetensors, in the environment that made it",
        )
    if not tensors:
        raise InputError(f"`{found.path}` holds no weights", path=str(found.path), hint=_ORDER)


def _refuse_values(adapter: Checkpoint) -> None:
    """
    Raises:
        InputError: a field that decides the change is no number, or no object, or not finite.
    """
    problems = list(_bad_values(adapter.adapter_config or {}))
    if problems:
        path = f"{adapter.path}/adapter_config.json"
        raise InputError(f"`{path}` holds values that no adapter has", path=path, problems=problems)


def _bad_values(config: Mapping[str, object]) -> Iterator[str]:
    for name in ("lora_alpha", "alpha", "r"):
        if name in config and config[name] is not None and not _is_number(config[name]):
            yield f"{name}: {config[name]!r} is not a finite number"
    for name in ("alpha_pattern", "rank_pattern"):
        patterns = config.get(name)
        if patterns is not None and not isinstance(patterns, dict):
            yield f"{name}: {patterns!r} is not an object"
        elif patterns:
            yield from (f"{name}.{key}: {value!r} is not a finite number"
                        for key, value in patterns.items() if not _is_number(value))  # fmt: skip
    for name in ("use_rslora", "use_dora", "fan_in_fan_out"):
        if not isinstance(config.get(name, False), bool | None):
            yield f"{name}: {config[name]!r} is not a boolean"
    if not isinstance(config.get("peft_type", "LORA"), str | None):
        yield f"peft_type: {config['peft_type']!r} is not a string"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _adapter_files(adapter: Checkpoint) -> tuple[str, ...]:
    return tuple(sorted({tensor.file for tensor in adapter.adapter_tensors.values()}))


def _files(found: Checkpoint, files: tuple[str, ...]) -> FolderFiles:
    names = {name for name in files if name.endswith(".safetensors")}
    return FolderFiles(folder=str(Path(str(found.path)).absolute()), files=tuple(sorted(names)))


def _is_tied(model: Checkpoint) -> bool:
    """Whether config.json ties embedding and head; where it does not say, a missing head means that it does."""
    config = model.config or {}
    text = config.get("text_config")
    for one in (config, text if isinstance(text, dict) else {}):
        if isinstance(one.get("tie_word_embeddings"), bool):
            return bool(one["tie_word_embeddings"])
    return model.head is None
