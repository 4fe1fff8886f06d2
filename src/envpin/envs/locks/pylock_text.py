"""The text of a PEP 751 lock, written from what uv resolved: wheels only, hash by hash, in one stable form."""

from __future__ import annotations

import datetime as dt
from typing import Any

PYPI = "https://pypi.org/simple"
_PYPI_FILES = "https://files.pythonhosted.org/"
# The order of keys within a package and within a wheel; what is not listed is left out (sdists above all: nothing that
# installs from this lock may fall back to a build).
_PACKAGE_KEYS = ("name", "version", "marker", "requires-python", "index")
_WHEEL_KEYS = ("name", "url", "path", "upload-time", "size", "hashes")


def normalized(document: dict[str, Any]) -> dict[str, Any]:
    """uv's document with wheels only, and `packages.index` where PyPI is the index: uv leaves it out, and without it
    does not find the package in its own cache again."""
    packages = []
    for package in document.get("packages", []):
        kept = {key: package[key] for key in _PACKAGE_KEYS if key in package}
        wheels = package.get("wheels", [])
        if wheels and all(str(wheel.get("url", "")).startswith(_PYPI_FILES) for wheel in wheels):
            kept["index"] = PYPI
        packages.append({**kept, "wheels": wheels})
    head: dict[str, Any] = {
        key: document[key] for key in ("lock-version", "environments", "requires-python") if key in document
    }
    return {**head, "created-by": "envpin", "packages": packages}


def write_pylock(document: dict[str, Any], *, header: str = "", tool: dict[str, object] | None = None) -> str:
    """TOML of `normalized`'s form. `header` becomes comment lines, `tool` the table `[tool.envpin]`."""
    lines = [f"# {line}" for line in header.splitlines()]
    if "lock-version" in document:
        lines.append(f"lock-version = {_value(document['lock-version'])}")
    if document.get("environments"):
        lines.append("environments = [")
        lines += [f"    {_value(marker)}," for marker in document["environments"]]
        lines.append("]")
    for key in ("requires-python", "created-by"):
        if key in document:
            lines.append(f"{key} = {_value(document[key])}")
    for package in document["packages"]:
        lines += ["", "[[packages]]"]
        lines += [f"{key} = {_value(package[key])}" for key in _PACKAGE_KEYS if key in package]
        lines.append("wheels = [")
        for wheel in package["wheels"]:
            fields = ", ".join(f"{key} = {_value(wheel[key])}" for key in _WHEEL_KEYS if key in wheel)
            lines.append(f"    {{ {fields} }},")
        lines.append("]")
    if tool:
        lines += ["", "[tool.envpin]"]
        lines += [f"{key} = {_value(value)}" for key, value in tool.items()]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case dt.datetime():
            return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case list() | tuple():
            return "[" + ", ".join(_value(one) for one in value) + "]"
        case dict():
            return "{ " + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + " }"
        case _:
            return _string(str(value))


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
