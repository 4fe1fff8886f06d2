"""The frames of a traceback, and whose files they are. Pure."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

_LIBRARIES = (
    "transformers|peft|trl|accelerate|datasets|deepspeed|bitsandbytes|unsloth|unsloth_zoo|unsloth_compiled_cache|vllm|"
    "vllm_ascend|sglang|lmdeploy|llamafactory|axolotl|swift|verl|openrlhf|optimum|gptqmodel|auto_gptq|awq|diffusers|"
    "sentence_transformers|huggingface_hub|tokenizers|liger_kernel|flash_attn|xformers|torchtune|mlx_lm|mlx_vlm|"
    "autotrain|llmcompressor|compressed_tensors|mergekit|setfit|transformers_modules|torchao|triton|fla|llava|"
    "qwen_vl_utils|lightning|pytorch_lightning|evaluate|modelscope|gguf|open_r1|lm_eval|outlines|xgrammar|diffsynth|"
    "finetrainers|litgpt|trlx|flash_attn_interface|exllamav3|ctranslate2|colpali_engine|xtuner|megatron|mcore_bridge|"
    "adapters|span_marker|simpletransformers|gliner|FlagEmbedding|auto_round|pylate|lighteval|mteb|llm2vec|chronos"
)
# Folders of other programs are called like these, so they count only where they are installed.
_INSTALLED_ALONE = frozenset({"onnx", "onnxruntime", "sentencepiece"})
# Below an installation the folder tells; in a checkout the last folder that is called like a library.
_INSTALLED = re.compile(r".*(?:site|dist)-packages[/\\]([\w-]+)[/\\](.*)")
_CHECKOUT = re.compile(rf"(?:.*[/\\])?({_LIBRARIES})[/\\](.*)")
# Programs call folders of their own like these, so there the library's own checkout has to stand above it.
_COMMON = frozenset({"datasets", "evaluate", "adapters", "lightning", "tokenizers"})
_WHOLE = re.compile(r"/|[A-Za-z]:\\")
# A folder from which nothing can be imported by its name.
_NO_PACKAGE = re.compile(r"[/\\][\w.]+-[\w.-]*[/\\]")
# `File "PATH", line 3, in f`, `File PATH:3, in f(x)`, `PATH.py in f(x)`, and the link that notebooks make of a path.
_LINK = r"(?:\]\(\S{1,300}\))?"
_FRAME = re.compile(
    r"""(?:File "?(?:[\[<][\w .…]{1,20}[\]>])?|^[ \t]*|[\s"(\[])"""
    r"""([^\s"()\[\]<>]{0,200}[/\\][^\s"()\[\]<>]{1,200}\.py)(?:"""
    rf""""?, line \d+(?:, in ([\w.<>]+))?|:\d+(?![\d:]){_LINK}(?:,? in ([\w.<>]+))?|{_LINK} in ([\w.<>]+)\()""",
    re.MULTILINE,
)
# The converters of llama.cpp, which are no package: gguf is what is installed of it. They name what they convert; a
# `convert_to_gguf.py` is a program's own.
_CONVERTER = re.compile(r"(?:^|[/\\])(?:convert[_-][\w-]+[_-]|huggingface[_-])to[_-]gguf\w*(?:\.py)?$")
STANDARD = re.compile(r"/python3|\\lib\\|^<", re.IGNORECASE)
_OWN_CODE = re.compile(r"[/\\](?:examples?|scripts|tests?|notebooks?|recipes)[/\\](?!.*(?:site|dist)-packages)")
# Decorators, which only hand a call on to what they wrap.
_WRAPS = re.compile(r"utils[/\\](?:_deprecation|_validators|deprecation)\.py$")
_WRAPPERS = frozenset({"inner_f", "_inner_fn", "wrapped_func", "inner", "wrapper"})
_NAMES = {"swift": "ms-swift", "unsloth_compiled_cache": "unsloth", "awq": "autoawq",
          "mcore_bridge": "ms-swift", "transformers_modules": "transformers"}  # fmt: skip


class Frame(NamedTuple):
    """One frame. `library` is None for files of no known library, and `path` then the whole path."""

    library: str | None
    path: str
    function: str


def frames_of(before: str) -> list[Frame]:
    """The frames in these lines, the deepest last; as Python, IPython and the loggers of servers print them."""
    every = (_frame(one[1], one[2] or one[3] or one[4] or "") for one in _FRAME.finditer(before))
    return [one for one in every if not (one.function in _WRAPPERS and _WRAPS.search(one.path) is not None)]


def _frame(path: str, function: str) -> Frame:
    installed = _INSTALLED.match(path)
    if installed is not None:
        return Frame(installed[1], installed[2], function)
    if _CONVERTER.search(path) is not None:
        return Frame("gguf", re.split(r"[/\\]", path)[-1], function)
    checkout = _CHECKOUT.match(path)
    if checkout is None or _OWN_CODE.search(path) is not None or _is_of_a_program(checkout[1], path):
        return Frame(None, path, function)
    return Frame(checkout[1], checkout[2], function)


def _is_of_a_program(library: str, path: str) -> bool:
    """Whether a whole path leads to a folder of a program that is called like a library, and not to its checkout."""
    if _NO_PACKAGE.search(path.rpartition(library)[2]) is not None and library != "transformers_modules":
        return True  # a repository that was cloned into a folder called so
    if library not in _COMMON or not _WHOLE.match(path):
        return False
    return re.search(rf"\b{library}[/\\](?:src[/\\])?{library}[/\\]", path) is None


@cache
def known_libraries() -> frozenset[str]:
    """The libraries of this field, as their folders are called."""
    return frozenset(_LIBRARIES.split("|")) | _INSTALLED_ALONE


def is_own(frame: Frame) -> bool:
    """Whether a frame is of a file that no installation holds: a script, or a program of its own."""
    return frame.library is None and STANDARD.search(frame.path) is None


def of_the_stack(frames: list[Frame]) -> list[Frame]:
    """Those of libraries of this field; `__getattr__` only passes on what someone else asked for."""
    return [one for one in frames if one.library in known_libraries() and one.function != "__getattr__"]


def shown_name(library: str) -> str:
    """What a library is called on the index."""
    return _NAMES.get(library, library.replace("_", "-"))


def last_code(before: str) -> list[str]:
    """The lines of code at which the last frame stopped, but for those of Python's own frozen modules."""
    frozen = before.rfind('File "<frozen')
    frame = before.rfind('File "', 0, frozen if frozen >= 0 else None)
    lines = before[max(frame, 0) :].split("\n")[1:-1]
    return [one for one in lines if one.strip(" \t^~│|") and 'File "<frozen' not in one]


def lines_below(frame: Frame, before: str) -> list[str]:
    """The lines from the last mention of a frame on: its code, and the frames that it called."""
    return before[max(before.rfind(frame.path), 0) :].split("\n")[1:]


def code_lines(before: str, within: int | None = None) -> list[str]:
    """The lines before an error, or so many of them, without those that only mark a place in the one above."""
    lines = before.split("\n")[:-1]
    return [one for one in (lines if within is None else lines[-within:]) if one.strip(" \t^~│|")]
