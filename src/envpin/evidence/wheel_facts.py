"""What the sources inside a wheel say, read as text and syntax, never imported. Pure."""

from __future__ import annotations

import ast
import re
from email.parser import Parser
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from envpin.evidence.parsing import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONFIGURATION = "transformers/models/auto/configuration_auto.py"
MAPPINGS = "transformers/models/auto/auto_mappings.py"  # since 5.6 the table is generated into a file of its own
INTEGRATION = "transformers/integrations/peft.py"
OLD_INTEGRATION = "transformers/utils/peft_utils.py"
INIT = "transformers/__init__.py"
_WINDOWS = ("torch", "tokenizers", "huggingface-hub", "numpy", "accelerate", "safetensors")
_PINNED = ("peft", "transformers", "torch", "accelerate", "tokenizers", "trl")


def model_types(sources: Mapping[str, bytes]) -> frozenset[str]:
    """The keys of `CONFIG_MAPPING_NAMES`, wherever that release keeps it.

    Raises:
        ValueError: the sources hold no such table.
    """
    found: set[str] = set()
    for name in (CONFIGURATION, MAPPINGS):
        if name in sources:
            found |= set(_mapping_keys(sources[name].decode("utf-8", "replace")))
    if not found:
        raise ValueError("no table of model types was found")
    return frozenset(found)


def _mapping_keys(text: str) -> Iterator[str]:
    for node in parse(text).body:
        if isinstance(node, ast.Expr) and _is_update(node.value):
            yield from _literal_keys(node.value)
        if isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        if "CONFIG_MAPPING_NAMES" in names and node.value is not None:
            yield from _literal_keys(node.value)


def _is_update(node: ast.expr) -> bool:
    """Whether it is `CONFIG_MAPPING_NAMES.update({…})`, as odd types are added since 5.6."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "update"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "CONFIG_MAPPING_NAMES"
    )


def _literal_keys(node: ast.expr) -> Iterator[str]:
    """Keys of nested dict displays and of `("key", "value")` pairs in lists, the two spellings in use."""
    for part in ast.walk(node):
        if isinstance(part, ast.Dict):
            for key in part.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value
        elif isinstance(part, ast.Tuple) and len(part.elts) == 2:
            first = part.elts[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def requirements(metadata: bytes) -> dict[str, str]:
    """What METADATA declares about Python and the packages that matter, extras for torch and accelerate included."""
    message = Parser().parsestr(metadata.decode("utf-8", "replace"), headersonly=True)
    found = {"python": str(message["Requires-Python"])} if message["Requires-Python"] else {}
    for line in message.get_all("Requires-Dist", []):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        extras = re.findall(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        own_extra = requirement.name if requirement.name in {"torch", "accelerate"} else None
        if requirement.name in _WINDOWS and (not extras or own_extra in extras) and requirement.name not in found:
            found[requirement.name] = str(requirement.specifier)
    return {name: versions for name, versions in found.items() if versions}


def exact_requirements(metadata: bytes) -> dict[str, str]:
    """The packages of `_PINNED` that METADATA pins to one version, with it."""
    message = Parser().parsestr(metadata.decode("utf-8", "replace"), headersonly=True)
    found: dict[str, str] = {}
    for line in message.get_all("Requires-Dist", []):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        exact = [one.version for one in requirement.specifier if one.operator == "==" and "*" not in one.version]
        if requirement.name in _PINNED and len(exact) == 1:
            found.setdefault(requirement.name, exact[0])
    return found


def minimal_peft(sources: Mapping[str, bytes]) -> str | None:
    """The `MIN_PEFT_VERSION` of that release of transformers."""
    for name in (INTEGRATION, OLD_INTEGRATION):
        match = re.search(
            r'^MIN_PEFT_VERSION\s*=\s*"([\d.]+)"', sources.get(name, b"").decode("utf-8", "replace"), re.MULTILINE
        )
        if match:
            return match[1]
    return None


def transformers_imports(sources: Mapping[str, bytes]) -> frozenset[str]:
    """What importing peft needs from transformers, dotted: `transformers.Cache`, `transformers.a.b.C`.

    `sources` are the modules of a peft wheel by path. Only those are looked at that `import peft` reaches, and there
    only imports that cannot be avoided: those inside functions, `try` and `if` may fail without breaking the import.
    """
    found: set[str] = set()
    waiting, seen = ["peft/__init__.py"], set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen or path not in sources:
            continue
        seen.add(path)
        for module, name in _imports(path, sources[path]):
            if module.split(".")[0] == "transformers":
                found.add(f"{module}.{name}" if name else module)
            elif module.split(".")[0] == "peft":
                waiting += _files_on_the_way(f"{module}.{name}" if name else module)
    return frozenset(name for name in found if not name.endswith(".*"))


def _imports(path: str, source: bytes) -> Iterator[tuple[str, str]]:
    """(module, name) of every unguarded import, absolute; the name is empty for `import module`."""
    try:
        tree = parse(source)
    except (SyntaxError, ValueError):
        return
    package = path.split("/")[:-1]
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            prefix = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*prefix, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if "." in alias.name)


def _files_on_the_way(dotted: str) -> list[str]:
    """Every file that importing `a.b.c` may run: the packages above it, and it."""
    pieces = dotted.split(".")
    paths = ["/".join(pieces[:end]) for end in range(1, len(pieces) + 1)]
    return [name for path in paths for name in (f"{path}.py", f"{path}/__init__.py")]


def module_files(dotted: str) -> tuple[str, ...]:
    """The wheel members that could define the module part of a dotted import: `a.b.C` lives in a/b.py or a/b/."""
    owner = dotted.rpartition(".")[0].replace(".", "/")
    whole = dotted.replace(".", "/")
    if owner == "transformers":
        return (INIT, f"{whole}.py", f"{whole}/__init__.py")
    return (f"{owner}.py", f"{owner}/__init__.py", f"{whole}.py", f"{whole}/__init__.py")


def offers(dotted: str, sources: Mapping[str, bytes]) -> bool:
    """Whether that release has what the dotted import names, as far as its text tells.

    A name of the top level must be written as a string in the lazy table of `transformers/__init__.py`, or be a module.
    A name of a module must be bound there: a class, a function, an assignment or an import.
    """
    name = dotted.rpartition(".")[2]
    whole = dotted.replace(".", "/")
    if f"{whole}.py" in sources or f"{whole}/__init__.py" in sources:
        return True
    for file in module_files(dotted)[:2]:
        text = sources.get(file)
        if text is None:
            continue
        plain = text.decode("utf-8", "replace")
        if file == INIT and re.search(rf"[\"']{re.escape(name)}[\"']|\b(?:def|class) {re.escape(name)}\b", plain):
            return True
        if file != INIT and re.search(rf"\b{re.escape(name)}\b", plain):
            return True
    return False


def lists_models_lazily(sources: Mapping[str, bytes]) -> bool:
    """Whether `transformers/__init__.py` no longer spells out what models export: absence there proves nothing."""
    text = sources.get(INIT, b"")
    return b"define_import_structure" in text and b'"LlamaForCausalLM"' not in text
