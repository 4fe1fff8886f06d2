"""A package index of toys that have the names and versions of the real ones, for pages whose real ones are gigabytes.

Each is a wheel of one small module, installed by the real uv in a moment. The matrix in force is envpin's own, with
those families put over it whose pins the toys can satisfy without a committed lock.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from envpin.envs.machine import default_python
from tests.support.simple_index import SimpleIndex
from tests.support.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

UPLOADED = "2024-01-01T00:00:00Z"
# What `replay merge` and the families take for granted.
CLOSURE: Mapping[str, Sequence[str]] = {
    "transformers": ["4.43.1"], "peft": ["0.12.0"], "torch": ["2.4.0"], "accelerate": ["0.33.0"],
    "safetensors": ["0.4.3"], "tokenizers": ["0.19.1"], "huggingface-hub": ["0.24.5"], "numpy": ["1.26.4"],
}  # fmt: skip
_FAMILY = """
[families."{name}"]
title = "{name}"
[families."{name}".match]
model_type = ["{kind}"]
[families."{name}".requires]
transformers = {{ versions = ">=4.43.0", reason = "a test", grade = "reported" }}
[[families."{name}".known_good]]
python = "{python}"
packages = {{ transformers = "4.43.1", peft = "0.12.0", torch = "2.4.0" }}
exclude_newer = "2024-08-01"
source = "a test"
"""


class Toys:
    """The index, its store and its matrix, below `folder`; start it with `with`."""

    def __init__(self, folder: Path, **families: str) -> None:
        self.folder, self.index = folder / ".toys", SimpleIndex()
        self.folder.mkdir()
        for name, releases in CLOSURE.items():
            for release in releases:
                self.publish(name, release)
        said = [_FAMILY.format(name=name, kind=kind, python=default_python()) for name, kind in families.items()]
        (self.folder / "matrix.toml").write_text("schema = 1\n" + "".join(said), encoding="utf-8")

    def publish(
        self,
        name: str,
        release: str,
        *requires: str,
        code: str | None = None,
        uploaded: str = UPLOADED,
        files: Mapping[str, str] | None = None,
    ) -> None:
        """Put one more toy on the index, or another one in place of it; `code` is its module, next to `files`."""
        module = name.replace("-", "_")
        files = {f"{module}/__init__.py": f"version = {release!r}\n" if code is None else code, **(files or {})}
        wheel = make_wheel(self.folder / "wheels", name, release, files=files, requires=requires)
        same = self.index.pages.get(name, [])
        same[:] = [entry for entry in same if entry["filename"] != wheel.name]
        self.index.add(wheel.name, wheel.read_bytes(), uploaded=uploaded)

    def variables(self) -> dict[str, str]:
        """Those of a child that knows nothing of the real index, and asks PyTorch's in vain."""
        left_out = ("UV_", "PIP_", "ENVPIN_", "COLUMNS", "HTTPS_PROXY", "HTTP_PROXY")
        own = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        return {
            **own,
            "ENVPIN_HOME": str(self.folder / "home"),
            "ENVPIN_MATRIX": str(self.folder / "matrix.toml"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "UV_CACHE_DIR": str(self.folder / "uv"),
            "UV_DEFAULT_INDEX": self.index.url,
            "UV_HTTP_CONNECT_TIMEOUT": "60",
            "UV_PYTHON_DOWNLOADS": "never",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            "NO_COLOR": "1",
            "HF_HUB_OFFLINE": "1",
        }

    def __enter__(self) -> Self:
        self.index.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.index.__exit__(kind, error, trace)
