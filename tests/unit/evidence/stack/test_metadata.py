"""Windows from metadata: what is declared for the machines that the stack runs on, and what extras declare."""

from __future__ import annotations

import contextlib
import io
import re
import tarfile

import pytest

from envpin.core.errors import InputError
from envpin.evidence.stack.metadata import egg_requirements, read_source, windows, windows_of

METADATA = b"""Metadata-Version: 2.1
Name: tool
Version: 1
Requires-Python: >=3.9
Requires-Dist: transformers (!=4.52.0,<=4.60,>=4.45.0)
Requires-Dist: torch==2.6.0; platform_machine == "x86_64"
Requires-Dist: torch==2.5.0; platform_machine == "aarch64"
Requires-Dist: numpy<2; python_version < "3.10"
Requires-Dist: trl
Requires-Dist: requests>=2
Requires-Dist: peft>=0.8.0; extra == "peft"
Requires-Dist: liger-kernel>=0.7; extra == "liger"
Requires-Dist: peft>=0.1; extra == "dev"
Requires-Dist: this is none

Requires-Dist: vllm==1
"""


def test_windows_are_those_of_linux_on_x86_64() -> None:
    found = windows_of(METADATA)
    assert found.requires == {"python": ">=3.9", "torch": "==2.6.0", "transformers": "!=4.52.0,<=4.60,>=4.45.0"}


def test_an_extra_counts_where_it_is_for_the_package() -> None:
    assert windows_of(METADATA).optional == {"liger-kernel": ">=0.7", "peft": ">=0.8.0"}


def test_lines_about_one_package_are_joined() -> None:
    found = windows(['numpy>=1; python_version > "3.8"', 'numpy<3; sys_platform == "linux"'], None)
    assert set(found.requires["numpy"].split(",")) == {">=1", "<3"}


@pytest.mark.parametrize(
    ("line", "cuda"),
    [
        ('nvidia-cuda-runtime-cu12 (==12.4.127) ; platform_system == "Linux" and platform_machine == "x86_64"', "12.4"),
        ('cuda-toolkit[cudart,cublas]==13.0.2; platform_system == "Linux"', "13.0"),
        ("nvidia-cuda-runtime-cu11==11.7.99", "11.7"),
        ('nvidia-cuda-runtime-cu12==12.4.127; platform_system == "Windows"', None),
        ("nvidia-cudnn-cu12==9.1.0.70", None),
        ("nvidia-cuda-runtime-cu12>=12", None),
    ],
)
def test_cuda_is_that_of_the_runtime_that_the_wheel_brings(line: str, cuda: str | None) -> None:
    assert windows([line], None).cuda == cuda


def test_egg_requirements_have_the_markers_of_their_sections() -> None:
    text = (
        "torch>=2\n\n[:python_version < '3.9']\nnumpy<2\n\n[peft]\npeft>=0.8\n\n[vllm:sys_platform == 'x']\nvllm>=1\n"
    )
    assert list(egg_requirements(text)) == [
        "torch>=2", "numpy<2 ; (python_version < '3.9')", "peft>=0.8 ; extra == 'peft'",
        "vllm>=1 ; extra == 'vllm' and (sys_platform == 'x')",
    ]  # fmt: skip


def archive(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as written:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            written.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def test_a_source_tells_its_requirements_where_its_own_metadata_leaves_them_open() -> None:
    data = archive(
        {
            "tool-1/PKG-INFO": b"Metadata-Version: 2.1\nName: tool\nRequires-Python: >=3.8\n",
            "tool-1/src/tool.egg-info/requires.txt": b"torch>=2\n",
            "tool-1/src/tool/auto.py": b"MODEL_MAP = {}\n",
            "tool-1/tests/auto.py": b"",
        }
    )
    found = read_source("tool-1.tar.gz", data, re.compile(r"tool/auto\.py"))
    assert found.windows.requires == {"python": ">=3.8", "torch": ">=2"}
    assert found.members["tool/auto.py"] == b"MODEL_MAP = {}\n"
    assert "tests/auto.py" not in found.members


def test_the_own_metadata_of_a_source_comes_first() -> None:
    data = archive(
        {"t-1/PKG-INFO": b"Name: t\nRequires-Dist: torch>=3\n", "t-1/t.egg-info/requires.txt": b"torch>=2\n"}
    )
    assert read_source("t-1.tar.gz", data, re.compile("x")).windows.requires == {"torch": ">=3"}


def test_what_is_no_archive_is_an_input_error() -> None:
    with pytest.raises(InputError, match="not a source distribution"):
        read_source("t-1.tar.gz", b"nothing", re.compile("x"))


def test_a_source_that_is_damaged_anywhere_is_read_or_refused() -> None:
    whole = archive({"t-1/PKG-INFO": b"Name: t\nRequires-Dist: torch>=3\n"})
    for at in range(0, len(whole), 3):
        damaged = bytes([*whole[:at], whole[at] ^ 0xFF, *whole[at + 1 :]])
        with contextlib.suppress(InputError):
            read_source("t-1.tar.gz", damaged, re.compile("x"))
