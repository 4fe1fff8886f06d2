"""Collect what libraries raise, and whose their names are: `python scripts/collect_raised.py` writes three files.

`logs/facts/raised.json` holds the first words of messages by package, cause and file, `logs/facts/symbols.json` which package defines
a class or function and which release gave or took an argument, `logs/facts/newest.json` the newest release of each package and
what it asks for. Wheels are read as syntax, the last release of each quarter since 2024; nothing is run.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tarfile
import warnings
import zipfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from envpin.diagnose.logs.facts.messages import LENGTH, SHORTEST, STACK_WORD, words_of
from envpin.diagnose.logs.facts.roles import cause_of
from envpin.evidence.stack.metadata import windows_of
from envpin.remote.index import Index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.remote.index import Release, ReleaseFile

JUDGED = Path(__file__).with_name("raised_judged.tsv")
LOGS = Path(__file__).resolve().parents[1] / "src" / "envpin" / "diagnose" / "logs" / "facts"
# Whose copy of a message or name counts, where several have it: the first.
PACKAGES = (
    "transformers", "peft", "trl", "accelerate", "datasets", "huggingface-hub", "bitsandbytes", "deepspeed", "vllm",
    "sglang", "lmdeploy", "llamafactory", "ms-swift", "axolotl", "unsloth", "unsloth-zoo", "autotrain-advanced",
    "mlx-lm", "diffusers", "sentence-transformers", "optimum", "gptqmodel", "autoawq", "llmcompressor",
    "compressed-tensors", "torchtune", "torchao", "setfit", "verl", "openrlhf", "mergekit", "lm-eval", "mlx-vlm",
    "liger-kernel", "gguf", "qwen-vl-utils", "xtuner",
)  # fmt: skip
# Whose messages were judged, and of whose other names nothing is kept.
JUDGED_ALSO = ("evaluate", "safetensors", "tokenizers", "litgpt", "auto-gptq", "ctranslate2", "optimum-onnx", "auto-round",
               "onnxruntime", "adapters", "span-marker", "simpletransformers", "lightning")  # fmt: skip
# Asked for their newest release alone.
ALSO = ("torch", "tokenizers", "triton", "xformers", "flash-attn", "numpy", "pydantic", "timm", "modelscope",
        "colpali-engine", "exllamav3", "ctranslate2", "lightning", "pytorch-lightning", "outlines", "xgrammar",
        "litgpt", "finetrainers", "diffsynth", "auto-gptq", "evaluate", "vllm-ascend")  # fmt: skip
# Whose classes scripts use and derive from; of the others only names that say whose they are.
USED = PACKAGES[1:6] + PACKAGES[11:18] + ("liger-kernel", "qwen-vl-utils", "verl", "openrlhf", "sentence-transformers")
NAMED = re.compile(
    r"LLM|Lo[rR][aA]|GPUModel|V(?:LLM|llm)|SGLang|Engine|Executor|DeepSpeed|Z[eE]RO|Scheduler|Worker|Runner"
)
SOMEONE_ELSES = ("/tests/", "/test/", "/examples/", "/backend/", "/studio/", "_vendored", "/vendor", "/third_party",
                 "/benchmarks/", "/openenv", "commands/", "/cli/hf")  # fmt: skip
# Of kernels and schedulers: their messages speak to who writes them, and frames tell the rest.
HEAVY = re.compile(
    r"kernel|/_?ops/|triton|flash_attn|/layers/|multimodal_gen|mem_cache|kv_|/attention|speculative|disaggregation|debug|"
    r"/test|hardware_backend|/distributed/|eplb|/moe|cutlass|/v1/worker|jit_|/op_builder|inference/v2|monkeypatch|"
    r"weight_transfer|/kits|spec_decode|compilation|streaming"
)
WHOLE = 60_000_000


class Raised(NamedTuple):
    exception: str
    parts: tuple[str, ...]
    path: str
    function: str


def quarterly(index: Index, package: str) -> list[Release]:
    last: dict[tuple[int, int], Release] = {}
    for one in index.releases(package):
        file = one.wheel or one.source
        if not one.is_prerelease and not one.yanked and file and file.uploaded and file.uploaded.year >= 2024:
            last[file.uploaded.year, file.uploaded.month // 4] = one
    return list(last.values())


def sources(index: Index, file: ReleaseFile) -> Iterator[tuple[str, ast.Module]]:
    for name, text in _members(index, file):
        if any(one in f"/{name}" for one in SOMEONE_ELSES):
            continue
        try:
            yield name, ast.parse(text)
        except (SyntaxError, ValueError):
            continue


def _members(index: Index, file: ReleaseFile) -> Iterator[tuple[str, bytes]]:
    if not file.is_wheel:
        with tarfile.open(fileobj=io.BytesIO(index.whole(file))) as archive:
            for one in archive:
                if one.isfile() and one.name.endswith(".py"):
                    held = archive.extractfile(one)
                    yield one.name.partition("/")[2], held.read() if held else b""
    elif (file.size or 0) > WHOLE:
        yield from index.members(file, [one for one in index.member_names(file) if one.endswith(".py")]).items()
    else:
        with zipfile.ZipFile(io.BytesIO(index.whole(file))) as archive:
            yield from ((one, archive.read(one)) for one in archive.namelist() if one.endswith(".py"))


def parts_of(node: ast.expr) -> tuple[str, ...]:
    """The literal parts of a message, in order; between them is what the call fills in."""
    if isinstance(node, ast.Constant):
        return (str(node.value),)
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(one.value) if isinstance(one, ast.Constant) else "\0" for one in node.values)
        return tuple(text.split("\0"))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = parts_of(node.left), parts_of(node.right)
        return (*left[:-1], left[-1] + right[0], *right[1:])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return tuple(re.split(r"%[-\d.]*[sdrf]", "".join(parts_of(node.left))))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return tuple(re.split(r"\{[^}]*\}", "".join(parts_of(node.func.value))))
    return ("", "")


def raised_in(path: str, tree: ast.Module) -> Iterator[Raised]:
    def visit(node: ast.AST, function: str) -> Iterator[Raised]:
        for child in ast.iter_child_nodes(node):
            inner = function
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                inner = f"{function}.{child.name}".strip(".")
            if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call):
                name = ast.unparse(child.exc.func).rpartition(".")[2]
                yield Raised(name, parts_of(child.exc.args[0]) if child.exc.args else ("",), path, inner)
            elif isinstance(child, ast.Assert) and child.msg is not None:
                yield Raised("AssertionError", parts_of(child.msg), path, inner)
            yield from visit(child, inner)

    yield from visit(tree, "")


def signatures_in(tree: ast.Module) -> Iterator[tuple[str, list[str] | None]]:
    """Public functions and classes at the top level with their arguments or fields; None for any keyword."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            yield node.name, _arguments(node)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            if any("dataclass" in ast.unparse(one) for one in node.decorator_list):
                named = (one.target for one in node.body if isinstance(one, ast.AnnAssign))
                yield node.name, sorted(one.id for one in named if isinstance(one, ast.Name))
            else:
                made = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
                yield node.name, _arguments(made[0]) if made else None


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str] | None:
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return None if node.args.kwarg else sorted({one.arg for one in every} - {"self"})


