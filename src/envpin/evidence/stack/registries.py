"""Which models a release of a tool lists: its registries, read as syntax in the members of its wheel. Pure.

Each tool keeps its registry in its own way; `RECIPES` says where it is and how it is spelled.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.evidence.parsing import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


class Registry(NamedTuple):
    """One registry of a tool: what its names are, which members of the wheel hold it, and what reads one member.

    `parse` takes the path of the member, from the package on, and its bytes.
    """

    kind: str
    members: re.Pattern[str]
    parse: Callable[[str, bytes], Iterable[str]]


def _assignments(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names and what is assigned to them, in any branch, as well as what `NAME.update(…)` adds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.attr == "update"
            and node.args
        ):
            yield node.func.value.id, node.args[0]


def _strings(nodes: Iterable[ast.AST | None]) -> Iterator[str]:
    return (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _entries(value: ast.expr) -> Iterator[str]:
    """The keys of a dict or of `dict(…)`, the strings of a list, a tuple, a set or a `Literal[…]`."""
    if isinstance(value, ast.Dict):
        yield from _strings(value.keys)
    elif isinstance(value, ast.Call):
        yield from (keyword.arg for keyword in value.keywords if keyword.arg)
    elif isinstance(value, ast.List | ast.Tuple | ast.Set):
        yield from _strings(value.elts)
    elif isinstance(value, ast.Subscript):
        yield from _entries(value.slice)


def named_entries(pattern: str, *, without: str | None = None) -> Callable[[str, bytes], Iterable[str]]:
    """Reads the entries of everything that is assigned to a name which `pattern` matches whole; none with a dot where
    `without` is one."""
    names = re.compile(pattern)

    def read(_path: str, source: bytes) -> Iterable[str]:
        for name, value in _assignments(parse(source)):
            if names.fullmatch(name):
                yield from (entry for entry in _entries(value) if without is None or without not in entry)

    return read


def entry_classes(_path: str, source: bytes) -> Iterable[str]:
    """sglang: `EntryClass = LlamaForCausalLM`, or a list of classes."""
    for name, value in _assignments(parse(source)):
        if name == "EntryClass":
            nodes = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
            yield from (node.id for node in nodes if isinstance(node, ast.Name))


def class_attributes(attribute: str) -> Callable[[str, bytes], Iterable[str]]:
    """Reads the string that a class body assigns to `attribute`."""

    def read(_path: str, source: bytes) -> Iterable[str]:
        for node in ast.walk(parse(source)):
            if isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, ast.Assign) and any(
                        isinstance(target, ast.Name) and target.id == attribute for target in part.targets
                    ):
                        yield from _strings([part.value])

    return read


def decorator_arguments(function: str) -> Callable[[str, bytes], Iterable[str]]:
    """Reads the first argument of each decorator `@function("name", …)`."""

    def read(_path: str, source: bytes) -> Iterable[str]:
        for node in ast.walk(parse(source)):
            for one in getattr(node, "decorator_list", ()):
                if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == function:
                    yield from _strings(one.args[:1])

    return read


def keyword_strings(keyword: str) -> Callable[[str, bytes], Iterable[str]]:
    """Reads the strings of each `keyword=[…]` of a call."""

    def read(_path: str, source: bytes) -> Iterable[str]:
        for node in ast.walk(parse(source)):
            if isinstance(node, ast.keyword) and node.arg == keyword and isinstance(node.value, ast.List):
                yield from _strings(node.value.elts)

    return read


def dict_values(key: str) -> Callable[[str, bytes], Iterable[str]]:
    """Reads the value of each entry of a dict whose key is an attribute called `key`, as `DownloadSource.DEFAULT`."""

    def read(_path: str, source: bytes) -> Iterable[str]:
        for node in ast.walk(parse(source)):
            if isinstance(node, ast.Dict):
                yield from _strings(
                    value
                    for name, value in zip(node.keys, node.values, strict=True)
                    if isinstance(name, ast.Attribute) and name.attr == key
                )

    return read


def repositories_of_dicts(_path: str, source: bytes) -> Iterable[str]:
    """unsloth: the originals in the tables of its own quantized copies."""
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.Dict):
            for text in _strings(part for one in (*node.keys, *node.values) if one for part in ast.walk(one)):
                if text.count("/") == 1 and not text.lower().startswith("unsloth/"):
                    yield text


def enum_values(name: str) -> Callable[[str, bytes], Iterable[str]]:
    """Reads the strings that the body of class `name` assigns."""

    def read(_path: str, source: bytes) -> Iterable[str]:
        for node in ast.walk(parse(source)):
            if isinstance(node, ast.ClassDef) and node.name == name:
                yield from _strings(part.value for part in node.body if isinstance(part, ast.Assign))

    return read


def mapped_values(pattern: str) -> Callable[[str, bytes], Iterable[str]]:
    """Reads the strings that are values of a dict assigned to a name which `pattern` matches whole."""
    names = re.compile(pattern)

    def read(_path: str, source: bytes) -> Iterable[str]:
        for name, value in _assignments(parse(source)):
            if names.fullmatch(name) and isinstance(value, ast.Dict):
                yield from _strings(value.values)

    return read


def model_modules(path: str, source: bytes) -> Iterable[str]:
    """mlx-lm: a module of a model has the classes `Model` and `ModelArgs`, and is called as the model type; other
    types are mapped to it in `utils.py`."""
    tree = parse(source)
    if path.endswith("utils.py"):
        yield from (
            entry for name, value in _assignments(tree) if name == "MODEL_REMAPPING" for entry in _entries(value)
        )
        return
    bound = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    if {"Model", "ModelArgs"} <= bound:
        yield path.rpartition("/")[2].removesuffix(".py")


def folder_name(path: str, _source: bytes) -> Iterable[str]:
    """torchtune: each model has a folder."""
    yield path.split("/")[-2]


def _in(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


_VLLM = r"_(?!ROCM|PREVIOUSLY|OOT|SPECULATIVE|TRANSFORMERS_BACKEND)[A-Z_]*MODELS"
_QUANTIZATIONS = r"QuantizationMethods|(?:BASE_)?QUANTIZATION_METHODS|_QUANTIZATION_CONFIG_REGISTRY"
RECIPES: Mapping[str, tuple[Registry, ...]] = {
    "transformers": (
        Registry("quantizations", _in(r"transformers/quantizers/auto\.py"),
               named_entries("AUTO_QUANTIZATION_CONFIG_MAPPING")),
    ),
    "peft": (
        Registry("lora_targets", _in(r"peft/utils/(?:constants|other)\.py"),
               named_entries("TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING")),
    ),
    "liger-kernel": (
        Registry("model_types", _in(r"liger_kernel/transformers/monkey_patch\.py"),
               named_entries("MODEL_TYPE_TO_APPLY_LIGER_FN")),
    ),
    "unsloth": (Registry("repositories", _in(r"unsloth/models/mapper\.py"), repositories_of_dicts),),
    "axolotl": (
        Registry("packing", _in(r"axolotl/monkeypatch/multipack\.py"),
                 named_entries("SUPPORTED_MULTIPACK_MODEL_TYPES")),
    ),
    "llamafactory": (Registry("repositories", _in(r"llamafactory/extras/constants\.py"), dict_values("DEFAULT")),),
    "ms-swift": (
        Registry("architectures", _in(r"swift/(?:llm/model/model|model/models)/\w+\.py"),
               keyword_strings("architectures")),
    ),
    "torchtune": (Registry("models", _in(r"torchtune/models/\w+/_model_builders\.py"), folder_name),),
    "vllm": (
        Registry("architectures", _in(r"vllm/model_executor/models/(?:registry|__init__)\.py"), named_entries(_VLLM)),
        Registry("quantizations", _in(r"vllm/model_executor/layers/quantization/__init__\.py"),
               named_entries(_QUANTIZATIONS)),
    ),
    "sglang": (
        Registry("architectures", _in(r"sglang/srt/models/\w+\.py"), entry_classes),
        Registry("quantizations", _in(r"sglang/srt/layers/quantization/__init__\.py"), named_entries(_QUANTIZATIONS)),
    ),
    "lmdeploy": (
        Registry("architectures", _in(r"lmdeploy/(?:pytorch/models/module_map|turbomind/supported_models)\.py"),
               named_entries("MODULE_MAP|SUPPORTED_ARCHS", without=".")),
    ),
    "mlx-lm": (Registry("model_types", _in(r"mlx_lm/(?:models/\w+|utils)\.py"), model_modules),),
    "exllamav3": (
        Registry("architectures", _in(r"exllamav3/(?:architecture|models)/\w+\.py"), class_attributes("arch_string")),
    ),
    "ctranslate2": (
        Registry("configs", _in(r"ctranslate2/converters/transformers\.py"), decorator_arguments("register_loader")),
    ),
    "gguf": (Registry("gguf_architectures", _in(r"gguf/constants\.py"), mapped_values("MODEL_ARCH_NAMES")),),
    "optimum-onnx": (
        Registry("model_types", _in(r"optimum/exporters/onnx/model_configs\.py"),
               decorator_arguments("register_tasks_manager_onnx")),
    ),
    "gptqmodel": (Registry("model_types", _in(r"gptqmodel/models/auto\.py"), named_entries("MODEL_MAP")),),
    "compressed-tensors": (
        Registry("formats", _in(r"compressed_tensors/config/base\.py"), enum_values("CompressionFormat")),
    ),
}  # fmt: skip
