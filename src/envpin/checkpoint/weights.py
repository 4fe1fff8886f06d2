"""Which files of a folder hold its weights, and the tensors in them, across shards."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from envpin.checkpoint.formats.safetensors import Fault, Header, Tensor, read_header
from envpin.core import json_input
from envpin.core.sizes import counted, verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.checkpoint.formats.sampled import FileSample
    from envpin.core.place import Place

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.(?:safetensors|bin)")
# The order in which transformers looks for weights.
_MODEL = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
# More than the shards of the largest models that are published; a stranger's index may name any number.
_ABSENT_SHOWN = 500
_ADAPTER = ("adapter_model.safetensors", "adapter_model.bin")
# What older releases saved though it can be computed: masks, positions, the angles of rotary embeddings.
COMPUTED = re.compile(
    r"(?:^|\.)(?:rotary_emb\.inv_freq|masked_bias|attn\.bias|attention\.bias|position_ids|token_type_ids)$"
)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """`certain` is false where the files bear no name that transformers knows. `tensors` keep the files' order."""

    files: tuple[str, ...] = ()
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    certain: bool = True


def has_adapter_weights(names: frozenset[str]) -> bool:
    """Whether a folder with these entries holds an adapter's weights."""
    return any(name in names for name in _ADAPTER)


def has_model_weights(names: frozenset[str]) -> bool:
    """Whether it holds a model's weights under a name that transformers knows. An index without any shard is none."""
    chosen = next((name for name in _MODEL if name in names), None)
    if chosen is not None and not chosen.endswith(".index.json"):
        return True
    stem = None if chosen is None else chosen.removesuffix(".index.json").rpartition(".")
    return any(
        (_SHARD.fullmatch(name) and not name.startswith("adapter_model"))
        or (stem is not None and name.startswith(stem[0]) and name.endswith(f".{stem[2]}"))
        for name in names
    )


def has_uncertain_weights(names: frozenset[str]) -> bool:
    """Whether it holds safetensors files under other names."""
    return any(name.endswith(".safetensors") and name not in _ADAPTER for name in names)


def adapter_weights(folder: Place, names: frozenset[str]) -> Weights:
    """The adapter's tensors: one file, as peft writes it."""
    chosen = next((name for name in _ADAPTER if name in names), None)
    return Weights() if chosen is None else read_files(folder, [chosen], ())


def model_weights(folder: Place, names: frozenset[str], samples: dict[str, FileSample] | None = None) -> Weights:
    """The model's tensors: what transformers would load, else shards without their index, else other safetensors.

    `samples` takes a sample of each safetensors file.
    """
    chosen = next((name for name in _MODEL if name in names), None)
    if chosen is not None:
        if not chosen.endswith(".index.json"):
            return read_files(folder, [chosen], (), samples=samples)
        return _indexed(folder, chosen, names, samples)
    shards = sorted(name for name in names if _SHARD.fullmatch(name) and not name.startswith("adapter_model"))
    if shards:
        index = f"{_SHARD.fullmatch(shards[0])['stem']}.safetensors.index.json"  # type: ignore[index]
        fault = Fault("missing-shard", index, "the index of these shards is missing", None, index)
        return read_files(folder, shards, [fault, *_absent_numbers(shards)], samples=samples)
    others = sorted(name for name in names if name.endswith(".safetensors") and name not in _ADAPTER)
    return read_files(folder, others, (), certain=False, samples=samples)


def has_weights(folder: Place) -> bool:
    """Whether every file that transformers would load the weights from is there. A Hub cache may lack some."""
    names = frozenset(entry.name for entry in folder.iterdir() if entry.is_file())
    chosen = next((name for name in _MODEL if name in names), None)
    if chosen is None or not chosen.endswith(".index.json"):
        return chosen is not None
    try:
        wanted, _ = _weight_map(json_input.read_object(folder / chosen, constants=False), chosen)
    except (json_input.BadJsonError, OSError):
        return False
    return bool(wanted) and set(wanted.values()) <= names


def read_files(
    folder: Place,
    files: Iterable[str],
    faults: Iterable[Fault],
    *,
    certain: bool = True,
    samples: dict[str, FileSample] | None = None,
) -> Weights:
    """The tensors of these files together. A name that two files hold is a fault, and the first one counts."""
    names = tuple(files)
    found: dict[str, Tensor] = {}
    problems = list(faults)
    metadata: dict[str, str] = {}
    for name in names:
        is_safe = name.endswith(".safetensors")
        header = read_header(folder / name, samples) if is_safe else _torch_header(folder / name)
        if header.fault is not None:
            problems.append(header.fault)
        for tensor in header.tensors:
            if tensor.name in found:
                text = f"tensor `{tensor.name[:200]}` stands in {found[tensor.name].file} as well"
                problems.append(Fault("corrupt-header", name, text))
            else:
                found[tensor.name] = tensor
        metadata.update(header.metadata)
    return Weights(files=names, tensors=found, metadata=metadata, faults=tuple(problems), certain=certain)


