"""Adapters made by somebody who means harm: no pickle loaded, no code run, no file outside the folders read."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envpin.core.errors import InputError
from envpin.inference.infer import infer
from envpin.inference.pickle_state import Instance, state_of
from tests.support.eras import DATA

RUN = DATA / "peft-0.14" / "run"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A copy of a real run that a test may spoil."""
    folder = tmp_path / "adapter"
    shutil.copytree(RUN, folder)
    return folder


def edit(adapter: Path, **values: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


class Bomb:
    """Unpickling it would make a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (os.mkdir, (str(self.marker),))


def test_a_pickle_is_not_loaded(adapter: Path, tmp_path: Path) -> None:
    marker = tmp_path / "exploded"
    for name in ("training_args.bin", "adapter_model.bin"):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr("training_args/data.pkl", pickle.dumps(Bomb(marker)))
        (adapter / name).write_bytes(data.getvalue())
    found = infer(adapter)
    assert not marker.exists()
    assert found.ranges["transformers"].versions == ("4.47.1",)


def test_code_beside_the_adapter_is_not_imported(adapter: Path) -> None:
    (adapter / "configuration_evil.py").write_text("raise SystemExit('imported')")
    (adapter / "config.json").write_text(
        json.dumps({"model_type": "evil", "auto_map": {"AutoConfig": "configuration_evil.Evil"}})
    )
    before = set(sys.modules)
    infer(adapter)
    assert not {name for name in set(sys.modules) - before if "evil" in name}


@pytest.mark.skipif(os.name == "nt", reason="making a link takes a privilege there")
@pytest.mark.parametrize(
    "name",
    ["README.md", "tokenizer_config.json", "tokenizer.json", "trainer_state.json", "training_args.bin", "config.json"],
)
def test_a_link_out_of_the_folder_is_not_followed(adapter: Path, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"transformers_version": "4.30.0", "tokenizer_class": "TokenizersBackend"}\n- PEFT 0.6.0\n')
    (adapter / name).unlink(missing_ok=True)
    (adapter / name).symlink_to(secret)
    found = infer(adapter)
    assert not [one for one in found.signals if one.file == name]
    assert any(name in note and "leads out" in note for note in found.notes)


@pytest.mark.skipif(os.name == "nt", reason="making a link takes a privilege there")
def test_a_checkpoint_or_config_that_leads_out_is_not_read(adapter: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(adapter / "checkpoint-2", outside)
    shutil.rmtree(adapter / "checkpoint-2")
    (adapter / "checkpoint-9").symlink_to(outside)
    assert not [one for one in infer(adapter).signals if "checkpoint" in one.file]
    moved = tmp_path / "config.json"
    (adapter / "adapter_config.json").rename(moved)
    (adapter / "adapter_config.json").symlink_to(moved)
    with pytest.raises(InputError):
        infer(adapter)


def test_a_snapshot_of_the_hub_cache_is_read_through_its_links(adapter: Path, tmp_path: Path) -> None:
    model = tmp_path / "models--a--b"
    snapshot, blobs = model / "snapshots" / ("0" * 40), model / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in adapter.iterdir():
        if path.is_file():
            (blobs / path.name).write_bytes(path.read_bytes())
            (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    assert infer(snapshot).ranges["peft"].versions == infer(adapter).ranges["peft"].versions


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders there")
@pytest.mark.parametrize("name", ["README.md", "training_args.bin", "trainer_state.json", "tokenizer_config.json"])
def test_a_pipe_does_not_keep_it_waiting(adapter: Path, name: str) -> None:
    (adapter / name).unlink()
    os.mkfifo(adapter / name)
    assert infer(adapter).says_something


@pytest.mark.parametrize("named", ["../../etc", "a/../../b", "..\\secret", "/nowhere/../../base"])
def test_a_base_path_that_leads_upwards_is_not_followed(adapter: Path, tmp_path: Path, named: str) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.json").write_text('{"model_type": "qwen2"}')
    edit(adapter, base_model_name_or_path=named)
    found = infer(adapter)
    assert found.observed.base_config is None
    assert any("leads upwards" in note for note in found.notes)


@pytest.mark.parametrize(
    "stated", ["9999", "NaN", "", "0.18.0; rm -rf /", "1" * 5000, None, 0.18, ["0.18.0"], {"a": 1}]
)
def test_a_version_that_is_none_decides_nothing(adapter: Path, stated: object) -> None:
    edit(adapter, peft_version=stated)
    (adapter / "README.md").unlink()
    shutil.rmtree(adapter / "checkpoint-2")
    found = infer(adapter)
    assert found.ranges["peft"].versions
    assert "9999" not in found.ranges["peft"].versions
    if isinstance(stated, str) and stated:
        # Shown and called wrong, never hidden.
        assert [one for one in found.contradictions if one.stated and one.package == "peft"]


def test_a_stated_version_against_the_keys_is_a_contradiction(adapter: Path) -> None:
    (adapter / "README.md").write_text("- PEFT 0.6.0\n")
    shutil.rmtree(adapter / "checkpoint-2")
    found = infer(adapter)
    assert found.ranges["peft"].versions == ("0.14.0",)  # no older release writes `eva_config`
    assert [one.says for one in found.contradictions] == ["peft 0.6.0"]
    assert found.confidences["peft"] == "moderate"


@pytest.mark.parametrize("moment", [0, 86_400, 2**40, -(2**33)])
def test_a_clock_that_lies_excludes_nothing(adapter: Path, moment: int) -> None:
    before = infer(adapter)
    try:
        os.utime(adapter / "adapter_config.json", (moment, moment))
    except OSError:
        pytest.skip("the file system takes no such time")
    (adapter / f"events.out.tfevents.{9_999_999_999}.host").write_bytes(b"")
    (adapter / "events.out.tfevents.0000000001.host").write_bytes(b"")
    after = infer(adapter)
    assert {name: one.versions for name, one in after.ranges.items()} == {
        name: one.versions for name, one in before.ranges.items()
    }
    assert after.candidates[0].pins == before.candidates[0].pins


def test_json_without_end_is_a_note(adapter: Path) -> None:
    (adapter / "trainer_state.json").write_bytes(b"[" * 1_000_000)
    (adapter / "tokenizer_config.json").write_bytes(b'{"a": ' * 200_000)
    (adapter / "args.json").write_bytes(b'{"swift_version": "3.0.0", ' + b'"a": 1, ' * 400_000)
    found = infer(adapter)
    assert any(note.startswith("trainer_state.json") for note in found.notes)
    assert any(note.startswith("tokenizer_config.json") for note in found.notes)
    (adapter / "adapter_config.json").write_bytes(b"{" * 100_000)
    with pytest.raises(InputError, match="adapter_config"):
        infer(adapter)


def test_huge_files_are_not_read_whole(adapter: Path) -> None:
    for name in ("README.md", "training_args.bin", "trainer_state.json", "tokenizer.json"):
        with (adapter / name).open("wb") as stream:
            stream.truncate(20_000_000_000)  # sparse: it has no bytes on the disk
    assert infer(adapter).says_something


def test_a_text_fetched_again_and_again_fills_no_memory() -> None:
    long = b"X" + (3_000_000).to_bytes(4, "little") + b"a" * 3_000_000
    fetch = b"h\x00h\x00\x93"  # the module, the name, STACK_GLOBAL
    assert state_of(b"\x80\x04" + long + b"\x94" + fetch * 60_000 + b".") is None


def test_one_dictionary_as_the_state_of_many_objects_is_refused() -> None:
    pairs = b"".join(b"X\x08\x00\x00\x00" + f"k{at:07}".encode() + b"N" for at in range(20_000))
    state = b"}(" + pairs + b"u\x94"
    build = b"cbuiltins\nobject\nh\x00b"
    assert state_of(b"\x80\x04" + state + build * 5_000 + b".") is None


@given(st.binary(max_size=400))
def test_any_bytes_are_answered(data: bytes) -> None:
    found = state_of(b"\x80\x04" + data)
    assert found is None or isinstance(found, Instance)


@given(st.dictionaries(st.text(max_size=20), st.integers() | st.text(max_size=10) | st.none(), max_size=10))
def test_the_attributes_of_a_plain_object_are_read(attributes: dict[str, Any]) -> None:
    class_path = b"cenvpin.nowhere\nArguments\n)\x81"
    state = pickle.dumps(attributes, protocol=2)[2:-1]
    found = state_of(b"\x80\x02" + class_path + state + b"b.")
    assert found is not None
    assert found.path == "envpin.nowhere.Arguments"
    assert found.attributes == attributes
