"""A file or folder of one's own that is imported in place of a package of the same name. Pure.

Python looks into the folder of the script first: a script `evaluate.py` imports itself, and a folder `onnx` with
exported models stands for the package where that is not installed. No release is to blame.
"""

from __future__ import annotations

import re
import sys

from envpin.core.command_text import command_text
from envpin.diagnose.logs.facts import around
from envpin.diagnose.logs.facts.index_names import on_the_index
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of, is_own, known_libraries

_IMPORT = re.compile(
    r"cannot import name '(?P<name>\w+)' from (?:partially initialized module )?'(?P<module>\w+)[\w.]*'"
    r"(?: \(most likely due to a circular import\))? \((?P<path>[^()]+\.py)\)"
)
_ATTRIBUTE = re.compile(r"(?:partially initialized )?module '(?P<module>\w+)' has no attribute '(?P<name>\w+)'")
_RENAME = re.compile(r"consider renaming '(?P<path>[^']+\.py)'")
_INSTALLED = re.compile(r"(?:site|dist)-packages[/\\]|[/\\]lib[/\\]python3|[/\\]python3[\d.]*[/\\]|\\Lib\\")
# What every release of a package has that people have used: read in wheels of 2022 and of 2026.
_ALWAYS = {
    "onnx": "load save checker helper numpy_helper shape_inference", "wandb": "init log login finish watch",
    "datasets": "load_dataset load_from_disk Dataset DatasetDict", "evaluate": "load",
    "transformers": "pipeline AutoTokenizer AutoModel AutoConfig Trainer TrainingArguments AutoModelForCausalLM",
    "torch": "tensor nn load save no_grad device cuda Tensor optim manual_seed", "peft": "get_peft_model LoraConfig",
    "sentencepiece": "SentencePieceProcessor SentencePieceTrainer", "tokenizers": "Tokenizer",
    "accelerate": "Accelerator", "numpy": "array zeros load save",
    "pandas": "DataFrame read_csv", "spacy": "load blank", "gradio": "Interface Blocks", "sacrebleu": "corpus_bleu",
    "tiktoken": "get_encoding", "librosa": "load", "soundfile": "read write", "jiwer": "wer",
}  # fmt: skip


def explain_hidden(line: str, before: str) -> Explained | None:
    """None where what was imported is the package, as far as the log shows."""
    found = _IMPORT.search(line)
    if found is not None:
        return _of_path(found["module"], found["path"], before) if not _INSTALLED.search(found["path"]) else None
    found = _ATTRIBUTE.search(line)
    if found is None or not _is_package(found["module"]):
        return None
    module, renamed = found["module"], _RENAME.search(line)
    own = renamed["path"] if renamed is not None else _own_file(module, before)
    if own is not None:
        return _of_file(module, own)
    return _of_folder(module, found["name"]) if found["name"] in _ALWAYS.get(module, "").split() else None


def _is_package(module: str) -> bool:
    return (
        module in known_libraries() or module in _ALWAYS or around.package_of(module) is not None
        or on_the_index(module) != module or module in sys.stdlib_module_names
    )  # fmt: skip


def _own_file(module: str, before: str) -> str | None:
    """The file of one's own in the frames that is called like the module."""
    own = [one.path for one in frames_of(before) if is_own(one) and not _INSTALLED.search(one.path)]
    return next((one for one in own if re.split(r"[/\\]", one)[-1] == f"{module}.py"), None)


def _of_path(module: str, path: str, before: str) -> Explained | None:
    if not _is_package(module):
        return None
    if re.split(r"[/\\]", path)[-1] == f"{module}.py":
        return _of_file(module, path)
    # a checkout that is installed as it stands lies elsewhere than next to the script
    scripts = [re.split(r"[/\\][^/\\]*$", one.path)[0] for one in frames_of(before) if is_own(one)][:1]
    folder = re.split(rf"[/\\]{module}[/\\]", path)
    if not scripts or len(folder) < 2 or folder[0] != scripts[0]:
        return None
    return _told(module, f"{folder[0]}/{module}", f"the folder `{module}` next to the script")


def _of_file(module: str, path: str) -> Explained:
    return _told(module, path, f"the file `{re.split(r'[/]', path)[-1]}` of the program's own folder")


def _told(module: str, path: str, what: str) -> Explained:
    says = (
        f"{what} is imported in place of the package `{module}`, which it hides as it has the same name: no release of "
        f"{module} is to blame"
    )
    steps = (
        f"rename `{path}`, and delete the __pycache__ next to it",
        f"see which one is imported: {command_text('python', '-c', f'import {module}; print({module}.__file__)')}",
        f"where the package itself is not installed: {command_text('python', '-m', 'pip', 'install', _called(module))}",
    )
    standard = module in sys.stdlib_module_names
    return Explained("installation-broken", says, steps[: 2 if standard else 3], in_field=standard)


def _of_folder(module: str, name: str) -> Explained:
    says = (
        f"every release of {_called(module)} has `{module}.{name}`: what was imported is not the package, but a folder "
        "or file of that name where the command runs or the script lies; most likely the package is not installed"
    )
    return Explained("package-missing", says, (
        f"install it there: {command_text('python', '-m', 'pip', 'install', _called(module))}",
        f"see which one is imported: {command_text('python', '-c', f'import {module}; print({module}.__path__)')}",
        f"rename the folder or file `{module}`, or start from another folder",
    ))  # fmt: skip


def _called(module: str) -> str:
    return on_the_index(module)
