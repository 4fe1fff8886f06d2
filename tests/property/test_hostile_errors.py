"""Lines made to keep an expression busy cost no more than any other line of their length."""

from __future__ import annotations

import io
import time

import pytest

from envpin.diagnose.logs.reader import diagnose_log

PIECES = (
    "merge ", "/a", 'File "/', "/x.py:1", "[/x.py](", "(", " in f(", "adapter ", "no safetensors ", "lora_A.weight",
    "raise ", "Error: ", "ValueError: ", "  ", "\t", "transformers  ", "trl 0.1.", "not supported ", "shape must ",
    "kv cache ", "target_modules ", "'a' object has no attribute ", "got an unexpected keyword argument '", "size ",
    "_" * 40,
)  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_a_line_of_one_piece_again_and_again_is_read_in_its_length(piece: str) -> None:
    body = piece * (6_000 // len(piece))
    frame = '  File "/srv/site-packages/trl/x.py", line 3, in f'
    log = f"{frame}\n    {body}\nValueError: {body}\nRuntimeError: {body} {piece}\n"
    started = time.process_time()
    diagnose_log(io.BytesIO((log * 10).encode()))
    assert time.process_time() - started < 4
