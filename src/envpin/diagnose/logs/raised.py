"""Errors that a library raises by itself, and those that stop in its code: the last thing asked of a log. Pure.

`raised.json` was read from wheels by `scripts/collect_raised.py`: the first words of messages, by package, cause and
file. Where no message is known, the frames tell whose code stopped and what it was doing there.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from envpin.core.command_text import command_text
from envpin.core.files import read_bounded
from envpin.diagnose.catalogue.catalogue import load_catalogue
from envpin.diagnose.logs.arguments import Explained
from envpin.diagnose.logs.frames import frames_of, of_the_stack, shown_name
from envpin.diagnose.logs.releases import release_words
from envpin.diagnose.logs.roles import SERVERS, cause_of, prepares_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.diagnose.logs.frames import Frame

_FACTS = Path(__file__).with_name("raised.json")
_FACTS_BYTES = 4_000_000
# Words of a message that name it: a template is found by the first of its longest part.
LENGTH = 6
_SHORTEST = 4
_WORD = re.compile(r"[\w./=+<>-]+")
# A message without frames is known by its words alone, so one of them has to be of this field.
STACK_WORD = re.compile(
    r"_|lora|adapter|peft|model|token|dataset|quantiz|weights?\b|checkpoint|train|gpu|cuda|tensor|prompt|layer|deepspeed|"
    r"fsdp|zero|vllm|template|batch|attention|dtype|bf16|fp16|fp8|gguf|moe|expert|logits|embedding|bitsandbytes|unsloth|"
    r"transformers|collator|processor|multimodal|image|video|audio|reward|optimizer|scheduler|gradient|checkpointing|rope"
)
RAISED_ANCHORS = ("Error: ", "Exception: ", "AssertionError")
# A traceback of a server repeats its prefix on each line and has two to three lines for each frame.
RAISED_NEAR = 40
_ERROR = re.compile(r"(?:^|[\s:|\])])(?:[A-Za-z_][\w.]*\.)?([A-Z]\w*(?:Error|Exception))(?:: (.*)|\s*$)", re.DOTALL)
_RAISE = re.compile(r"(?:^|[\s>│])(?:raise\s+\w|assert\s)")
# What stops in a library without its saying so.
_STOPS = frozenset({"KeyError", "IndexError", "AttributeError", "TypeError", "ValueError", "UnboundLocalError",
                    "ZeroDivisionError", "AssertionError", "RuntimeError", "NotImplementedError", "NameError",
                    "RecursionError", "SyntaxError", "IndentationError"})  # fmt: skip
_ROWS = frozenset({"KeyError", "IndexError", "AttributeError", "TypeError", "ValueError", "ZeroDivisionError"})
# Folders whose frames only pass a call on.
_PASSES_ON = frozenset({"torch", "multiprocess", "multiprocessing", "concurrent", "fire", "click", "hydra", "pydantic",
                        "pydantic_core", "ray", "uvicorn", "starlette", "fastapi", "gradio", "numpy", "pyarrow", "jinja2",
                        "huggingface_hub", "requests", "urllib3", "dill", "pandas", "IPython", "jsonargparse"})  # fmt: skip
_TRAINING = "run with the versions of the training run: envpin run ADAPTER -- CMD"
_SAYS = {
    "settings-refused": "{package} refuses a setting: it raises this in `{file}`",
    "data-not-as-expected": "{package} raises this of the data, in `{file}`",
    "inputs-do-not-fit": "{package} raises this of what the model was given, in `{file}`",
    "serving-limit": "{package} does not take this model or adapter: it raises this in `{file}`",
    "package-missing": "{package} asks in `{file}` for a package that the interpreter does not have",
}
_STEPS = {
    "settings-refused": (
        "change the setting that the message names, or take the release whose page names it",
        _TRAINING,
    ),
    "library-api-changed": ("take the release that the message names", _TRAINING),
}


class _Raised(NamedTuple):
    package: str
    code: str
    file: str


def explain_raised(line: str, before: str) -> Explained | None:
    """What an error says that nothing else explains; `before` are the lines that end with it. None where neither its
    words nor the frames before it are of a library of this field."""
    error = _ERROR.search(line)
    if error is None:
        return None
    exception, message = error[1], error[2] or ""
    frames = frames_of(before)
    known = known_message(message)
    if not frames:
        return None if known is None else _said(known.code, known.package, known.file)
    place = _deepest(frames)
    if place is None:
        return None
    package = shown_name(str(place.library))
    if known is not None and known.package == package:
        return _said(known.code, package, known.file)
    if _raises(before) and (code := cause_of(package, place.path, place.function, exception, message)) is not None:
        return _said(code, package, place.path)
    return _stopped(exception, package, place, before)


def _deepest(frames: list[Frame]) -> Frame | None:
    """The library's frame that stopped. None where it is someone's own code that did, unless a library called it to
    prepare rows."""
    for one in reversed(frames):
        if one.library is None and "/python3" not in one.path and "\\lib\\" not in one.path.lower():
            above = of_the_stack(frames[: frames.index(one)])
            return above[-1] if above and prepares_rows(above[-1].path, above[-1].function) else None
        if one.library is not None and one.library not in _PASSES_ON:
            return one if of_the_stack([one]) else None
    above = of_the_stack(frames)
    return above[-1] if above else None


def _raises(before: str) -> bool:
    """Whether the last line of code before the error raises or asserts."""
    lines = [one for one in before.split("\n")[:-1][-12:] if one.strip(" ^~│|")]
    return any(_RAISE.search(one) for one in lines[-3:])


def _stopped(exception: str, package: str, place: Frame, before: str) -> Explained | None:
    if exception not in _STOPS:
        return None
    if exception in _ROWS and prepares_rows(place.path, place.function):
        return _said("data-not-as-expected", package, place.path)
    if package in SERVERS and re.search(r"lora|adapter|peft", place.path) is not None:
        return _said("serving-limit", package, place.path)
    says = f"{package} stopped in its own code, in `{place.path}`: most likely a fault of this release"
    released = release_words(package, before)
    return Explained("library-fault", f"{says}; {released}" if released else says, _fault_steps(package))


def _fault_steps(package: str) -> tuple[str, ...]:
    newest = command_text("python", "-m", "pip", "install", "-U", package)
    return (
        f"take a newer release of it, where the fault may be gone: {newest}",
        "look for the line in its tracker",
        _TRAINING,
    )


def _said(code: str, package: str, file: str) -> Explained:
    says = _SAYS.get(code, "{package} raises this itself, in `{file}`").format(package=package, file=file)
    return Explained(code, says, _STEPS.get(code, load_catalogue()[code].fix))


def words_of(text: str) -> list[str]:
    """The words of a message, as they are compared."""
    return [word for part in _WORD.findall(text.lower()) if (word := part.strip(".-/=<>+"))]


def known_message(message: str) -> _Raised | None:
    """The package, cause and file whose wheels hold a message that begins like a part of this one."""
    words, table = words_of(message[:1_500]), _table()
    for length in range(LENGTH, _SHORTEST - 1, -1):
        for at in range(len(words) - length + 1):
            found = table.get(" ".join(words[at : at + length]))
            if found is not None:
                return found
    return None


@cache
def _table() -> Mapping[str, _Raised]:
    document = msgspec.json.decode(read_bounded(_FACTS, _FACTS_BYTES))
    return {
        words: _Raised(package, code, file)
        for package, causes in document["messages"].items()
        for code, files in causes.items()
        for file, messages in files.items()
        for words in messages
    }