def _torch_header(path: Place) -> Header:
    from envpin.checkpoint.formats.torch_zip import read_torch_file  # zipfile is imported for pickles only

    return read_torch_file(path)


def _indexed(folder: Place, index: str, names: frozenset[str], samples: dict[str, FileSample] | None) -> Weights:
    remarks: list[str] = []
    try:
        document = json_input.read_object(folder / index, constants=False, remarks=remarks)
    except (json_input.BadJsonError, OSError) as error:
        return Weights(files=(index,), faults=(Fault("corrupt-header", index, f"is not an index: {error}"),))
    wanted, faults = _weight_map(document, index)
    faults += [Fault("duplicate-json-key", index, text) for text in remarks]
    shards = sorted(set(wanted.values()))
    absent = [shard for shard in shards if shard not in names]
    named = Counter(wanted.values())
    for shard in absent[:_ABSENT_SHOWN]:
        text = f"the index names it for {counted(named[shard], 'tensor')}, and it is not there"
        faults.append(Fault("missing-shard", shard, text))
    if len(absent) > _ABSENT_SHOWN:
        text = f"the index names {counted(len(absent) - _ABSENT_SHOWN, 'further file')} that are not there"
        faults.append(Fault("missing-shard", index, text))
    weights = read_files(folder, [shard for shard in shards if shard in names], faults, samples=samples)
    broken = {*absent, *(fault.file for fault in weights.faults)}
    lost = [f"`{name[:200]}`" for name, shard in wanted.items() if shard not in broken and name not in weights.tensors]
    more = _unlisted(weights, wanted, index)
    if lost:
        some = counted(len(lost), "tensor")
        text = f"{some} of the index {verb(len(lost), 'is', 'are')} in no shard: {', '.join(lost[:3])}"
        more.insert(0, Fault("missing-shard", index, text))
    return replace(weights, faults=(*weights.faults, *more))


def _unlisted(weights: Weights, wanted: Mapping[str, str], index: str) -> list[Fault]:
    """Tensors of the shards that the index does not name, but for what a model computes by itself.

    What becomes of them was asked of Llama in twelve releases, of pickles in four: 4.37.2 to 4.49.0 call them missing
    and load them, 4.50.3 to 4.57.6 call them missing and give them initial values, 5.24.0 loads them.
    """
    names = [f"`{one[:200]}`" for one in weights.tensors if one not in wanted and COMPUTED.search(one) is None]
    if not names or not wanted:
        return []
    some, them = counted(len(names), "tensor"), verb(len(names), "it", "them")
    text = (
        f"{some} of the shards {verb(len(names), 'is', 'are')} not in the index, and transformers 4.50 to 4.57 "
        f"do not take {them} from the file: {', '.join(names[:3])}"
    )
    return [Fault("index-incomplete", index, text)]


def _weight_map(document: dict[str, object], index: str) -> tuple[dict[str, str], list[Fault]]:
    """Tensor name to shard, without the entries that name no file of this folder."""
    entries = document.get("weight_map")
    if not isinstance(entries, dict):
        return {}, [Fault("corrupt-header", index, "has no `weight_map`")]
    good: dict[str, str] = {}
    bad: dict[str, None] = {}
    for name, shard in entries.items():
        if isinstance(shard, str) and _inside(shard):
            good[name] = shard
        else:
            bad[str(shard)[:200]] = None
    faults = [Fault("corrupt-header", index, f"names `{shard}`, which is no file of this folder") for shard in bad]
    if not isinstance(document.get("metadata"), dict):
        faults.append(Fault("corrupt-header", index, "has no `metadata`, which transformers reads before any shard"))
    return good, faults[:20]


def _inside(name: str) -> bool:
    return bool(name) and name not in {".", ".."} and not set(name) & {"/", "\\", "\0", ":"}


def _absent_numbers(shards: list[str]) -> list[Fault]:
    parts = [match for match in map(_SHARD.fullmatch, shards) if match is not None]
    total = max(int(match["total"]) for match in parts)
    present = {int(match["number"]) for match in parts}
    if total > 10_000:
        return []
    return [
        Fault("missing-shard", f"{parts[0]['stem']}-{number:05}-of-{total:05}", "is not there")
        for number in range(1, total + 1)
        if number not in present
    ]
