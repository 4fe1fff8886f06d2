"""Files that tokenizers and SentencePiece read or write: their own code, which is no Python, names no task. Pure.

The call that a script made tells which: what it trains on is data, what it saves is its own, what it loads a tokenizer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import code_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

_RUST = re.compile(
    r"(?:^|[\s:])Exception: (?:Error while initializing (?P<kind>\w+): )?(?:(?P<why>No such file or directory|"
    r"Is a directory|Not a directory|Permission denied|Operation not permitted) \(os error \d+\)|"
    r"(?P<letters>stream did not contain valid UTF-8))"
)
_SPM = re.compile(
    r"(?:OSError|RuntimeError|PermissionError): [A-Za-z_ ]{1,30}: \"(?P<path>[^\"\n]{1,300})\": "
    r"(?P<why>No such file or directory|Is a directory|Permission denied)"
)
_TRAINS = re.compile(r"\.[Tt]rain\(|\.train_\w+\(|SentencePieceTrainer|_TrainFrom|files ?=")
_SAVES = re.compile(r"\.save(?:_model|_pretrained)?\(")
_SAVED = re.compile(r"\.save(?:_model|_pretrained)?\(\s*f?[\"'](?P<path>[^\"'{\n]{1,200})[\"']")
# What SentencePiece writes by its `model_prefix`.
_OUTPUT = re.compile(r"\.(?:model|vocab)$")
_LOADS = re.compile(
    r"from_file\(|from_pretrained\(|tokenizer_file|model_file|\.[Ll]oad\w*\(|Tokenizer\w*\([\"']|Processor\("
)
_QUOTED = re.compile(r"[\"']([^\"'\n]{0,200}?[\w-]\.\w{1,8}|[^\"'\n]{0,200}/[^\"'\n]{1,100})[\"']")
_WITHIN = 14
_LOOK = "look at the path, and from where the command runs: a relative one begins there"
_READ: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "No such file or directory": ("is not there", (_LOOK, "print the list of files that is given to `train`")),
    "Is a directory": (
        "is a folder, and files are wanted",
        ("give the files in it: files=[str(p) for p in Path(FOLDER).rglob(\"*.txt\") if p.is_file()]",),
    ),
    "Permission denied": ("may not be read by the user who runs this", ("look at its rights: ls -l FILE",)),
    "Not a directory": ("has a file in its path where a folder is meant", (_LOOK,)),
    "Operation not permitted": ("may not be opened: the system does not permit it", ("look at it: lsattr FILE",)),
}  # fmt: skip
_OF_A_PATH = frozenset({"No such file or directory", "Is a directory", "Not a directory"})
_OF_A_FILE = re.compile(r"\.from_file\(")
_NO_TOKENIZER_JSON = (
    "what is loaded as tokenizer.json is a binary file: a SentencePiece model (tokenizer.model, spiece.model), or a "
    "packed one"
)
_OTHER_LETTERS = (
    "a file that the tokenizer is trained on is not UTF-8: of another encoding (CP1251, Latin-1, UTF-16), still packed "
    "(.gz, .zip), or no text at all"
)


def explain_tokenizing(line: str, before: str) -> Explained | None:
    """The data, output or tokenizer that such code does not find or take; None where it is another's line."""
    rust = _RUST.search(line)
    found = rust or _SPM.search(line)
    if found is None:
        return None
    if rust is not None and rust["letters"]:
        return _of_other_letters(before)
    why, path = found["why"], found.groupdict().get("path")
    task = _task(before)
    if task == "saves":
        return _not_written(why, path, before)
    if task == "trains" and path and _OUTPUT.search(path) is not None:
        return _no_prefix(why, path)
    if task == "trains" and not found.groupdict().get("kind"):
        said, steps = _READ[why]
        of = f"`{path}`, which" if path else "a file that"
        names = "" if path else _named(before)
        return Explained("data-not-as-expected", f"{of} the tokenizer is to be trained on {said}{names}", steps)
    return _not_read(why, path) if why in _OF_A_PATH else None


