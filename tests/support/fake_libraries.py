"""Wheels that stand for torch, transformers and peft where a sweep's own machinery is tried: installed by real uv, run
by the real worker, and able to do what the real ones do not do on request: hang, crash, be slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.wheels import make_wheel

if TYPE_CHECKING:
    from pathlib import Path

_TORCH = """
__version__ = "2.4.0"
def manual_seed(seed): pass
def equal(one, other): return one is other
"""

# What a model type does when its config is read; every other one takes a moment and loads.
_TRANSFORMERS = """
import json, os, time
__version__ = "{version}"
class logging:
    @staticmethod
    def set_verbosity_error(): pass
class _Config:
    def __init__(self, values): self.__dict__.update(values)
class AutoConfig:
    @staticmethod
    def from_pretrained(folder, **_options):
        with open(os.path.join(folder, "config.json")) as stream:
            values = json.load(stream)
        kind = values["model_type"]
        if kind == "bert":
            while True:
                time.sleep(1)
        if kind == "whisper":
            os.abort()
        if kind == "falcon":
            raise KeyError(kind)
        time.sleep(0.2)
        return _Config(values)
class _Model:
    class _Tensor:
        shape = (1,)
        def numel(self): return 1
    tensor = _Tensor()
    def float(self): return self
    def eval(self): return self
    def named_parameters(self): return [("weight", self.tensor)]
    def parameters(self): return []
    def save_pretrained(self, folder, **_options):
        open(os.path.join(folder, "model.safetensors"), "w").close()
class AutoModelForCausalLM:
    @staticmethod
    def from_config(config): return _Model()
    @staticmethod
    def from_pretrained(folder, **_options): return _Model()
"""


def loading_only() -> tuple[str, str]:
    """The modules of a torch 2.4.0 and of a transformers `{version}`, that load every model at once."""
    start, rest = _TRANSFORMERS.split('        if kind == "bert":\n')
    return _TORCH, start + rest[rest.index("        return _Config") :]


def make_fake_libraries(folder: Path, *releases: str) -> Path:
    """A folder of wheels: the merge closure, with these releases of transformers."""
    for release in releases:
        make_wheel(folder, "transformers", release,
                   files={"transformers/__init__.py": _TRANSFORMERS.replace("{version}", release)})  # fmt: skip
    make_wheel(folder, "torch", "2.4.0", files={"torch/__init__.py": _TORCH})
    make_wheel(folder, "peft", "0.12.0")
    for name in ("safetensors", "tokenizers", "accelerate", "huggingface-hub", "numpy"):
        make_wheel(folder, name, "1.0")
    return folder
