"""Exact versions in the texts that list packages: requirements, commands of pip, addresses of wheels. Pure.

Only what names one release, or one series, is taken: `peft==0.12.0`, `peft==0.12.*`, `peft~=0.12.0`, a tag of git, a
wheel. A floor is a reader's, and tells nothing of the run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from envpin.inference.pythons import PYTHON
from envpin.inference.versions import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ALIASES = {"pytorch": "torch"}  # conda's name of it
_EXTRAS = r"(?:[ \t]*\[[\w,\s-]*\])?"
# Other bounds may stand before the exact one: `peft>=0.11,==0.12.0`.
_OTHERS = r"(?:(?:[<>!]=?|~=)[ \t]*[\w.*+!-]{1,60}[ \t]*,[ \t]*)*"
_EXACT = r"(?P<how>={2,3}|~=)[ \t]*(?P<version>\d[\w.*+!-]{0,60})"
_PIN = rf"(?:[\w-]+::)?(?P<name>[A-Za-z][\w.-]{{0,60}}?){_EXTRAS}[ \t]*{_OTHERS}{_EXACT}"
_LINE = re.compile(rf"^[ \t]*-?[ \t]*[\"']?{_PIN}", re.MULTILINE)
_WORD = re.compile(rf"(?<![\w.\[/=-])[\"']?{_PIN}(?=[\"'`,;)\s]|$)")
# `pip install`, `uv add`, `uv pip install`, `%pip install`, up to the end of the command.
_COMMAND = re.compile(r"\b(?:pip3?[ \t]+install|uv[ \t]+add)\b([^\n;&|]*)")
_GIT = re.compile(
    r"git\+[\w.:/@-]{1,120}?/(?P<name>peft|transformers|pytorch|tokenizers)(?:\.git)?@v?(?P<version>\d+(?:\.\d+)+[\w.]*)"
)
_ARTIFACT = re.compile(
    r"(?:^|[/\s\"'])(?P<name>peft|transformers|torch|pytorch|tokenizers)-(?P<version>\d+(?:\.\d+)+[\w.%+!]*)-"
    r"[\w.+-]{1,120}\.(?:whl|conda|tar\.bz2)",
    re.MULTILINE,
)
# `pip list` and `conda list`: columns, the second a version.
_COLUMNS = re.compile(
    r"^(?P<name>peft|transformers|torch|pytorch|tokenizers)[ \t]{2,}(?P<version>\d+(?:\.\d+)+[\w.+]*)(?=[ \t]|$)",
    re.MULTILINE,
)

# `conda list --export`, often under the name requirements.txt: `name=version=build`.
_EXPORT = re.compile(
    r"^(?P<name>peft|transformers|torch|pytorch|tokenizers)=(?P<version>\d+(?:\.\d+)+[\w.+]*)=[\w.]{1,80}[ \t]*$",
    re.MULTILINE,
)


def listed_pins(text: str) -> Iterator[tuple[str, str]]:
    """Package and version of each line of a list of requirements, of `pip freeze`, of `pip list`."""
    yield from _found(_LINE, text)
    yield from source_pins(text)
    yield from _found(_COLUMNS, text)
    yield from _found(_EXPORT, text)


def source_pins(text: str) -> Iterator[tuple[str, str]]:
    """Package and version of the tags of git and of the wheels that a text names."""
    yield from _found(_GIT, text)
    yield from _found(_ARTIFACT, text)


def command_pins(text: str) -> Iterator[tuple[str, str]]:
    """Package and version of what the commands in a script or a document install."""
    for command in _COMMAND.finditer(text.replace("\\\n", " ")):
        yield from _found(_WORD, command[1])
        yield from source_pins(command[1])


def mentioned_pins(text: str) -> Iterator[tuple[str, str]]:
    """Package and version wherever `name==version` stands in prose or in code."""
    yield from _found(_WORD, text)


def requirement_pin(text: object) -> tuple[str, str] | None:
    """Package and version of one requirement; None where it pins none of the packages."""
    return next(listed_pins(text), None) if isinstance(text, str) and len(text) < 1000 else None


def table_pins(table: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Package and version of a table of a tool (Poetry, Pipenv, pixi), where a bare version is an exact one."""
    for name, wanted in table.items():
        version = wanted.get("version") if isinstance(wanted, dict) else wanted
        if isinstance(version, str) and re.fullmatch(r"(?:==)?[ \t]*\d+(?:\.\d+)+[\w.+*]*", version[:80]):
            yield from _named(name, version.lstrip("= \t"))


def _found(pattern: re.Pattern[str], text: str) -> Iterator[tuple[str, str]]:
    for found in pattern.finditer(text):
        version = unquote(found["version"])
        if found.groupdict().get("how") == "~=":
            # `~=0.12.0` is a release of the series 0.12; `~=0.12` says as little as a floor
            if version.count(".") < 2:
                continue
            version = ".".join(version.split(".")[:2])
        yield from _named(found["name"], version)


def _named(name: str, version: str) -> Iterator[tuple[str, str]]:
    plain = name.lower().replace("_", "-")
    package = ALIASES.get(plain, plain)
    if package in PACKAGES or package == PYTHON:
        yield package, version.removesuffix(".*").rstrip(".")
