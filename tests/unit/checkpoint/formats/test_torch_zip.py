"""Files of torch.save by their zip directory and opcodes: what is listed, and what hostile ones get."""

from __future__ import annotations

import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.checkpoint.formats.torch_zip import read_torch_file
from envpin.diagnose.check import check
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.pickles import number, state_dict, stored, tensor, text, write_bin, write_legacy, write_zip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHAPES: dict[str, tuple[int, ...]] = {"a.weight": (3, 4), "b.bias": (7,), "scalar": (), "none": (0, 5)}


@pytest.mark.parametrize("write", [write_bin, write_legacy])
def test_names_shapes_dtypes_and_places(tmp_path: Path, write: Callable[..., Path]) -> None:
    header = read_torch_file(write(tmp_path / "x.bin", SHAPES))
    assert header.fault is None
    assert {one.name: one.shape for one in header.tensors} == SHAPES
    assert {one.dtype for one in header.tensors} == {"F32"}
    assert [one.end - one.start for one in header.tensors] == [48, 28, 4, 0]
    assert all(one.end <= (tmp_path / "x.bin").stat().st_size for one in header.tensors)


def test_a_view_of_a_shared_storage(tmp_path: Path) -> None:
    shared = stored("0", 24)
    items = text("whole") + tensor((4, 6), shared) + text("rows") + tensor((2, 6), shared, offset=12)
    items += text("turned") + tensor((6, 4), shared, stride=(1, 6))
    header = read_torch_file(write_zip(tmp_path / "x.bin", b"\x80\x02}(" + items + b"u.", [96]))
    whole, rows, turned = header.tensors
    assert rows.start - whole.start == 48
    assert rows.end == whole.end
    assert (turned.shape, turned.start, turned.end) == ((6, 4), 0, 0)


@pytest.mark.parametrize("write", [write_bin, write_legacy])
def test_adapters_and_bases_of_pickles_are_compared(tmp_path: Path, write: Callable[..., Path]) -> None:
    def folder(name: str, file: str, shapes: dict[str, tuple[int, ...]], **documents: Any) -> Path:
        for document, content in documents.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{document}.json").write_text(json.dumps(content))
        write(tmp_path / name / file, shapes)
        return tmp_path / name

    base = folder("base", "pytorch_model.bin", llama_shapes(), config=llama_config())
    config = {"peft_type": "LORA", "r": 8, "target_modules": ["q_proj", "v_proj"]}
    grown = lora_shapes(llama_shapes()) | {"base_model.model.model.embed_tokens.weight": (321, 64)}
    adapter = folder("adapter", "adapter_model.bin", grown, adapter_config=config)
    found = {one.code: one for one in check(adapter, base=base).findings}
    assert set(found) == {"vocab-grown", "pickle-weights"}
    assert found["pickle-weights"].severity == "info"
    plain = folder("plain", "adapter_model.bin", lora_shapes(llama_shapes()), adapter_config=config)
    assert "adapter-is-noop" in {one.code for one in check(plain, base=base).findings}  # the data is all zero


def test_shards_of_pickles(tmp_path: Path) -> None:
    shapes = llama_shapes()
    names = list(shapes)
    halves = [names[:9], names[9:]]
    weight_map: dict[str, str] = {}
    for at, half in enumerate(halves, 1):
        file = f"pytorch_model-{at:05}-of-00002.bin"
        write_bin(tmp_path / file, {name: shapes[name] for name in half})
        weight_map |= dict.fromkeys(half, file)
    (tmp_path / "config.json").write_text(json.dumps(llama_config()))
    (tmp_path / "pytorch_model.bin.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map | {"lost": file}})
    )
    folder = open_checkpoint(tmp_path)
    assert {name: one.shape for name, one in folder.tensors.items()} == shapes
    assert [fault.code for fault in folder.faults] == ["missing-shard"]
    assert "lost" in folder.faults[0].message


