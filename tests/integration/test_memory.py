"""The largest files that are accepted, and larger ones, take less than 200 MB to read, the interpreter included."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.formats import safetensors as headers
from envpin.checkpoint.formats import sentencepiece, tokenizer
from envpin.core import json_input

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the resource module is of POSIX")
LIMIT = 200_000_000
CHILD = """
import resource, sys
from pathlib import Path
from envpin.checkpoint.checkpoint import open_checkpoint
faults = open_checkpoint(Path(sys.argv[1])).faults
if sys.platform == "linux":  # ru_maxrss counts what the process was before exec: pytest
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak, len(faults), *(f"{one.file}: {one.message}" for one in faults))
"""
VALUES = json_input.MAX_VALUES - 10
# Just below the bounds that json_input and tokenizer count.
ENTRIES = min(tokenizer.MAX_ENTRIES - 20, json_input.MAX_VALUES // 2)


def _pieces(count: int) -> bytes:
    # field 1, 27 bytes; in it field 1, 25 bytes
    return b"".join([b"\x0a\x1b\x0a\x19token%020d" % at for at in range(count)])


def _header() -> bytes:
    # three commas, two brackets and a brace a tensor
    count, end = (headers.MAX_VALUES - 10) // 7, 0
    entries = []
    for at in range(count):
        entries.append(
            f'"model.layers.{at}.self_attn.q_proj.weight":{{"dtype":"U8","shape":[1],"data_offsets":[{end},{end + 1}]}}'
        )
        end += 1
    text = ("{" + ",".join(entries) + "}").encode()
    return len(text).to_bytes(8, "little") + text + b"\0" * end


def _tokenizer() -> bytes:
    vocab = ",".join(f'"token{at:>020}":{at}' for at in range(ENTRIES))
    merges = ",".join(f'["a{at}","b"]' for at in range(ENTRIES))
    model = f'{{"type":"BPE","vocab":{{{vocab}}},"merges":[{merges}]}}'
    return f'{{"version":"1.0","added_tokens":[],"model":{model}}}'.encode()


# What is said of the files that are refused.
REFUSED = {"config of one text with a face": "not all ASCII", "larger sentencepiece model": "more than 600,000"}
FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "config of numbers": ("config.json", lambda: b'{"a":[' + b",".join(b"%d" % at for at in range(VALUES)) + b"]}"),
    "config of empty lists": ("config.json", lambda: b'{"a":[' + b",".join([b"[]"] * (VALUES // 2)) + b"]}"),
    "config of one text": ("config.json", lambda: b'{"a":"' + b"x" * 31_000_000 + b'"}'),
    "config of one text with a face": ("config.json", lambda: '{"a":"😀'.encode() + b"x" * 31_000_000 + b'"}'),
    "config of one text with a face, accepted": ("config.json", lambda: '{"a":"😀'.encode() + b"x" * 7_900_000 + b'"}'),
    "index": ("model.safetensors.index.json", lambda: json.dumps(
        {"weight_map": {f"model.layers.{at}.mlp.gate_proj.weight": "m" for at in range(400_000)}}).encode()),
    "tokenizer": ("tokenizer.json", _tokenizer),
    "sentencepiece model": ("tokenizer.model", lambda: _pieces(sentencepiece.MAX_PIECES)),
    "larger sentencepiece model": ("tokenizer.model", lambda: _pieces(sentencepiece.MAX_PIECES + 1)),
    "header": ("model.safetensors", _header),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_a_file_at_the_bound(kind: str, tmp_path: Path) -> None:
    name, made = FILES[kind]
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    (tmp_path / name).write_bytes(made())
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=True)
    peak, _, said = done.stdout.partition(" ")
    print(f"{kind}: {int(peak) / 1e6:.0f} MB, {said[:200].strip()}")  # noqa: T201  seen with -s
    assert int(peak) < LIMIT, said
    if kind in REFUSED:
        assert REFUSED[kind] in said
    elif kind != "index":  # whose shards are not there
        assert said.split() == ["0"]
