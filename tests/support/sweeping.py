"""A store, a matrix and stand-ins for the libraries, for the real `envpin matrix verify`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from envpin.envs.machine import default_python
from tests.support.command import envpin
from tests.support.fake_libraries import make_fake_libraries

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core import process

FAMILY = """
[families.{name}]
title = "{name}"
[families.{name}.match]
model_type = ["{kind}"]
[families.{name}.requires]
transformers = {{ versions = ">=4.30", reason = "a test", grade = "reported" }}
[[families.{name}.known_good]]
python = "{python}"
packages = {{ transformers = "4.43.1", peft = "0.12.0", torch = "2.4.0" }}
exclude_newer = "2024-08-01"
source = "a test"
"""
# names of tiny models; the stand-in decides by model type (see fake_libraries)
KINDS = {"gpt2": "gpt2", "bert": "bert", "whisper": "whisper", "falcon": "falcon", "mistral": "mistral",
         "mixtral": "mixtral", "gemma": "gemma", "gemma2": "gemma2", "olmo": "olmo"}  # fmt: skip
PLAIN = ("gpt2", "mistral", "mixtral", "gemma", "gemma2", "olmo")


class Place:
    """A store, a matrix and wheels of a test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.matrix = folder / "families.toml"
        families = (FAMILY.format(name=name, kind=kind, python=default_python()) for name, kind in KINDS.items())
        self.matrix.write_text("schema = 1\n" + "".join(families), encoding="utf-8")
        settings = folder / "uv.toml"
        settings.write_text("no-index = true\n", encoding="utf-8")
        wheels = make_fake_libraries(folder / "wheels", "4.43.1", "4.43.4")
        self.env = {"ENVPIN_HOME": str(folder / "store"), "UV_CONFIG_FILE": str(settings),
                    "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(folder / "uv-cache")}  # fmt: skip

    @property
    def journal(self) -> Path:
        return self.folder / "store" / "verify" / "results.jsonl"

    def words(self, *words: str) -> list[str]:
        return ["matrix", "verify", *words, "--matrix", str(self.matrix), "--capability", "load"]

    def verify(self, *words: str) -> process.Completed:
        return envpin(*self.words(*words), env=self.env)

    def outcomes(self) -> list[dict[str, Any]]:
        lines = self.journal.read_text(encoding="utf-8").splitlines() if self.journal.exists() else []
        return [record for line in lines if (record := json.loads(line))["event"] == "outcome"]