def test_an_empty_state_dict_is_a_blocker(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", {})
    (adapter / "adapter_model.safetensors").unlink()
    write_bin(adapter / "adapter_model.bin", {})
    assert [one.code for one in check(adapter).blockers] == ["adapter-is-noop"]


def test_a_folder_without_weights_is_a_blocker(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", {})
    (adapter / "adapter_model.safetensors").unlink()
    assert [one.code for one in check(adapter).blockers] == ["missing-shard"]
    model = write_model(tmp_path / "model", llama_shapes())
    (model / "model.safetensors").unlink()
    assert [one.code for one in check(model).blockers] == ["missing-shard"]


class Evil:
    """Unpickling it makes a file."""

    def __reduce__(self) -> Any:
        return (os.mkdir, ("owned",))


def test_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in range(6):
        data = pickle.dumps({"a": Evil()}, protocol)
        for file in (write_zip(tmp_path / "x" / "zip.bin", data, []), tmp_path / "x" / "bare.bin"):
            file.parent.mkdir(exist_ok=True)
            if file.name == "bare.bin":
                file.write_bytes(data)
            fault = read_torch_file(file).fault
            assert fault is not None
            assert fault.code == ("pickle-weights" if file.name == "zip.bin" else "corrupt-header")
    assert not (tmp_path / "owned").exists()
    adapter = write_adapter(tmp_path / "adapter", {})
    (adapter / "adapter_model.safetensors").unlink()
    write_zip(adapter / "adapter_model.bin", pickle.dumps({"a": Evil()}, 2), [])
    blockers = check(adapter).blockers
    assert [one.code for one in blockers] == ["pickle-weights"]
    assert "mkdir" in blockers[0].message
    pickle.loads(pickle.dumps(Evil(), 2))
    assert (tmp_path / "owned").exists()  # it would have


def test_archives_that_torch_does_not_write(tmp_path: Path) -> None:
    shapes = {"a": (4,)}
    good = write_bin(tmp_path / "good.bin", shapes).read_bytes()

    def fault(data: bytes | None = None, **zipped: Any) -> str:
        file = tmp_path / "x.bin"
        if data is not None:
            file.write_bytes(data)
        else:
            write_zip(file, **zipped)
        found = read_torch_file(file).fault
        assert found is not None
        return f"{found.code}: {found.message}"

    assert "compressed" in fault(pickle=state_dict(shapes), lengths=[16], compression=zipfile.ZIP_DEFLATED)
    assert "is not there" in fault(pickle=state_dict(shapes), lengths=[])
    assert "has 8 bytes instead of 16" in fault(pickle=state_dict(shapes), lengths=[8])
    assert fault(good[:-30]).startswith("truncated-file")
    assert fault(good[: len(good) // 2]).startswith("truncated-file")
    assert fault(b"").startswith("truncated-file")
    assert fault(b"nothing of the kind").startswith("html-instead-of-weights: a text")
    assert fault(b"nothing of the kind\0\1").startswith("corrupt-header")
    assert "as torch writes them" in fault(b"\x93NUMPY")
    legacy = write_legacy(tmp_path / "legacy.bin", shapes).read_bytes()
    assert fault(legacy[:-1]).startswith("truncated-file")
    assert fault(legacy[:60]).startswith("truncated-file")
    with zipfile.ZipFile(tmp_path / "x.bin", "w") as archive:
        archive.writestr("code/x.py", "")
        archive.writestr("x/constants.pkl", "")
    assert "TorchScript" in fault((tmp_path / "x.bin").read_bytes())
    with zipfile.ZipFile(tmp_path / "x.bin", "w") as archive:
        archive.writestr("a/data.pkl", "")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/data.pkl", "")
    assert "twice" in fault((tmp_path / "x.bin").read_bytes())
    assert "below `state_dict`" in fault(pickle=b"\x80\x02}" + text("state_dict") + b"}s.", lengths=[])


def test_a_zip_directory_of_a_hundred_megabytes_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "x.bin"
    size = 100_000_000
    with file.open("wb") as stream:
        stream.write(b"PK\x03\x04")
        stream.truncate(size)
        stream.seek(size)
        stream.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65_535, 65_535, size - 4, 4, 0))
    tracemalloc.start()
    fault = read_torch_file(file).fault
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fault is not None
    assert fault.code == "corrupt-header"
    assert peak < 20_000_000


def test_numbers_are_as_pickle_reads_them() -> None:
    for value in (0, 5, 2**31, 2**59):
        assert pickle.loads(b"\x80\x02" + number(value) + b".") == value
