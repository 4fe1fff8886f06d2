"""Lines made to keep an expression busy cost no more than any other line of their length."""

from __future__ import annotations

import io
import time

import pytest

from envpin.diagnose.logs.reader import diagnose_log
from envpin.diagnose.logs.text.blocks import in_short, without_long_words

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


# Each of these kept one expression busy for seconds up to for ever.
LINES = (
    "found missing adapter keys while loading the checkpoint: [" + "'a.lora_B.b.lora_B.c', 'a.lora_A.b.lora_A', " * 60,
    "not found" * 300 + "a" * 2_000 + " -of-",
    "Unrecognized processing class in " + "/" * 1_000 + " Can't instantiate a processor",
    "[ONNXRuntimeError]" * 30 + "External initializer" * 100 + "a" * 500,
    "Error no file named " * 100 + "model.bin " * 300,
    "libbitsandbytes_" * 370,
    ".h.norm.bias" * 500 + " | UNEXPECTED",
    "language_model.lora_" * 300 + "| MISSING",
    "ValueError: data file " + "file/" * 1_000 + " not there",
    "KeyError: 'a'\n  File \"/u/train.py\", line 3, in f\n    " + "label2id" * 800 + "\nKeyError: 'a'",
    "KeyError: 'a'\n  File \"/u/train.py\", line 3, in f\n    " + "\t" * 6_000 + "\nKeyError: 'a'",
    '/site-packages/transformers/trainer.py", line 1, in evaluate' * 60 + ("\n, in metric\n" + "=" * 1_000) * 12
    + "\nValueError: not enough values to unpack (expected 2, got 1)",
    "_" * 6_000 + " is required for a normal functioning of this module, but found " + "__init__() missing " * 20,
)  # fmt: skip


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:30])
def test_a_line_made_for_one_expression_is_read_in_its_length(line: str) -> None:
    started = time.process_time()
    diagnose_log(io.BytesIO(f"{line}\n".encode() * 3))
    assert time.process_time() - started < 4


def test_a_word_of_any_length_costs_what_two_short_ones_do() -> None:
    word = "a" * 5_000
    assert diagnose_log(io.BytesIO(f"ModuleNotFoundError: No module named 'peft'\n{word}\n".encode())).findings
    assert without_long_words(f"x {word} y") == f"x {'a' * 400} y"
    assert in_short(f"{'b ' * 2_000}\n{word}").split("\n")[0] == "b " * 500 + "b " * 300
