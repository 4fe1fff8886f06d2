"""Pickles made by somebody who means harm: each is a fault, in little time and memory, and nothing of it is run."""

from __future__ import annotations

import struct
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.formats.torch_zip import read_torch_file
from tests.support.pickles import stored, tensor, text, write_zip

if TYPE_CHECKING:
    from pathlib import Path


def nested_tuples(depth: int) -> bytes:
    """A tuple of two references to itself, over and over: its hash takes 2**depth steps."""
    return (
        b"\x80\x02})"
        + b"".join(b"r" + struct.pack("<I", at) + b"j" + struct.pack("<I", at) + b"\x86" for at in range(depth))
        + b"Ks.."
    )


HOSTILE: dict[str, bytes] = {
    "a key that takes for ever to hash": nested_tuples(2000),
    "half a million empty lists": b"\x80\x02" + b"]" * 500_001 + b".",
    "a list in itself": b"\x80\x02]q\x00h\x00ah\x00.",
    "copies of a long list": b"\x80\x02]("
    + b"K\x01" * 100_000
    + b"eq\x00"
    + b"ctorch\nSize\nh\x00\x85R0" * 50_000
    + b".",
    "a memo that nothing filled": b"\x80\x02h\x07.",
    "marks without end": b"\x80\x02" + b"(" * 200_000 + b".",
    "a mark that was never set": b"\x80\x02t.",
    "an empty stack": b"\x80\x020.",
    "a text of 4 GB": b"\x80\x02X\xff\xff\xff\xff.",
    "a text of 2**63 bytes": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f.",
    "a number of many digits": b"\x80\x02I" + b"9" * 100_000 + b"\n.",
    "a long of many bytes": b"\x80\x02\x8b" + struct.pack("<i", 5_000_000) + b"\x01" * 5_000_000 + b".",
    "no end": b"\x80\x02}",
    "an unknown opcode": b"\x80\x02\xff.",
    "a buffer out of band": b"\x80\x05\x97.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id of text": b"\x80\x02Pabc\n.",
    "a shape below zero": b"\x80\x02}"
    + text("t")
    + b"ctorch._utils\n_rebuild_tensor_v2\n("
    + stored("0", 1)
    + b"K\x00(J\xff\xff\xff\xfft(K\x01t\x89Nt"
    + b"Rs.",
    "sizes that overflow": b"\x80\x02}" + text("t") + tensor((2**59, 2**59), stored("0", 1)) + b"s.",
    "a storage of 2**60": b"\x80\x02}" + text("t") + tensor((1,), stored("0", 2**59)) + b"s.",
    "an offset beyond its storage": b"\x80\x02}" + text("t") + tensor((1,), stored("0", 1), offset=5) + b"s.",
    "a function of torch with no arguments": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "a name that is no text": b"\x80\x04K\x01K\x02\x93.",
    "not a dictionary": b"\x80\x02K\x01.",
}


@pytest.mark.parametrize(
    ("name", "container"),
    [(name, "zip") for name in HOSTILE] + [(name, "bare") for name, data in HOSTILE.items() if len(data) < 100_000],
)
def test_a_hostile_pickle_is_a_fault_in_little_time_and_memory(tmp_path: Path, name: str, container: str) -> None:
    data = HOSTILE[name]
    file = tmp_path / "x.bin"
    if container == "zip":
        write_zip(file, data, [4])
    else:
        magic = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."
        file.write_bytes(magic + b"\x80\x02M\xe9\x03." + b"\x80\x02}." + data)
    tracemalloc.start()
    began = time.process_time()
    header = read_torch_file(file)
    taken, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not header.tensors
    assert header.fault is None or header.fault.code in {"corrupt-header", "pickle-weights", "truncated-file"}
    assert header.fault is not None or name == "a shape below zero"  # torch raises for it; here it is no tensor
    assert peak < 150_000_000
    assert taken < 30  # a hash of nested tuples would take longer than the universe