def key_of(parts: tuple[str, ...]) -> str | None:
    """The first words of the longest part, none of them cut by what is filled in; None where they are too few."""
    best: list[str] = []
    for at, part in enumerate(parts):
        words = words_of(part)
        words = words[1:] if at > 0 and part[:1].isalnum() else words
        words = words[:-1] if at < len(parts) - 1 and part[-1:].isalnum() else words
        best = max(best, words, key=len)
    return " ".join(best[:LENGTH]) if len(best) >= SHORTEST else None


Causes = dict[str, dict[str, dict[str, list[str]]]]


def judged() -> dict[tuple[str, str], str]:
    """The code of each message that a reader judged, by package and first words; `-` is no cause, `?` none alone."""
    rows = (line.split("\t") for line in JUDGED.read_text(encoding="utf-8").splitlines())
    return {(package, key): code for package, key, code in rows}


def messages(found: dict[str, list[Raised]]) -> tuple[Causes, Causes]:
    """What was judged, and of the rest what place and words tell: the first package that has it, and most of its
    places."""
    read, votes, first, places = judged(), defaultdict(Counter), {}, defaultdict(set)
    of_readers: Causes = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for package in (*PACKAGES, *JUDGED_ALSO):
        for one in found.get(package, ()):
            key, path = key_of(one.parts), one.path.partition("/")[2] or one.path
            if key is None:
                continue
            if (package, key) in read:
                if (code := read[package, key]) not in "-?" and key not in of_readers[package][code][path]:
                    of_readers[package][code][path].append(key)
            elif HEAVY.search(one.path) is None and STACK_WORD.search(key) is not None:
                text = " … ".join(one.parts)
                votes[key][cause_of(package, one.path, one.function, one.exception, text)] += 1
                first.setdefault(key, (package, path))
                places[key].add(one.path)
    told: Causes = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for key, counted in votes.items():
        code, most = counted.most_common(1)[0]
        of_models = all("/models/" in one and "/auto/" not in one for one in places[key])
        if code is not None and most >= 0.8 * sum(counted.values()) and not (of_models and len(places[key]) < 3):
            package, path = first[key]
            told[package][code][path].append(key)
    return in_order(of_readers), in_order(told)


