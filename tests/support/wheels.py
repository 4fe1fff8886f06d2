"""Synthetic wheels and a simple index of them: a few files made with zipfile, installed by the real uv."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    files: Mapping[str, str] | None = None,
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    scripts: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
    wrong_record_of: str | None = None,
    edit_record: Callable[[str], str] = str,
) -> Path:
    """Write `NAME-VERSION-TAG.whl` into `folder`; without `files` it holds one module that knows its version.

    `scripts` maps a console script to `module:function`. `wrong_record_of` names a file whose RECORD line is wrong, as
    in some published wheels; `edit_record` changes the lines of all files but RECORD itself.
    """
    module = name.replace("-", "_")
    contents = dict(files) if files is not None else {f"{module}/__init__.py": f"version = {version!r}\n"}
    info = f"{module}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    if requires_python:
        metadata.append(f"Requires-Python: {requires_python}")
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    contents[f"{info}/METADATA"] = "\n".join(metadata) + "\n"
    contents[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    if scripts:
        lines = "".join(f"{script} = {target}\n" for script, target in scripts.items())
        contents[f"{info}/entry_points.txt"] = f"[console_scripts]\n{lines}"
    record = "".join(_record_line(path, text, wrong=path == wrong_record_of) for path, text in contents.items())
    contents[f"{info}/RECORD"] = f"{edit_record(record)}{info}/RECORD,,\n"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)
    return wheel


def lock_of(*wheels: Path, requires_python: str = ">=3.11") -> str:
    """The text of a lock that names these wheels by their file URLs and hashes."""
    lines = ['lock-version = "1.0"', 'created-by = "tests"', f'requires-python = "{requires_python}"']
    for wheel in sorted(wheels):
        name, version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines += [
            "",
            "[[packages]]",
            f'name = "{name.replace("_", "-")}"',
            f'version = "{version}"',
            f'wheels = [{{ url = "{wheel.as_uri()}", hashes = {{ sha256 = "{digest}" }} }}]',
        ]
    return "\n".join(lines) + "\n"


def _record_line(path: str, text: str, *, wrong: bool) -> str:
    data = text.encode("utf-8") + (b"other" if wrong else b"")
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")
    return f"{path},sha256={digest},{len(data)}\n"