def _of_other_letters(before: str) -> Explained:
    if _OF_A_FILE.search("\n".join(code_lines(before, within=3))) is not None:
        return Explained("tokenizer-missing", _NO_TOKENIZER_JSON, (
            ("a SentencePiece model: sentencepiece.SentencePieceProcessor(model_file=…), or AutoTokenizer, which "
            "converts it"), "look at it: file FILE",
        ))  # fmt: skip
    return Explained("data-not-as-expected", f"{_OTHER_LETTERS}{_named(before)}", (
        "see what it is: file FILE; packed: gunzip FILE",
        "make it UTF-8: iconv -f CP1251 -t UTF-8 FILE > NEW (or -f LATIN1, -f UTF-16)",
    ))  # fmt: skip


def _task(before: str) -> str:
    """What the deepest call that tells it does: it trains, saves, or loads where none does."""
    for code in reversed(code_lines(before, within=_WITHIN)):
        if _SAVES.search(code) is not None:
            return "saves"
        if _TRAINS.search(code) is not None:
            return "trains"
        if _LOADS.search(code) is not None:
            break
    return "loads"


def _named(before: str) -> str:
    """The files that the call names, where it does."""
    calls = [one for one in code_lines(before, within=_WITHIN) if _TRAINS.search(one) is not None]
    named = [path for one in calls[:1] for path in _QUOTED.findall(one)]
    return f" (it names `{'`, `'.join(named[:3])}`)" if named else ""


def _not_written(why: str, path: str | None, before: str) -> Explained | None:
    if why == "No such file or directory":
        return None  # the rule of folders names the one to make
    if why == "Not a directory":
        says = "the folder that the tokenizer is to be saved in is a file, or has one in its path"
        return Explained("output-exists", says, ("move that file away, and make the folder: mkdir -p FOLDER",))
    saved = _SAVED.search("\n".join(code_lines(before, within=_WITHIN)))
    path = path or (None if saved is None else saved["path"])
    what = f"`{path}`" if path else "where the tokenizer is to be saved"
    if why == "Operation not permitted":
        says = (
            f"{what} is there, and the system lets no program write over it: it is marked as immutable or append-only"
        )
        return Explained("output-exists", f"{says}, or its file system forbids it", (
            "give another name, or take the mark off: lsattr FILE; sudo chattr -i FILE",
        ))  # fmt: skip
    if why == "Permission denied":
        return Explained("settings-refused", f"{what} may not be written by the user who runs this", (
            "give another folder, or let its owner permit it",
        ))  # fmt: skip
    if re.search(r"\.save\(", before) is None:
        return None
    says = (
        f"`save` of tokenizers writes one file, and {what} is a folder: before tokenizers 0.8 `save` took a folder, "
        "which `save_model` does now"
    )
    return Explained("library-api-changed", says, (
        "name the file: tokenizer.save(\"FOLDER/tokenizer.json\")",
        "or vocab.json and merges.txt into the folder: tokenizer.save_model(FOLDER)",
    ))  # fmt: skip


def _no_prefix(why: str, path: str) -> Explained:
    """What SentencePiece writes when it has trained."""
    folder = path.replace("\\", "/").rpartition("/")[0] or "."
    if why == "No such file or directory":
        says = f"`{path}` is to be written after training, and the folder `{folder}` is not there"
        return Explained("settings-refused", f"{says}: SentencePiece makes none", (
            f"make it before the run: {command_text('mkdir', '-p', folder)}",
            "or give a model_prefix whose folder is there",
        ))  # fmt: skip
    reason = "is a folder" if why == "Is a directory" else "may not be written by the user who runs this"
    return Explained("settings-refused", f"`{path}`, which SentencePiece writes after training, {reason}", (
        f"look at it: {command_text('ls', '-ld', path, folder)}", "give another model_prefix",
    ))  # fmt: skip


def _not_read(why: str, path: str | None) -> Explained:
    """A tokenizer that is loaded."""
    if why != "No such file or directory":
        what = f"`{path}`" if path else "what is to be loaded as a tokenizer's file"
        return Explained("tokenizer-missing", f"{what} is a folder, and one file is wanted", (
            "name the file in it: tokenizer.json, vocab.json and merges.txt, or tokenizer.model",
        ))  # fmt: skip
    what = f"`{path}`, which is to be loaded as the tokenizer," if path else (
        "a file of the tokenizer, most often tokenizer.json (or vocab.json, merges.txt, vocab.txt),"
    )  # fmt: skip
    return Explained("tokenizer-missing", f"{what} is not where it was looked for", (
        "look at the path, and from where the command runs", "copy the tokenizer files of the base",
    ))  # fmt: skip
