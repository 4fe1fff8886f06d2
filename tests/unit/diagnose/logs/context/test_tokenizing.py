"""What tokenizers and SentencePiece read, write or load is told by the call, where their own code names no task."""

from __future__ import annotations

import pytest

from tests.support.logs import answer

_OWN = '  File "/home/u/app/run.py", line 4, in <module>\n    '
_RUST = "Exception: {} (os error {})"
_LETTERS = "Exception: stream did not contain valid UTF-8"
_SPM = (
    '  File "/v/lib/python3.11/site-packages/sentencepiece/__init__.py", line 783, in _Train\n'
    "    res = _sentencepiece.SentencePieceTrainer._TrainFromMap(\n"
)


@pytest.mark.parametrize(
    ("call", "error", "code", "said"),
    [
        ('tokenizer.train(files=["dataset.txt"], vocab_size=5)\n', _RUST.format("No such file or directory", 2),
         "data-not-as-expected", "`dataset.txt`"),
        ("tokenizer.train(files, trainer)\n", _RUST.format("Is a directory", 21), "data-not-as-expected", "a folder"),
        ("tokenizer.train(files, trainer)\n", _LETTERS, "data-not-as-expected", "not UTF-8"),
        ('tok.save("out")\n', _RUST.format("Is a directory", 21), "library-api-changed", "one file"),
        ('tokenizer.save_model("out")\n', _RUST.format("Not a directory", 20), "output-exists", "is a file"),
        ('tok = Tokenizer.from_file("t.json")\n', _RUST.format("No such file or directory", 2), "tokenizer-missing",
         "tokenizer.json"),
        ('tok = Tokenizer.from_file("tok")\n', _RUST.format("Is a directory", 21), "tokenizer-missing", "folder"),
        ('tok = BertWordPieceTokenizer("v.txt")\n',
         "Exception: Error while initializing WordPiece: No such file or directory (os error 2)", "tokenizer-missing",
         "not where"),
        (f"spm.SentencePieceTrainer.train(\n{_SPM}", 'RuntimeError: NOT_FOUND: "c.txt": No such file or directory',
         "data-not-as-expected", "`c.txt`"),
        (f"spm.SentencePieceTrainer.train(\n{_SPM}", 'OSError: Not found: "c.txt": No such file or directory Error #2',
         "data-not-as-expected", "`c.txt`"),
        (f"spm.SentencePieceTrainer.train(\n{_SPM}",
         'RuntimeError: NOT_FOUND: "./out/t.model": No such file or directory', "settings-refused", "mkdir -p ./out"),
        (f"spm.SentencePieceTrainer.train(\n{_SPM}", 'RuntimeError: PERMISSION_DENIED: "t.vocab": Permission denied',
         "settings-refused", "after training"),
        ('tokenizer.save("t.json")\n', _RUST.format("Operation not permitted", 1), "output-exists", "`t.json` is"),
        ('tokenizer.save("t.json")\n', _RUST.format("Permission denied", 13), "settings-refused", "`t.json`"),
        ('sp = spm.SentencePieceProcessor(model_file=".")\n', 'RuntimeError: FAILED_PRECONDITION: ".": Is a directory',
         "tokenizer-missing", "`.`"),
    ],
)  # fmt: skip
def test_the_call_tells_what_the_file_was(call: str, error: str, code: str, said: str) -> None:
    codes, text = answer(f"Traceback (most recent call last):\n{_OWN}{call}{error}\n")
    assert (list(codes), said in text) == ([code], True), text


@pytest.mark.parametrize(
    "error",
    ["IsADirectoryError: [Errno 21] Is a directory: 'x'", "Error: Is a directory (os error 21)",
     'RuntimeError: config "a.yml": No such file'],
)  # fmt: skip
def test_other_programs_stay_silent(error: str) -> None:
    assert list(answer(f"Traceback (most recent call last):\n{_OWN}main()\n{error}\n")[0]) == []
