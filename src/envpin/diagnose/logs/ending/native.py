"""What libraries refuse whose code is no Python: tokenizers, SentencePiece, ONNX Runtime, safetensors, CTranslate2.

They leave no frame that names a task: the script's call tells it, and their message the value that they do not take.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.diagnose.logs.ending.native_words import ROWS
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import code_lines, frames_of, is_own

if TYPE_CHECKING:
    from collections.abc import Mapping

# What only calls of one of them look like, in a line of a script's code.
_CALLS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("tokenizers", (r"\b(?:pre_tokenizers|normalizers|post_?processors|processors|decoders|trainers)\.[A-Z]\w+|"
         r"\bmodels\.(?:BPE|WordPiece|WordLevel|Unigram)\b|\b(?:Bpe|WordPiece|WordLevel|Unigram)Trainer\(|"
         r"\.(?:pre_tokenizer|normalizer|post_processor|decoder) ?= ?|\.(?:enable_padding|enable_truncation|"
         r"token_to_id|train_from_iterator)\(|\b(?:Template|Bert|Roberta)Processing\(|\bTokenizer\((?:BPE|WordPiece|Unigram|models)|"
         r"\b(?:BPE|WordPiece|WordLevel|Unigram)(?:\.\w+)?\(|(?<!Auto)Tokenizer\.from_|Tokenizer\([\"']|\bRegex\(")),
        ("SentencePiece", r"\bSentencePiece(?:Trainer|Processor)\b|\bspm\.\w"),
        ("ONNX Runtime", (r"\bInferenceSession\(|\bSessionOptions\b|\.graph_optimization_level\b|\bort\.\w|"
         r"\.get_(?:in|out)puts\(\)|\bOrtValue\b|\.run\(None\b")),
        ("ONNX", r"\bonnx\.\w|\bhelper\.make_\w"),
        ("safetensors", r"\bsafe_open\(|\b(?:load|save)_file\(|safetensors\.\w"),
        ("CTranslate2", r"\bctranslate2\.\w|\.(?:translate|generate|score|forward)_(?:batch|iterable|file|tokens)\("),
        ("MLX", r"\bmx\.\w|\bmlx\.\w"),
        ("protobuf", r"\.ParseFromString\("),
        ("gguf", r"\bGGUF(?:Reader|Writer)\(|\bgguf\.\w"),
    )
)  # fmt: skip
_FOLDERS: Mapping[str, str] = {
    "sentencepiece": "SentencePiece", "onnxruntime": "ONNX Runtime", "onnx": "ONNX", "safetensors": "safetensors",
    "tokenizers": "tokenizers", "ctranslate2": "CTranslate2", "mlx": "MLX", "google": "protobuf", "gguf": "gguf",
}  # fmt: skip
_ERROR = re.compile(r"(?:^|[\s:|\])])(?:[A-Za-z_][\w.]*\.)?([A-Z]\w*Error|Exception)(?:: (.*)|\s*$)", re.DOTALL)
# What refuses a value; other errors are of the script's own code.
_REFUSES = frozenset({"ValueError", "TypeError", "Exception", "OverflowError"})
# Where a model or tokenizer is at work: what is refused there is what it was given to read.
_WORKS = re.compile(r"\.(?:encode|decode|run|tokenize)(?:_\w+)?\(|\.(?:translate|generate|score|forward)_\w+\(")
# What pybind11 and nanobind print of a call: the names that it may have, and those that it had.
_KEYWORDS = re.compile(r"Invoked with:[^\n]*; kwargs: ([^\n]{1,400})")
_NAMED = re.compile(r"\b(\w+):")
_GIVEN = re.compile(r"(?:^|, )(\w+)=")
_QUOTED, _CODE = 200, 120


class NativeRefusal(NamedTuple):
    """An error of such a library: its class and words, the line of code, and the lines around it."""

    library: str
    error: str
    code: str
    before: str
    after: str


def explain_native(line: str, before: str, after: str = "") -> Explained | None:
    """The cause of what such a library refuses; None where the call is none of theirs."""
    said = _ERROR.search(line)
    if said is None:
        return None
    exception, message, code = said[1], said[2] or "", _code_of_script(before)
    library = _library(before, code)
    if library is None:
        return None
    one = NativeRefusal(library, f"{exception}: {message}", code, before, after)
    for row in ROWS:
        if row.library not in {"", library} or (row.code is not None and row.code.search(code) is None):
            continue
        if (found := row.error.search(one.error)) is not None:
            groups = {name: value for name, value in found.groupdict().items() if value is not None}
            words = _Named(groups, one)
            return Explained(row.cause, row.says.format_map(words), tuple(step.format_map(words) for step in row.fix))
    return _of_arguments(message, one) or _any(exception, message, one)


def _of_arguments(message: str, one: NativeRefusal) -> Explained | None:
    """Arguments of a C++ function: the lines after the error list those that it takes, and those that it was given."""
    if "incompatible function arguments" not in message:
        return None
    call = _short(one.code)
    given = _KEYWORDS.search(one.after)
    known = set(_NAMED.findall(one.after.partition("Invoked with")[0]))
    unknown = [] if given is None else [name for name in _GIVEN.findall(given[1]) if name not in known]
    if unknown and known:
        says = f"{one.library} does not take `{'`, `'.join(unknown)}` in `{call}`: it is misspelt, of another "
        return Explained("settings-refused", f"{says}library, or of another release", (
            "take one of the names that the message lists", "help(FUNCTION) shows what each is for",
        ))  # fmt: skip
    compare = 'compare the kinds that the message lists with what was given, after "Invoked with:"'
    if _WORKS.search(one.code) is not None:
        says = f"{one.library} does not take what `{call}` gives it: what it works on is of another kind"
        lists = "CTranslate2 wants a list of lists of tokens: [sp.encode(text, out_type=str)], no text and no numbers"
        return Explained("inputs-do-not-fit", says, (lists if one.library == "CTranslate2" else compare, compare)[:2])
    says = f"{one.library} does not take what `{call}` gives it: the number or the kind of the arguments is another"
    return Explained("settings-refused", says, (compare,))


def _code_of_script(before: str) -> str:
    """The lines of code at which the deepest frame of a script stopped."""
    parts = before.split('File "')[1:]
    for at in reversed(range(len(parts))):
        frames = frames_of(f'File "{parts[at]}')
        if frames and is_own(frames[0]):
            return "\n".join(code_lines(parts[at])[1:])
    return ""


def _library(before: str, code: str) -> str | None:
    """Whose code stopped: that of the last frame, or of the call where the script's own line is the last."""
    frames = frames_of(before)
    if not frames:
        return None
    if not is_own(frames[-1]):
        return _FOLDERS.get(frames[-1].library or "")
    return next((name for name, calls in _CALLS if calls.search(code) is not None), None)


def _any(exception: str, message: str, one: NativeRefusal) -> Explained | None:
    """What it says of a value, where no row knows its words and the script's own line is the last."""
    own = is_own(frames_of(one.before)[-1]) or (one.library == "MLX" and one.code)
    if exception not in _REFUSES or not message.strip() or not own:
        return None
    said, call = " ".join(message.split())[:_QUOTED], _short(one.code)
    if _WORKS.search(one.code) is not None:
        says = f"{one.library} does not take what `{call}` gives it: {said}"
        return Explained("inputs-do-not-fit", says, ("print what is given there, and its type, right before",))
    says = f"{one.library} refuses a value that `{call}` gives it: {said}"
    return Explained("settings-refused", says, ("change the value that the message names",))


def _short(code: str) -> str:
    return " ".join(code.split())[:_CODE]


class _Named(dict[str, str]):
    """What a row's words are filled with; `{call}` is the line of code."""

    def __init__(self, groups: dict[str, str], one: NativeRefusal) -> None:
        super().__init__(groups)
        self["call"] = _short(one.code)
        self["library"] = one.library

    def __missing__(self, key: str) -> str:
        return ""
