"""What a library around the stack has in other releases than the one that ran: which, and who asks. Pure.

The facts are those of `facts/around.py`. A class or function alone tells its package only where its name is
distinctive; else a frame, an import or an alias in the lines before has to show the package.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.core.command_text import command_text
from envpin.diagnose.logs.facts import around
from envpin.diagnose.logs.facts.index_names import package_below
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.facts.successors import otherwise_of
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.field import is_named_after_it

if TYPE_CHECKING:
    from envpin.diagnose.logs.facts.around import LibraryChange
    from envpin.diagnose.logs.text.frames import Frame

_IMPORT = re.compile(r"cannot import name '(\w{1,120})' from (?:partially initialized module )?'(\w+(?:\.\w+)*)")
_ATTRIBUTE = re.compile(r"module '(\w+(?:\.\w+)*)' has no attribute '(\w{1,120})'|No (\w+) attribute (\w+)")
_MODULE = re.compile(r"No module named '(\w+(?:\.\w+)+)'\s*$")
_MEMBER = re.compile(r"(?:'([\w.]{1,120})' object|type object '([\w.]{1,120})') has no attribute '(\w{1,120})'")
_ARGUMENT = re.compile(r"(?:\b([\w.]+)\(\) )?got an unexpected keyword argument '(\w{1,80})'")
_MISSING = re.compile(r"\b([\w.]+)\(\) missing \d+ required (?:positional|keyword-only) arguments?: '(\w{1,80})'")
_PLACES = re.compile(r"\b([\w.]+)\(\) takes (?:from \d+ to )?(\d+) positional arguments? but (\d+)")
_CALLED = re.compile(r"([A-Za-z_]\w*)\(")
_TAKEN = re.compile(r"\bimport\s+\(?\s*([\w, ]+)")
# What scripts call the packages that they import.
_ALIASES = {
    "gradio": "gr", "pandas": "pd", "numpy": "np", "streamlit": "st", "matplotlib": "plt", "seaborn": "sns",
    "pytorch-lightning": "pl", "lightning": "L", "torchaudio": "ta", "torchmetrics": "tm", "onnxruntime": "ort",
    "pyarrow": "pa", "xgboost": "xgb", "lightgbm": "lgb", "bitsandbytes": "bnb", "protobuf": "pb", "torch": "optim",
}  # fmt: skip
# Functions that only pass an import or a call on.
_PASSING = frozenset({"__getattr__", "__getattribute__", "_get_module", "import_module", "_gcd_import", "wrapper"})
# Packages of this field: what is missing from one of them speaks of it, whatever the rest of the log.
OF_THE_FIELD = frozenset({
    "torch", "onnxruntime", "spacy", "nltk", "gensim", "librosa",
    "gradio", "gradio-client", "sentence-transformers", "setfit", "span-marker", "gliner", "diffusers", "optimum",
    "optimum-onnx", "langchain", "langchain-core", "langchain-community", "langchain-huggingface", "llama-index-core",
    "torchaudio", "torchvision", "torchao", "torchtune", "torchmetrics", "pytorch-lightning", "lightning", "evaluate",
    "bitsandbytes", "auto-gptq", "gptqmodel", "autoawq", "hqq", "gguf", "ctranslate2", "lm-eval", "mergekit", "timm",
    "open-clip-torch", "adapters", "jiwer", "bert-score", "sacrebleu", "rouge-score", "seqeval", "liger-kernel",
    "xformers", "tiktoken", "sentencepiece", "deepspeed", "flair", "openai", "anthropic", "wandb", "onnx",
    "controlnet-aux", "vllm", "unsloth", "unsloth-zoo", "flagembedding", "mteb", "modelscope", "llmcompressor",
    "compressed-tensors",
    "speechbrain", "faster-whisper", "openai-whisper", "bertopic", "keybert", "ragas", "torchtext", "tokenizers",
})  # fmt: skip


class _What(NamedTuple):
    """What is missing, in words, where it was, and what its change is told of. `moves` where it is a name or module,
    which another module may have now."""

    said: str
    name: str
    change: LibraryChange
    moves: bool = False


def explain_change(line: str, before: str) -> Explained | None:
    """Which releases have what a line says is missing; None where the facts hold nothing of it, or not whose it is."""
    from envpin.diagnose.logs.text.frames import frames_of, of_the_stack

    if (part := _of_a_part(line)) is not None:
        return part
    found = _of_import(line) or _of_module(line, before) or _of_class(line, before) or _of_call(line, before)
    if found is None:
        return None
    frames = frames_of(before)
    package = found.change.package
    told = _explained(found, _asker(frames, package), wanted="missing" in line)
    own = (one for one in frames if one.library is None)
    of_field = package in OF_THE_FIELD or bool(of_the_stack(frames)) or any(is_named_after_it(one.path) for one in own)
    return told._replace(in_field=not of_field)


def _of_import(line: str) -> _What | None:
    if (found := _IMPORT.search(line)) is not None:
        name, module = found[1], found[2]
    elif (found := _ATTRIBUTE.search(line)) is not None:
        module, name = found[1] or found[3], found[2] or found[4]
    else:
        return None
    change = around.name_change(module, name)
    return None if change is None else _What(f"`{name}` of `{module}`", name, change, moves=True)


def _of_a_part(line: str) -> Explained | None:
    """A module with a package of its own below a name that others share, which is not installed."""
    found = _MODULE.search(line)
    package = None if found is None else package_below(found[1])
    if found is None or package is None:
        return None
    says = f"`{found[1]}` is not installed in the interpreter that ran: a package of its own brings it, {package}"
    install = command_text("python", "-m", "pip", "install", package)
    return Explained("package-missing", says, (f"install it there: {install}", TRAINING))


def _of_module(line: str, before: str) -> _What | None:
    found = _MODULE.search(line)
    change = None if found is None else around.module_change(found[1])
    if found is None or change is None:
        return None
    return _What(f"the module `{found[1]}`", _taken_from(found[1], before) or found[1], change, moves=True)


def _taken_from(module: str, before: str) -> str | None:
    """The name that the last line of code wants of a module."""
    lines = [one for one in before.split("\n") if f"from {module} import" in one]
    taken = _TAKEN.search(lines[-1]) if lines else None
    return None if taken is None else taken[1].partition(",")[0].split()[0] if taken[1].strip() else None


def _of_class(line: str, before: str) -> _What | None:
    found = _MEMBER.search(line)
    if found is None:
        return None
    holder, name = (found[1] or found[2]).rpartition(".")[2], found[3]
    change = _whose(around.member_changes(holder, name), holder, before)
    return None if change is None else _What(f"`{name}` of `{holder}`", name, change)


def _of_call(line: str, before: str) -> _What | None:
    if (found := _ARGUMENT.search(line)) is not None:
        return _of_argument(found[1] or "__init__", found[2], before)
    if (found := _MISSING.search(line)) is not None:
        what = _of_argument(found[1], found[2], before)
        return None if what is None or what.change.went else what
    if (found := _PLACES.search(line)) is not None:
        given = int(found[3]) - ("." in found[1])
        change = _whose(around.place_changes(found[1], given), found[1], before)
        said = f"`{_shown(found[1])}` with {given} arguments by their place"
        return None if change is None else _What(said, "", change)
    return None


def _of_argument(called: str, name: str, before: str) -> _What | None:
    """An argument of what the error names; where it names none, or the constructor of none, of what the code calls."""
    if called in {"__init__", "__new__"}:
        calls = _CALLED.findall("\n".join(before.split("\n")[-12:-1]))
        names = {f"{one}.{part}" for one in calls for part in ("__init__", "__new__")} | {*calls}
    else:
        names = {called}
    for one in sorted(names):
        change = _whose(around.argument_changes(one, name), one, before)
        if change is not None:
            return _What(f"`{name}` of `{_shown(one)}`", name, change)
    return None


def _shown(called: str) -> str:
    return called.removesuffix(".__init__").removesuffix(".__new__")


def _whose(changes: list[LibraryChange], holder: str, before: str) -> LibraryChange | None:
    """The change of the package that the lines before show; where they show none, of the only one that has the name."""
    plain = _shown(holder)
    shown = [one for one in changes if plain.lower() in around.roots_of(one.package) or _is_shown(one.package, before)]
    if shown:
        return shown[0]
    alone = len(plain) >= _DISTINCT and len({one[1:] for one in changes}) == 1
    return changes[0] if alone and _OF_WORDS.search(plain) is not None else None


_OF_WORDS = re.compile(r"[a-z][A-Z]|[a-z]_[a-z]|\w\.\w")
# Shorter names anyone gives to a class or function.
_DISTINCT = 9


def _is_shown(package: str, before: str) -> bool:
    alias = _ALIASES.get(package)
    names = [*around.roots_of(package), *([alias] if alias else [])]
    every = "|".join(map(re.escape, names))
    return (
        re.search(rf"[/\\](?:{every})[/\\]|\b(?:import|from) (?:{every})\b|(?<![\w.'\"/\\-])(?:{every})\.\w", before)
        is not None
    )


def _asker(frames: list[Frame], package: str) -> str:
    """The installed package whose code asks, as the index calls it; "" for a script or where no frame tells."""
    from envpin.diagnose.logs.text.frames import STANDARD, shown_name

    roots = around.roots_of(package)
    every = [
        one for one in frames
        if one.library not in roots and one.function not in _PASSING
        and (one.library is not None or STANDARD.search(one.path) is None)
    ]  # fmt: skip
    asks = (every[-1].library or "") if every else ""
    return around.package_of(asks) or shown_name(asks) if asks else ""


def _explained(what: _What, asker: str, *, wanted: bool) -> Explained:
    change, package = what.change, what.change.package
    says = f"{what.said}: {_history(change, wanted=wanted)}"
    newer = change.went or wanted
    if asker:
        history = _history(change, wanted=wanted)
        says = f"{asker} asks {package} for {what.said}. {history}: the two are of different times"
    elif newer:
        says = f"{says}, so the code was written for an older one"
    else:
        says = f"{says}, so this {package} is older than the code"
    code = "transformers-api-changed" if package == "transformers" else "library-api-changed"
    return Explained(code, says, tuple(_steps(what, asker, newer=newer)))


def _history(change: LibraryChange, *, wanted: bool) -> str:
    package, first, last = change.package, change.first, change.last
    if wanted:
        return f"{package} {first} asks for it, and {change.before} does not know it"
    if change.went and change.before:
        read = f"{package} {first} to {last} have it, {change.before} and {change.after} do not"
        return f"of the releases that were read, {read}"
    if change.went:
        return f"{package} {last} still has it, and {change.after} does not"
    return f"{package} {first} has it, and {change.before} does not"


def _at_home(package: str, name: str, home: str) -> str:
    step = f"take `{name}` from where it is now: `{home}`"
    root = home.partition(".")[0]
    other = around.package_of(root) or root
    if root in around.roots_of(package) and other == package:
        return step
    return f"{step}, which {other} brings: {command_text('python', '-m', 'pip', 'install', other)}"


def _steps(what: _What, asker: str, *, newer: bool) -> list[str]:
    change = what.change
    release = f"=={change.last}" if change.went else f"=={change.before}" if newer else f">={change.first}"
    install = command_text("python", "-m", "pip", "install", f"{change.package}{release}")
    home = around.home_of(change.package, what.name) if change.went and what.moves else None
    renamed = otherwise_of(change.package, what.name) if what.name else None
    steps = [install]
    if renamed is not None:
        steps.insert(0 if not asker else 1, renamed)
    elif home is not None and not asker:
        steps.insert(0, _at_home(change.package, what.name, home))
    if asker:
        other = "a newer" if newer else "an older"
        steps.append(f"or {other} {asker}, which goes with this {change.package}: python -m pip check")
    return [*steps, TRAINING]
