"""`matrix collect --stack` over a small index in this process: wheels by ranges, metadata on its own, sources."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import NetworkError
from envpin.core.events import Event, Note
from envpin.evidence.stack.collect import COLLECTED, QUANTIZERS, SERVERS, TRAINERS, collect_stack
from envpin.matrix.stack import Stack, encode_stack, load_stack, shipped_stack_path
from envpin.remote.index import Index
from tests.support.simple_index import SimpleIndex, wheel_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = "2024-05-06T07:08:09Z"
REGISTRY = "vllm/model_executor/models/registry.py"
PACKAGES = ("vllm", "trl", "gptqmodel", "torch")


def metadata(name: str, version: str, *lines: str) -> bytes:
    return "\n".join([f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *lines, ""]).encode()


def vllm(version: str, registry: str, *lines: str) -> bytes:
    own = metadata("vllm", version, *lines)
    return wheel_bytes(
        {REGISTRY: registry.encode(), f"vllm-{version}.dist-info/METADATA": own, "vllm/_C.so": bytes(2_000_000)}
    )


def source(name: str, members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path, data in members.items():
            info = tarfile.TarInfo(f"{name}/{path}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@pytest.fixture
def index() -> Iterator[SimpleIndex]:
    with SimpleIndex() as served:
        served.add("vllm-0.1.0-py3-none-any.whl", vllm("0.1.0", "_MODELS = {}"), uploaded="2023-05-06T07:08:09Z")
        for version, day, registry in (
            ("0.5.0", DAY, '_MODELS = {"LlamaForCausalLM": ("llama", "L")}'),
            ("0.6.0", "2024-06-01T00:00:00Z", '_MODELS = {"LlamaForCausalLM": 1, "QwenForCausalLM": 1}'),
            ("0.7.0", "2024-07-01T00:00:00Z", "_MODELS = {"),
        ):
            wheel = vllm(version, registry, "Requires-Dist: torch==2.3.0", "Requires-Python: >=3.8")
            served.add(f"vllm-{version}-cp38-abi3-manylinux1_x86_64.whl", wheel, uploaded=day)
            served.add(f"vllm-{version}-cp38-abi3-macosx_11_0_arm64.whl", b"another wheel", uploaded=day)
        served.add("vllm-0.8.0rc1-py3-none-any.whl", b"", uploaded="2024-08-01T00:00:00Z")
        trl = wheel_bytes({"trl-0.9.0.dist-info/METADATA": b"not this one"})
        served.add("trl-0.9.0-py3-none-any.whl", trl, uploaded=DAY, yanked=True, requires_python=">=3.7")
        served.pages["trl"][0]["core-metadata"] = {"sha256": "0"}
        served.files["trl-0.9.0-py3-none-any.whl.metadata"] = metadata(
            "trl", "0.9.0", "Requires-Dist: peft>=0.8; extra == 'peft'"
        )
        archive = source("gptqmodel-1.0", {"PKG-INFO": metadata("gptqmodel", "1.0", "Requires-Dist: torch>=2"),
                                           "gptqmodel/models/auto.py": b'MODEL_MAP = {"llama": L}'})  # fmt: skip
        served.add("gptqmodel-1.0.tar.gz", archive, uploaded=DAY)
        cuda = "Requires-Dist: nvidia-cuda-runtime-cu12 (==12.1.105) ; platform_system == 'Linux'"
        wheel = wheel_bytes({"torch-2.3.0.dist-info/METADATA": metadata("torch", "2.3.0", cuda)})
        served.add("torch-2.3.0-cp311-none-macosx_11_0_arm64.whl", b"another wheel", uploaded=DAY)
        served.add("torch-2.3.0-cp311-cp311-manylinux1_x86_64.whl", wheel, uploaded=DAY)
        yield served


def collected(served: SimpleIndex, cache: Path, *, offline: bool = False) -> tuple[Stack, list[str]]:
    notes: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.message)

    return collect_stack(Index(served.url, cache=cache, offline=offline), listener=listen, packages=PACKAGES), notes


def test_releases_are_read_from_their_linux_wheels(index: SimpleIndex, tmp_path: Path) -> None:
    stack, notes = collected(index, tmp_path)
    tool = stack.tools["vllm"]
    assert [one.version for one in tool.releases] == ["0.5.0", "0.6.0"]
    assert tool.registries["architectures"] == {"LlamaForCausalLM": ((0, 1),), "QwenForCausalLM": ((1, 1),)}
    assert tool.releases[0].requires == {"python": ">=3.8", "torch": "==2.3.0"}
    assert len(notes) == 1
    assert notes[0].startswith("vllm 0.7.0 cannot be read: ")
    assert index.bytes_sent < 1_500_000  # the wheels alone have 6 MB


def test_metadata_is_taken_where_the_index_serves_it(index: SimpleIndex, tmp_path: Path) -> None:
    stack, _ = collected(index, tmp_path)
    (release,) = stack.tools["trl"].releases
    assert (release.optional, release.requires, release.yanked) == ({"peft": ">=0.8"}, {"python": ">=3.7"}, True)
    assert not any(path.endswith("trl-0.9.0-py3-none-any.whl") for path, _ in index.requests)


def test_a_package_without_wheels_is_read_in_its_source(index: SimpleIndex, tmp_path: Path) -> None:
    stack, _ = collected(index, tmp_path)
    (release,) = stack.tools["gptqmodel"].releases
    assert (release.source, release.requires) == (True, {"torch": ">=2"})
    assert stack.tools["gptqmodel"].lists("model_types", "llama", "1.0")


def test_torch_tells_the_cuda_that_it_brings(index: SimpleIndex, tmp_path: Path) -> None:
    assert collected(index, tmp_path)[0].tools["torch"].releases[0].cuda == "12.1"


def test_a_second_reading_asks_no_file_again(index: SimpleIndex, tmp_path: Path) -> None:
    first, _ = collected(index, tmp_path)
    before = [path for path, _ in index.requests if path.startswith("/files/")]
    again, _ = collected(index, tmp_path)
    asked = [path for path, _ in index.requests if path.startswith("/files/")][len(before) :]
    assert {path for path in asked if "0.7.0" not in path} == set()  # what could not be read is tried again
    assert encode_stack(first) == encode_stack(again)


def test_offline_and_empty_is_an_error(index: SimpleIndex, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="offline"):
        collected(index, tmp_path, offline=True)


def test_the_shipped_file_has_every_tool_since_2024() -> None:
    stack = load_stack(shipped_stack_path())
    assert set(stack.tools) == set(COLLECTED)
    assert len({*TRAINERS, *SERVERS, *QUANTIZERS, "peft", "transformers"}) == 25
    assert all(one.date >= "2024" for name, tool in stack.tools.items() for one in tool.releases if name != "torch")
    assert json.loads(shipped_stack_path().read_bytes())["collected"] == stack.collected
