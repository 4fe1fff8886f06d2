"""Slips at the command line: each ends with exit status 2 and the sentence that helps."""

from __future__ import annotations

import pytest

from envpin.cli.main import main

SLIPS = [
    (["record", "python", "train.py"], "did you mean `envpin record -- python train.py`?"),
    (["record", "-o", "m.json", "python", "my train.py"], "`envpin record -o m.json -- python 'my train.py'`"),
    (["run", "llama3.1", "python", "x.py"], "did you mean `envpin run llama3.1 -- python x.py`?"),
    (["--json", "check", "adapter"], "did you mean `envpin check adapter --json`?"),
    (["--base", "b", "check", "adapter"], "did you mean `envpin check adapter --base b`?"),
    (["chekc", "adapter"], "did you mean `envpin check`?"),
    (["matrix", "reslove", "x"], "did you mean `envpin matrix resolve x`?"),
    (["env", "ceate", "x"], "did you mean `envpin env create x`?"),
    (["replay", "merge", "a", "-o", "o", "--engine", "steam"], "did you mean `stream`?"),
    (["--jsno"], "`--jsno` is no option of envpin, and no command is named"),
    (["help", "chekc"], "did you mean `envpin check`?"),
    (["check", "a", "--bsae", "b"], "unrecognized arguments"),
    (["merge", "a", "-o", "o"], "did you mean `envpin replay merge`?"),
    (["install", "llama3.1"], "did you mean `envpin env create`?"),
    (["version"], "did you mean `envpin --version`?"),
    (["replay", "a", "-o", "o"], "did you mean `envpin replay merge a -o o`?"),
    (["matrix", "llama3.1"], "did you mean `envpin matrix resolve llama3.1`?"),
    (["env", "llama3.1"], "did you mean `envpin env create llama3.1`?"),
    (["record", "train.py", "--steps", "3"], "did you mean `envpin record -- python train.py --steps 3`?"),
    (["run", "python", "x.py"], "did you mean `envpin run REF -- python x.py`?"),
    (["prove", "merged"], "as in `envpin prove base adapter merged`; `envpin prove --help` tells the rest"),
    (["replay", "merge", "a", "b"], "as in `envpin replay merge adapter -o merged`"),
    (["diff", "a"], "the following arguments are required: AFTER"),
    (["lock", "requirements.txt"], "uv pip compile requirements.txt --format pylock.toml -o pylock.toml"),
    (["scan", __file__], "is a file, not a folder"),
    (["zzzz"], "there is no command `zzzz`"),
]


@pytest.mark.parametrize(("words", "sentence"), SLIPS, ids=[" ".join(words) for words, _ in SLIPS])
def test_slip_gets_the_sentence_that_ends_it(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = main(words)
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("words", [["help"], ["help", "check"], ["help", "matrix", "resolve"], ["--help"], ["-h"]])
def test_help_is_a_command_and_an_option(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: envpin")
