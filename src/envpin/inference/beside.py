"""Lists of packages next to an adapter: requirements, locks of tools, what trackers froze, what notebooks print.

A list that a tracker wrote during the run is that run's; any other may be an app's or a tutorial's, so it only orders
the candidates. Small files only; what cannot be read says nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.core import json_input
from envpin.core.text_input import read_beginning
from envpin.core.toml_input import BadTomlError, parse_toml
from envpin.inference.trackers import tracked_versions, wandb_files
from envpin.inference.versions import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.core.place import Place
    from envpin.inference.combine import Strength

_BYTES = 2_000_000  # a lock of a large project has under 1 MB
_NOTEBOOK_BYTES = 8_000_000  # with its pictures
_NOTEBOOKS = 4
_PIN = re.compile(
    r"^[ \t]*-?[ \t]*[\"']?([A-Za-z][\w.-]{0,60}?)(?:\[[\w,\s-]*\])?[ \t]*={2,3}[ \t]*([\w.+!-]{1,60})", re.MULTILINE
)
# conda's own spelling: `- pytorch=2.3.0=py3.11_cuda`, `- transformers=4.44.2`.
_CONDA = re.compile(r"^[ \t]*-[ \t]*(?:[\w-]+::)?([A-Za-z][\w.-]{0,60})=(\d[\w.]{0,40})(?:=\S*)?[ \t]*$", re.MULTILINE)
# pip's last line, and what people print: `Transformers version: 4.44.2`, `peft 0.12.0`, `transformers: 4.44.2`.
_INSTALLED = re.compile(r"\b(peft|transformers|torch|tokenizers)-(\d+(?:\.\d+)+[\w.+]*)")
_PRINTED = re.compile(
    r"^[\s*-]*(peft|transformers|(?:py)?torch|tokenizers)(?:[ _]version|\.__version__)?"
    r"(?:[ \t]*(?:==|[:=])[ \t]*|[ \t]+)v?(\d+\.\d+[\w.+]*)[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_NAMES = {"pytorch": "torch"}


class Listed(NamedTuple):
    """A version of a package as a file next to the adapter lists it."""

    file: str
    package: str
    version: str
    strength: Strength


def read_beside(place: Place, names: frozenset[str]) -> tuple[Listed, ...]:
    """What the lists in a folder say about `PACKAGES`, each package at most once per file."""
    return tuple(dict.fromkeys(_read(place, names)))


def _read(place: Place, names: frozenset[str]) -> Iterator[Listed]:
    by_run: Strength = "strong" if "MLmodel" in names else "weak"
    for name in (
        "requirements.txt",
        "requirements-lock.txt",
        "requirements_frozen.txt",
        "pip_freeze.txt",
        "freeze.txt",
    ):
        if name in names:
            yield from _pins(name, _text(place / name), by_run)
    for name in ("conda.yaml", "conda.yml", "environment.yml", "environment.yaml"):
        if name in names:
            yield from _conda(name, _text(place / name), by_run)
    for name in ("uv.lock", "poetry.lock", "pylock.toml", "pdm.lock"):
        if name in names:
            yield from _locked(name, _text(place / name))
    for tracked in tracked_versions(place, names):
        yield Listed(tracked.file, "transformers", tracked.version, "strong")
    for file, path in wandb_files(place, names, "requirements.txt"):
        # W&B freezes at the start of a run; of several runs the last counts
        if found := list(_pins(file, _text(path), "strong")):
            yield from found
            break
    for name in sorted(one for one in names if one.endswith(".ipynb"))[:_NOTEBOOKS]:
        yield from _notebook(name, place / name)


def _text(path: Place, limit: int = _BYTES) -> str:
    try:
        return read_beginning(path, limit) if path.is_file() else ""
    except OSError:
        return ""


def _pins(file: str, text: str, strength: Strength) -> Iterator[Listed]:
    for found in _PIN.finditer(text):
        name = found[1].lower().replace("_", "-")
        if name in PACKAGES:
            yield Listed(file, name, found[2], strength)


def _conda(file: str, text: str, strength: Strength) -> Iterator[Listed]:
    """What conda lists by its own `=`, and the list for pip inside it."""
    for found in _CONDA.finditer(text):
        name = _NAMES.get(found[1].lower(), found[1].lower())
        if name in PACKAGES:
            yield Listed(file, name, found[2], strength)
    yield from _pins(file, text, strength)


def _locked(file: str, text: str) -> Iterator[Listed]:
    try:
        document = parse_toml(text)
    except BadTomlError:
        return
    for key in ("package", "packages"):
        entries = document.get(key)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and entry.get("name") in PACKAGES and isinstance(entry.get("version"), str):
                yield Listed(file, entry["name"], entry["version"], "weak")


def _notebook(file: str, path: Place) -> Iterator[Listed]:
    """What the cells of a notebook printed. Its sources only say what was asked for."""
    try:
        cells = json_input.read_object(path, limit=_NOTEBOOK_BYTES).get("cells") if path.is_file() else None
    except (OSError, json_input.BadJsonError):
        return
    latest: dict[str, str] = {}
    for cell in cells if isinstance(cells, list) else []:
        outputs = cell.get("outputs") if isinstance(cell, dict) else None
        for output in outputs if isinstance(outputs, list) else []:
            text = _printed(output)
            for pattern in (_INSTALLED, _PRINTED):
                for found in pattern.finditer(text):
                    name = found[1].lower()
                    latest[_NAMES.get(name, name)] = found[2].rstrip(".")
    for package, version in latest.items():
        yield Listed(file, package, version, "weak")


def _printed(output: object) -> str:
    if not isinstance(output, dict):
        return ""
    data = output.get("data")
    text = output.get("text") or (data.get("text/plain") if isinstance(data, dict) else None)
    lines = text if isinstance(text, list) else [text]
    return "".join(line for line in lines if isinstance(line, str))[:200_000]
