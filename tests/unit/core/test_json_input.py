"""JSON that others wrote: bounds, oddities, and one policy for duplicate keys."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.checkpoint.formats.safetensors import read_header
from envpin.core import json_input
from envpin.core.errors import InputError
from envpin.core.json_input import BadJsonError, parse, read_named_object, read_object
from envpin.inference.observe import observe
from envpin.matrix.subject import find_subject

if TYPE_CHECKING:
    from pathlib import Path

TWICE = b'{"peft_type": "LORA", "r": 8, "r": 16, "a": {"x": 1, "x": {"y": 1, "y": 2}}}'
REMARKS = ["duplicate key `y`: the last one counts", "duplicate key `x`: the last one counts",
           "duplicate key `r`: the last one counts"]  # fmt: skip


def test_a_duplicate_key_counts_as_json_loads_counts_it_and_is_remarked_on() -> None:
    remarks: list[str] = []
    assert parse(TWICE, remarks=remarks) == json.loads(TWICE)
    assert remarks == REMARKS


def test_a_duplicate_key_is_refused_where_the_format_forbids_it(tmp_path: Path) -> None:
    with pytest.raises(BadJsonError, match="duplicate key `y`"):
        parse(TWICE)
    header = (
        b'{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    )
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    fault = read_header(tmp_path / "model.safetensors").fault
    assert fault is not None
    assert fault.code == "corrupt-header"
    assert fault.message.endswith("duplicate key `t`")


def test_many_duplicate_keys_are_counted_and_long_ones_cut() -> None:
    remarks: list[str] = []
    parse(b"{" + b",".join(b'"%d%s": 1' % (at % 9, b"k" * 200) for at in range(18)) + b"}", remarks=remarks)
    assert len(remarks) == 6
    assert remarks[-1] == "and 4 more duplicate keys"
    assert len(remarks[0]) < 130


def test_every_command_reads_a_duplicate_key_in_one_way(tmp_path: Path) -> None:
    """`check`, `scan`, `replay`, `diagnose` read folders; `infer` observes; `matrix resolve` finds its subject."""
    (tmp_path / "adapter_config.json").write_bytes(TWICE)
    folder = open_checkpoint(tmp_path)
    assert folder.adapter_config == json.loads(TWICE)
    assert [(one.code, one.file, one.message) for one in folder.faults] == [
        ("duplicate-json-key", "adapter_config.json", text) for text in REMARKS
    ]
    observed = observe(tmp_path)
    assert observed.adapter_config == json.loads(TWICE)
    assert [f"adapter_config.json: {text}" for text in REMARKS] == list(observed.notes)
    (tmp_path / "config.json").write_bytes(b'{"model_type": "gpt2", "model_type": "llama"}')
    subject = find_subject(str(tmp_path))
    assert subject.config == {"model_type": "llama"}
    assert subject.origin[1:] == ("config.json: duplicate key `model_type`: the last one counts",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"{", "Expecting property name"),
        ('{"a": 1}'.encode("utf-16"), "in UTF-16; save it as UTF-8"),
        (b'{"a": NaN}', "`NaN` is not JSON"),
        (b"[" * 70 + b"]" * 70, "nested deeper than 64 levels"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "integer string conversion"),
        (b"[" + b"1," * 1_500_001 + b"1]", "more than 1,500,000 values"),
        (b" " * (json_input.MAX_BYTES + 1), "32,000,001 bytes, more than the 32,000,000"),
        (("🤗" * 2_100_000).encode(), "not all ASCII"),
    ],
)
def test_parse_refuses_with_a_reason(data: bytes, words: str) -> None:
    with pytest.raises(BadJsonError, match=words):
        parse(data, remarks=[])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file|does not exist"),
        (b"[]", "holds an array, not an object"),
        (b'"text"', "holds a string, not an object"),
        (b"{} " + b" " * 100, "more than the 64 bytes"),
        ("folder", "a folder, not a regular file"),
        ("pipe", "a pipe, not a regular file"),
        ("device", "a device, not a regular file"),
        ("loop", "symbolic links"),
        ("name", "File name too long"),
    ],
)
def test_read_object_gives_one_clear_error_for_whatever_stands_under_a_name(
    tmp_path: Path, content: object, words: str
) -> None:
    path = tmp_path / "config.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()
    elif content == "pipe":
        os.mkfifo(path)
    elif content == "device":
        path.symlink_to("/dev/zero")
    elif content == "loop":
        path.symlink_to(path.name)
    elif content == "name":
        path = tmp_path / ("n" * 300)
    with pytest.raises((BadJsonError, OSError), match=words):
        read_object(path, limit=64)
    with pytest.raises(InputError, match=words) as caught:
        read_named_object(path, limit=64)
    assert "\n" not in caught.value.message
