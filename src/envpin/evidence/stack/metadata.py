"""What the metadata of a release declares about Python and the packages of the stack. Pure."""

from __future__ import annotations

import io
import re
import tarfile
from email.parser import Parser
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from envpin.core.archive_input import NOT_AN_ARCHIVE
from envpin.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Whose windows are kept: the tools themselves, and what decides whether they go together.
KEPT = frozenset(
    {"torch", "transformers", "peft", "numpy", "tokenizers", "huggingface-hub", "safetensors", "triton",
     "trl", "accelerate", "datasets", "bitsandbytes", "torchao", "deepspeed", "liger-kernel", "unsloth", "unsloth-zoo",
     "axolotl", "llamafactory", "ms-swift", "autotrain-advanced", "torchtune", "vllm", "sglang", "lmdeploy", "mlx-lm",
     "exllamav3", "ctranslate2", "gguf", "optimum-onnx", "optimum", "gptqmodel", "compressed-tensors", "xformers"}
)  # fmt: skip
# Extras that are called otherwise than the package that they are for.
_EXTRAS = {"liger": "liger-kernel", "quantization": "bitsandbytes"}
# Where the stack runs; what is for other machines is left out.
_MACHINE = {
    "os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64",
    "platform_python_implementation": "CPython", "implementation_name": "cpython", "python_version": "3.11",
    "python_full_version": "3.11.9", "implementation_version": "3.11.9", "platform_release": "", "platform_version": "",
}  # fmt: skip
# `nvidia-cuda-runtime-cu12==12.4.127` until torch 2.10, `cuda-toolkit[…]==13.0.2` since.
_CUDA = re.compile(r"nvidia-cuda-runtime(?:-cu\d+)?|cuda-toolkit")


class Windows(NamedTuple):
    """As the fields of `ToolRelease`."""

    requires: dict[str, str]
    optional: dict[str, str]
    cuda: str | None


def windows_of(metadata: bytes) -> Windows:
    """What METADATA (or the PKG-INFO of a source distribution) declares."""
    message = Parser().parsestr(metadata.decode("utf-8", "replace"), headersonly=True)
    python = message["Requires-Python"]
    return windows(message.get_all("Requires-Dist", []), str(python) if python else None)


def windows(lines: Iterable[str], python: str | None) -> Windows:
    """What requirement lines declare; entries that make no sense are left out."""
    requires: dict[str, list[str]] = {}
    optional: dict[str, list[str]] = {}
    cuda = None
    for requirement in _requirements(lines):
        name = str(canonicalize_name(requirement.name))
        versions = str(requirement.specifier)
        if _CUDA.fullmatch(name) and (pinned := re.match(r"==(\d+\.\d+)", versions)) and _holds(requirement, ""):
            cuda = pinned[1]
        if name not in KEPT or not versions:
            continue
        if _holds(requirement, ""):
            requires.setdefault(name, []).append(versions)
        elif any(_holds(requirement, extra) for extra in (name, *(one for one, of in _EXTRAS.items() if of == name))):
            optional.setdefault(name, []).append(versions)
    found = {name: _joined(all_of) for name, all_of in requires.items()}
    if python:
        found["python"] = python
    return Windows(
        requires=dict(sorted(found.items())),
        optional={name: _joined(all_of) for name, all_of in sorted(optional.items()) if name not in found},
        cuda=cuda,
    )


def _joined(specifiers: list[str]) -> str:
    return str(SpecifierSet(",".join(dict.fromkeys(specifiers))))


def _requirements(lines: Iterable[str]) -> Iterator[Requirement]:
    for line in lines:
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue


def _holds(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**_MACHINE, "extra": extra})


def egg_requirements(text: str) -> Iterator[str]:
    """The lines of a `requires.txt` as requirements: a section is an extra, a marker, or both."""
    marker = ""
    for line in (raw.strip() for raw in text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            extra, _, condition = line[1:-1].partition(":")
            parts = [f"extra == '{extra}'"] if extra else []
            marker = " and ".join([*parts, *([f"({condition})"] if condition else [])])
        elif line:
            yield f"{line} ; {marker}" if marker else line


class SourceContents(NamedTuple):
    """What of a source distribution is looked at: its members by their path below its folder (without `src/`)."""

    members: dict[str, bytes]

    @property
    def windows(self) -> Windows:
        """Its own PKG-INFO; where that leaves the requirements open, those that setuptools wrote beside it."""
        own = self.members.get("PKG-INFO", b"")
        found = windows_of(own)
        listed = next((data for path, data in self.members.items() if path.endswith(".egg-info/requires.txt")), None)
        if listed is None or b"\nRequires-Dist:" in own:
            return found
        return windows(egg_requirements(listed.decode("utf-8", "replace")), found.requires.get("python"))


def read_source(filename: str, data: bytes, wanted: re.Pattern[str]) -> SourceContents:
    """The members of a `.tar.gz` that tell something: metadata, and those that `wanted` matches whole.

    Raises:
        InputError: it is no source distribution.
    """
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for info in archive:
                path = info.name.partition("/")[2].removeprefix("src/")
                metadata = path == "PKG-INFO" or path.endswith(".egg-info/requires.txt")
                if info.isfile() and (metadata or wanted.fullmatch(path)):
                    stream = archive.extractfile(info)
                    members[path] = stream.read() if stream else b""
    except (tarfile.TarError, OSError, *NOT_AN_ARCHIVE) as error:
        raise InputError(f"`{filename}` is not a source distribution that can be read: {error}") from error
    return SourceContents(members)
