"""Lists of packages next to an adapter: requirements, locks of tools, what trackers froze, what notebooks show.

A list that a tracker wrote during the run is that run's; any other may be an app's or a tutorial's, so it only orders
the candidates. Small files only; what cannot be read says nothing.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from envpin.core import json_input
from envpin.core.text_input import read_beginning
from envpin.core.toml_input import BadTomlError, parse_toml
from envpin.inference.notebooks import notebook_versions
from envpin.inference.pinned import ALIASES, command_pins, listed_pins, requirement_pin, source_pins, table_pins
from envpin.inference.pythons import PYTHON, series_of
from envpin.inference.trackers import tracked_versions, wandb_files
from envpin.inference.versions import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from envpin.core.place import Place
    from envpin.inference.combine import Strength

_BYTES = 2_000_000  # a lock of a large project has under 1 MB
_EACH = 6  # files of one kind that are looked into
_REQUIREMENTS = re.compile(
    r"(?:[\w.-]{0,40}[-_.])?(?:requirements?|constraints|freeze|frozen|(?:pip|conda)[-_]?list)(?:[-_.][\w.-]{0,40})?\.(?:txt|in)",
    re.IGNORECASE,
)
_CONDA_FILE = re.compile(r"(?:conda|environment|env)(?:[-_][\w.-]{0,40})?\.ya?ml", re.IGNORECASE)
_SCRIPT = re.compile(r"(?:[\w-]{0,40}\.)?Dockerfile(?:\.[\w-]{0,40})?|[\w.-]{1,60}\.(?:sh|bash)", re.IGNORECASE)
# conda's own spelling: `- pytorch=2.3.0=py3.11_cuda`, `- transformers=4.44.2`, also between the brackets of one line.
_CONDA = re.compile(
    r"(?:^[ \t]*-|[\[,])[ \t]*[\"']?(?:[\w-]+::)?(?P<name>[A-Za-z][\w.-]{0,60})=(?P<version>\d[\w.]{0,40}(?:\.\*)?)"
    r"(?:=[^\s,\]]*)?[\"']?[ \t]*(?=$|[,\]#])",
    re.MULTILINE,
)


# Files of one line, or one line of which is of Python.
_PYTHON_LINES = {
    ".python-version": re.compile(r"\A\s*(\S+)[ \t]*$", re.MULTILINE),
    "runtime.txt": re.compile(r"\A\s*(\S+)[ \t]*$", re.MULTILINE),
    ".tool-versions": re.compile(r"^python[ \t]+(\S+)", re.MULTILINE),
}
_DOCKERFILE = re.compile(r"(?:[\w-]{0,40}\.)?Dockerfile(?:\.[\w-]{0,40})?", re.IGNORECASE)
_FROM_PYTHON = re.compile(r"^[ \t]*FROM[ \t]+(?:\S+/)?python:(3\.\d{1,2})\b", re.MULTILINE | re.IGNORECASE)


class Listed(NamedTuple):
    """A version of a package as a file next to the adapter lists it."""

    file: str
    package: str
    version: str
    strength: Strength


def read_beside(place: Place, names: frozenset[str]) -> tuple[Listed, ...]:
    """What the lists in a folder say about `PACKAGES`, and about Python."""
    return tuple(dict.fromkeys((*_read(place, names), *_pythons(place, names), *_tracked(place, names))))


def _read(place: Place, names: frozenset[str]) -> Iterator[Listed]:
    by_run: Strength = "strong" if "MLmodel" in names else "weak"
    for name in _some(names, _REQUIREMENTS):
        yield from _listed(name, listed_pins(_text(place / name)), by_run if name == "requirements.txt" else "weak")
    for name in _some(names, _CONDA_FILE):
        text = _text(place / name)
        yield from _listed(name, (*_conda_pins(text), *listed_pins(text)), by_run)
    for name in ("uv.lock", "poetry.lock", "pylock.toml", "pdm.lock", "pyproject.toml", "pixi.toml"):
        if name in names:
            yield from _listed(name, _toml_pins(_text(place / name)), "weak")
    for name in ("pixi.lock", "conda-lock.yml"):
        if name in names:
            yield from _listed(name, source_pins(_text(place / name)), "weak")
    if "Pipfile.lock" in names:
        yield from _listed("Pipfile.lock", _pipfile_pins(place / "Pipfile.lock"), "weak")
    for name in _some(names, _SCRIPT):
        yield from _listed(name, command_pins(_text(place / name)), "weak")
    for name in sorted(one for one in names if one.endswith(".ipynb"))[:_EACH]:
        yield from _listed(name, notebook_versions(place / name).items(), "weak")


def _pythons(place: Place, names: frozenset[str]) -> Iterator[Listed]:
    """What files that list no packages say of Python."""
    for name in (one for one in _PYTHON_LINES if one in names):
        found = _PYTHON_LINES[name].search(_text(place / name))
        if found is not None and series_of(found[1]):
            yield Listed(name, PYTHON, found[1], "weak")
    for name in islice(sorted(filter(_DOCKERFILE.fullmatch, names)), _EACH):
        if (found := _FROM_PYTHON.search(_text(place / name))) is not None:
            yield Listed(name, PYTHON, found[1], "weak")


def _tracked(place: Place, names: frozenset[str]) -> Iterator[Listed]:
    """What programs of the run noted."""
    for tracked in tracked_versions(place, names):
        yield Listed(tracked.file, tracked.package, tracked.version, "strong")
    for file, path in wandb_files(place, names, "requirements.txt"):
        # W&B freezes at the start of a run; of several runs the last counts
        if found := list(_listed(file, listed_pins(_text(path)), "strong")):
            yield from found
            break
    if (saved := "config_sentence_transformers.json") in names:
        yield from _listed(saved, _saved_pins(place / saved), "weak")


def _some(names: frozenset[str], pattern: re.Pattern[str]) -> Iterable[str]:
    return islice(sorted(filter(pattern.fullmatch, names)), _EACH)


def _listed(file: str, pins: Iterable[tuple[str, str]], strength: Strength) -> Iterator[Listed]:
    for package, version in pins:
        yield Listed(file, package, version, strength)


def _text(path: Place, limit: int = _BYTES) -> str:
    try:
        return read_beginning(path, limit) if path.is_file() else ""
    except OSError:
        return ""


def _conda_pins(text: str) -> Iterator[tuple[str, str]]:
    """What conda lists by its own `=`."""
    for found in _CONDA.finditer(text):
        name = ALIASES.get(found["name"].lower(), found["name"].lower())
        if name in PACKAGES or name == PYTHON:
            yield name, found["version"].removesuffix(".*")


def _toml_pins(text: str) -> Iterator[tuple[str, str]]:
    """Of a lock its packages; of a project the requirements that are exact."""
    try:
        document = parse_toml(text)
    except BadTomlError:
        return
    for entry in (*_entries(document.get("package")), *_entries(document.get("packages"))):
        if isinstance(entry, dict) and entry.get("name") in PACKAGES and isinstance(entry.get("version"), str):
            yield entry["name"], entry["version"]
    project = _table(document.get("project"))
    optional = _table(project.get("optional-dependencies")).values()
    for wanted in (*_entries(project.get("dependencies")), *(one for group in optional for one in _entries(group))):
        if (pin := requirement_pin(wanted)) is not None:
            yield pin
    tool = _table(document.get("tool"))
    for holder in (document, _table(tool.get("poetry")), _table(tool.get("pixi"))):
        for key in ("dependencies", "pypi-dependencies"):
            yield from table_pins(_table(holder.get(key)))


def _pipfile_pins(path: Place) -> Iterator[tuple[str, str]]:
    document = _document(path)
    yield from table_pins(_table(document.get("default")))
    requires = _table(_table(document.get("_meta")).get("requires"))
    version = requires.get("python_full_version", requires.get("python_version"))
    if isinstance(version, str) and series_of(version):
        yield PYTHON, version


def _saved_pins(path: Place) -> Iterator[tuple[str, str]]:
    """What sentence-transformers notes; of a model that was saved before it may be the versions of that time."""
    versions = _table(_document(path).get("__version__"))
    for key, package in (("transformers", "transformers"), ("pytorch", "torch")):
        if isinstance(version := versions.get(key), str):
            yield package, version


def _document(path: Place) -> Mapping[str, object]:
    try:
        return json_input.read_object(path, limit=_BYTES) if path.is_file() else {}
    except (OSError, json_input.BadJsonError):
        return {}


def _entries(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