def in_order(causes: Causes) -> Causes:
    """Each message once in its package, at the first of its places."""
    done: set[tuple[str, str]] = set()
    kept: Causes = defaultdict(lambda: defaultdict(dict))
    for package, codes in causes.items():
        for code, files in codes.items():
            for path in sorted(files):
                keys = sorted(key for key in files[path] if (package, key) not in done)
                done |= {(package, key) for key in keys}
                if keys:
                    kept[package][code][path] = keys
    return kept


def two_words(name: str) -> bool:
    humps = re.findall(r"[A-Z]+(?=[A-Z][a-z]|$|_)|[A-Z][a-z0-9]+|[a-z0-9]+", name)
    return not name.isupper() and len(humps) >= 2 and len(name) >= 9


def owners(read: dict[str, list[tuple[str, dict[str, list[str] | None]]]]) -> dict[str, str]:
    defined: dict[str, set[str]] = defaultdict(set)
    for package, history in read.items():
        for _, symbols in history:
            for name in filter(two_words, symbols):
                defined[name].add(package)
    found = {}
    for name, packages in defined.items():
        first = min(packages, key=PACKAGES.index)
        alone = len(packages) == 1 or first in PACKAGES[1:4] or packages == {"unsloth", "unsloth-zoo"}
        if first != "transformers" and alone and (first in USED or NAMED.search(name)):
            found[name] = first
    return found


def changes(history: list[tuple[str, list[str] | None]]) -> dict[str, list[str]]:
    """Argument to where it came and went by turns; nothing where a release takes any keyword."""
    kept = [(version, set(names)) for version, names in history if names is not None]
    if len(kept) < max(2, len(history)):
        return {}
    found = {}
    for argument in sorted(set().union(*(names for _, names in kept))):
        stays: list[str] = []
        for at, (version, names) in enumerate(kept):
            if (argument in names) != bool(len(stays) % 2):
                stays.append("" if at == 0 else version)
        if stays != [""]:
            found[argument] = stays
    return found


def write(name: str, document: object) -> None:
    target = LOGS / name
    target.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    print(name, target.stat().st_size, "bytes")


def main() -> None:
    warnings.simplefilter("ignore")
    index = Index(connections=8)
    raised: dict[str, list[Raised]] = defaultdict(list)
    read: dict[str, list[tuple[str, dict[str, list[str] | None]]]] = defaultdict(list)
    newest: dict[str, list[object]] = {}
    for package in (*PACKAGES, *ALSO):
        releases = [one for one in index.releases(package) if not one.is_prerelease and not one.yanked and one.files]
        file = releases[-1].wheel or releases[-1].linux_wheel
        needs = windows_of(index.metadata(file)).requires if file else {}
        day = (file or releases[-1].files[0]).uploaded
        needed = {name: window for name, window in needs.items() if name != "python"}
        newest[package] = [releases[-1].version, day.date().isoformat() if day else "", needed]
        for release in quarterly(index, package) if package in PACKAGES else ():
            file = release.wheel or release.linux_wheel or release.source
            symbols: dict[str, list[str] | None] = {}
            for path, tree in sources(index, file) if file else ():
                raised[package] += raised_in(path, tree)
                symbols.update(one for one in signatures_in(tree) if one[0] not in symbols)
            read[package].append((release.version, symbols))
            print(package, release.version, len(symbols), flush=True)
    for package in JUDGED_ALSO:
        for release in quarterly(index, package):
            file = release.wheel or release.linux_wheel or release.source
            for path, tree in sources(index, file) if file else ():
                raised[package] += raised_in(path, tree)
    whose = owners(read)
    arguments: dict[str, dict[str, dict[str, list[str]]]] = defaultdict(dict)
    for name, package in whose.items():
        turned = changes([(version, symbols[name]) for version, symbols in read[package] if name in symbols])
        if turned:
            arguments[package][name] = turned
    names = {
        one: " ".join(sorted(name for name, package in whose.items() if package == one)) for one in {*whose.values()}
    }
    spans = {package: [history[0][0], history[-1][0], len(history)] for package, history in read.items() if history}
    of_readers, told = messages(raised)
    write("raised.json", {"schema": 2, "judged": of_readers, "told": told})
    write("symbols.json", {"schema": 1, "names": names, "arguments": arguments, "read": spans})
    write("newest.json", newest)


if __name__ == "__main__":
    main()
