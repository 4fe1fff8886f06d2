"""What one release of a library has, read from its wheel as syntax: modules, names, members of classes, arguments.

For `collect_around.py`. Nothing is run: names that code makes as it runs and those of compiled modules are not seen.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import zipfile
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.remote.index import Index, ReleaseFile

# Of transformers what tokenizers and processors of single models have: the rest has a collector of its own.
OF_TRANSFORMERS = re.compile(r"/(?:tokenization|processing|feature_extraction|image_processing)_(?!utils|auto)\w*\.py$")
# Of torch what programs of people call: the rest is of its compiler and its tests.
OF_TORCH = re.compile(
    r"^torch/(?:(?:__init__|serialization|hub|functional|_tensor|random|storage|types|library|overrides)\.pyi?$|"
    r"(?:optim|onnx|amp|cuda|nn|jit|quantization|distributed|distributions|export|autograd|backends|multiprocessing|"
    r"profiler|compiler|linalg|sparse|special|fft|mps|xpu)/|"
    r"utils/(?:\w+\.py$|data/|tensorboard/))"
)
NOT_FOR_USERS = re.compile(
    r"/(?:tests?|testing|_?vendor(?:ed)?|third_party|examples?|benchmarks?|templates|node_modules|locale|cli|commands|"
    r"sphinxext|_cli|stubs?|thirdparty|externals?|migrations|proto|protos)/|/(?:conftest|setup)\.py$|_pb2"
)
_PARTS = {"transformers": OF_TRANSFORMERS, "torch": OF_TORCH}
# Smaller wheels are quicker to read as one file.
_WHOLE = 30_000_000
STORED = re.compile(r"\bself\.([a-z_]\w*)\s*(?::[^=\n]{1,80})?(?:,\s*self\.\w+\s*)*=(?!=)")


def dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


class Module:
    """One file: what it defines and imports, and its classes and functions."""

    def __init__(self, name: str, source: bytes, *, is_package: bool) -> None:
        self.name, self.is_package = name, is_package
        self.names: set[str] = set()
        self.stars: list[str] = []
        self.listed: set[str] | None = None
        self.classes: dict[str, dict[str, Any]] = {}
        self.functions: dict[str, list[str] | None] = {}
        self.places: dict[str, int] = {}
        text = source.decode("utf-8", "replace")
        self.lines = text.split("\n")
        for node in statements(ast.parse(text).body):
            self.take(node)
        self.lines = []

    def take(self, node: ast.stmt) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self.names.add(node.name)
            self.functions[node.name] = given(node)
            self.places[node.name] = by_place(node)
        elif isinstance(node, ast.ClassDef):
            self.names.add(node.name)
            self.classes[node.name] = self.of_class(node)
        elif isinstance(node, ast.Import):
            root = self.name.partition(".")[0]
            self.names |= {one.asname or root for one in node.names if one.name.partition(".")[0] == root}
        elif isinstance(node, ast.ImportFrom):
            self.take_from(node)
        elif isinstance(node, ast.Expr) and "_import_structure" in ast.unparse(node)[:60]:
            self.names |= strings(node.value)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = {part.id for one in targets for part in ast.walk(one) if isinstance(part, ast.Name)}
            self.names |= named
            if "__all__" in named and node.value is not None:
                self.listed = (self.listed or set()) | strings(node.value)
            if {
                "_import_structure",
                "_dynamic_imports",
                "_module_lookup",
                "_lookup",
            } & named and node.value is not None:
                self.names |= strings(node.value)

    def take_from(self, node: ast.ImportFrom) -> None:
        root, module = self.name.partition(".")[0], node.module or ""
        if node.level:
            parts = self.name.split(".")
            parts = parts[: len(parts) - node.level + (1 if self.is_package else 0)]
            module = ".".join([*parts, *([module] if module else [])])
        if module.partition(".")[0] != root:
            # what the package itself takes from others, people take from it: flask's `escape` was of markupsafe
            if self.name == root and module.partition(".")[0] not in sys.stdlib_module_names:
                self.names |= {one.asname or one.name for one in node.names} - {"*"}
            return
        if node.names[0].name == "*":
            self.stars.append(module)
        else:
            self.names |= {one.asname or one.name for one in node.names}

    def of_class(self, node: ast.ClassDef) -> dict[str, Any]:
        methods: dict[str, list[str] | None] = {}
        held: set[str] = set()
        fields: list[str] = []
        for one in statements(node.body):
            if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
                methods[one.name] = None if is_overload(one) and one.name not in methods else given(one)
                held.add(one.name)
                self.places[f"{node.name}.{one.name}"] = by_place(one)
            elif isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
                held.add(one.target.id)
                fields.append(one.target.id)
            elif isinstance(one, ast.Assign):
                held |= {part.id for part in one.targets if isinstance(part, ast.Name)}
            elif isinstance(one, ast.ClassDef):
                held.add(one.name)
        text = "\n".join(self.lines[node.lineno - 1 : node.end_lineno])
        held |= set(STORED.findall(text))
        decorated = any("dataclass" in ast.unparse(one) for one in node.decorator_list)
        bases = [ast.unparse(one).partition("[")[0].rpartition(".")[2] for one in node.bases]
        return {"bases": bases, "methods": methods, "held": held, "fields": fields if decorated else None}


@lru_cache(maxsize=8_000)
def module_of(name: str, source: bytes, is_package: bool) -> Module:
    """A file as it was read: most files of a release are those of the one before."""
    return Module(name, source, is_package=is_package)


def strings(node: ast.expr) -> set[str]:
    found = {str(one.value) for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return {one for one in found if one.isidentifier()}


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("overload" in ast.unparse(one) for one in node.decorator_list)


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement that runs on import, whatever the branch."""
    for node in body:
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            for part in ("body", "orelse", "finalbody"):
                yield from statements(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                yield from statements(handler.body)


def by_place(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many arguments a call may give by their place; -1 for any number."""
    if node.args.vararg is not None:
        return -1
    every = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
    return len(every) - (every[:1] in (["self"], ["cls"]))


def given(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str] | None:
    if node.args.kwarg is not None:
        return None
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sorted({one.arg for one in every} - {"self", "cls"})


def sources(index: Index, file: ReleaseFile, roots: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    if (file.size or _WHOLE) < _WHOLE:
        with zipfile.ZipFile(io.BytesIO(index.whole(file))) as archive:
            yield from ((one, archive.read(one)) for one in archive.namelist() if is_wanted(one, roots))
        return
    with index.wheel(file) as contents:
        yield from contents.read([one for one in contents.names if is_wanted(one, roots)]).items()


def is_wanted(path: str, roots: tuple[str, ...]) -> bool:
    return (
        path.endswith((".py", "/__init__.pyi"))
        and path.split("/", maxsplit=1)[0].removesuffix(".py") in roots
        and NOT_FOR_USERS.search(f"/{path}") is None
        and (roots[0] not in _PARTS or _PARTS[roots[0]].search(path) is not None)
    )


def read(index: Index, file: ReleaseFile, roots: tuple[str, ...]) -> dict[str, Any]:
    """What one release has."""
    modules: dict[str, Module] = {}
    texts = dict(sources(index, file, roots))
    for path, text in texts.items():
        if not path.endswith(".py"):
            continue
        try:
            name = dotted(path)
            modules[name] = module_of(name, text, path.endswith("/__init__.py"))
            if b"attach_stub" in text and f"{path}i" in texts:
                modules[name].names |= module_of(name, texts[f"{path}i"], True).names
        except (SyntaxError, ValueError, RecursionError):
            continue
    names = {name: sorted(n for n in exported(modules, name, ()) if public(n)) for name in modules if public(name)}
    return {
        "modules": sorted(filter(public, modules)),
        "names": {name: found for name, found in names.items() if found},
        **of_code(modules),
    }


def exported(modules: dict[str, Module], name: str, above: tuple[str, ...]) -> set[str]:
    one = modules.get(name)
    if one is None or name in above:
        return set()
    found = set(one.names) | (one.listed or set())
    for star in one.stars:
        taken = exported(modules, star, (*above, name))
        listed = modules[star].listed if star in modules else None
        found |= listed if listed and not modules[star].stars else taken
    return found


def of_code(modules: dict[str, Module]) -> dict[str, Any]:
    """Members by class, and arguments by function or `Class.method`; where a name is defined twice, those of both."""
    classes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    arguments: dict[str, set[str] | None] = {}
    places: dict[str, int] = {}
    for module in modules.values():
        for name, count in module.places.items():
            places[name] = -1 if -1 in (count, places.get(name)) else max(count, places.get(name, 0))
        for name, node in module.classes.items():
            classes[name].append(node)
        for name, some in module.functions.items():
            together(arguments, name, some)

    def gather(name: str, what: str, above: frozenset[str] = frozenset()) -> set[str]:
        found: set[str] = set()
        for node in classes.get(name, ()):
            found |= set(node[what] or ())
        # of a class that is derived from its namesake, both are among these
        for base in {base for node in classes.get(name, ()) for base in node["bases"]} - above - {name}:
            found |= gather(base, what, above | {name})
        return found

    for name, nodes in classes.items():
        for node in nodes:
            for method, some in node["methods"].items():
                together(arguments, f"{name}.{method}", some)
            if node["fields"] is not None and "__init__" not in node["methods"]:
                together(arguments, f"{name}.__init__", sorted(gather(name, "fields")))
    kept = {
        name: some for name, some in arguments.items()
        if is_called(name)
    }  # fmt: skip
    members = {name: sorted(filter(public, gather(name, "held"))) for name in classes if public(name)}
    given_to = {name: count for name, count in places.items() if count >= 0 and is_called(name)}
    return {
        "members": members,
        "places": given_to,
        "arguments": {name: sorted(some) if some is not None else None for name, some in kept.items()},
    }


def is_called(name: str) -> bool:
    return not any(part.startswith("_") and part not in ("__init__", "__call__", "__new__") for part in name.split("."))


def together(arguments: dict[str, set[str] | None], name: str, some: list[str] | None) -> None:
    if name in arguments and (arguments[name] is None or some is None):
        arguments[name] = None
    else:
        arguments[name] = (arguments.get(name) or set()) | set(some) if some is not None else None
