"""Versions in a notebook: what its cells printed, and what its cells asked pip for. What was printed counts more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core import json_input
from envpin.inference.pinned import ALIASES, command_pins, source_pins
from envpin.inference.pythons import PYTHON
from envpin.inference.versions import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.core.place import Place

_BYTES = 8_000_000  # with its pictures
_TEXT = 200_000  # characters of one output
_NAME = r"(?P<name>peft|transformers|(?:py)?torch|tokenizers)"
_VERSION = r"(?P<version>\d+\.\d+[\w.+]*)"
_LINES = (
    # pip's last line: `Successfully installed peft-0.12.0 transformers-4.44.2`; wheels that it fetched as well
    re.compile(rf"(?<![\w-]){_NAME}-(?P<version>\d+(?:\.\d+)+[\w.+]*)"),
    # `Requirement already satisfied: torch>=1.13 in /usr/… (from peft) (2.4.0+cu121)`
    re.compile(rf"^[ \t]*Requirement already satisfied: {_NAME}\b.*\({_VERSION}\)[ \t]*$", re.IGNORECASE),
    # `Transformers version: 4.44.2`, `peft 0.12.0`, `- PyTorch version (GPU?): 2.4.0+cu121 (True)`
    re.compile(
        rf"^[\s*-]*`?{_NAME}`?(?:[ _]version|\.__version__)?(?:[ \t]*\(GPU\?\))?"
        rf"(?:[ \t]*(?:==|[:=])[ \t]*|[ \t]+)v?{_VERSION}[ \t]*(?:\([^()]*\))?[ \t]*$",
        re.IGNORECASE,
    ),
)
# `Unsloth 2024.8: Fast Llama patching. Transformers = 4.44.2.`, `O^O/ \_/ \    Pytorch: 2.4.0+cu121. CUDA = 7.5.`
_BANNER = re.compile(rf"\b{_NAME}(?:[ ]=|:)[ ](?P<version>\d+(?:\.\d+)+(?:\+\w+)?)\.(?=\s|$)", re.IGNORECASE)
_BANNERS = ("==((====))==", "O^O/")
_SHOWN = re.compile(rf"^Name: {_NAME}\nVersion: {_VERSION}$", re.MULTILINE)  # pip show
_ASKED = re.compile(r"\s*(?:print\()?\s*(\w+)\.__version__\s*\)?\s*")
_ANSWERED = re.compile(r"\s*['\"]?(\d+\.\d+[\w.+]*)['\"]?\s*")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def notebook_versions(path: Place) -> Mapping[str, str]:
    """Package to the version that a notebook shows; nothing where it cannot be read."""
    try:
        document = json_input.read_object(path, limit=_BYTES) if path.is_file() else {}
    except (OSError, json_input.BadJsonError):
        return {}
    asked: dict[str, str] = {}
    printed: dict[str, str] = {}
    metadata = document.get("metadata")
    language = metadata.get("language_info") if isinstance(metadata, dict) else None
    if isinstance(language, dict) and language.get("name") == "python" and isinstance(language.get("version"), str):
        printed[PYTHON] = language["version"]  # the kernel that ran last
    for cell in _cells(document):
        source = _joined(cell.get("source") or cell.get("input"))
        if cell.get("cell_type") == "code":
            asked.update(command_pins(source))
        outputs = cell.get("outputs")
        for output in outputs if isinstance(outputs, list) else []:
            printed.update(_printed(source, _COLOURS.sub("", _text(output))))
    return asked | printed


def _cells(document: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Those of the format 4, and of the older one with its worksheets."""
    sheets = document.get("worksheets")
    holders = [document, *(sheets if isinstance(sheets, list) else [])]
    for holder in holders:
        cells = holder.get("cells") if isinstance(holder, dict) else None
        yield from (cell for cell in (cells if isinstance(cells, list) else []) if isinstance(cell, dict))


def _printed(source: str, text: str) -> Iterator[tuple[str, str]]:
    asked, answered = _ASKED.fullmatch(source), _ANSWERED.fullmatch(text)
    if asked and answered and asked[1] in PACKAGES:
        yield asked[1], answered[1]
    for line in text.splitlines():
        if "ninstall" in line:  # `Successfully uninstalled transformers-4.40.0`: gone before the run
            continue
        patterns = (_BANNER,) if any(mark in line for mark in _BANNERS) else _LINES
        for pattern in patterns:
            yield from map(_pair, pattern.finditer(line))
    yield from map(_pair, _SHOWN.finditer(text))
    yield from source_pins(text)


def _pair(found: re.Match[str]) -> tuple[str, str]:
    name = found["name"].lower()
    return ALIASES.get(name, name), found["version"].rstrip(".")


def _text(output: object) -> str:
    if not isinstance(output, dict):
        return ""
    data = output.get("data")
    return _joined(output.get("text") or (data.get("text/plain") if isinstance(data, dict) else None))


def _joined(text: object) -> str:
    lines = text if isinstance(text, list) else [text]
    return "".join(line for line in lines if isinstance(line, str))[:_TEXT].replace("\r\n", "\n")
