"""Slips at the command line: each ends with exit status 2 and the sentence that helps."""

from __future__ import annotations

import json

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
    (["--verison"], "did you mean `envpin --version`?"),
    (["help", "chekc"], "did you mean `envpin check`?"),
    (["check", "a", "--bsae", "b"], "did you mean `envpin check a --base b`?"),
    (["check", "a", "--bsae=b"], "did you mean `envpin check a --base=b`?"),
    (["check", "a", "--zzzz"], "`envpin check` has no option `--zzzz`\n\nhint: envpin check --help"),
    (["check", "a", "b"], "`envpin check` does not take `b`\n\nhint: envpin check --help"),
    (["replay", "merge", "a", "-o", "o", "--dryrun"], "did you mean `envpin replay merge a -o o --dry-run`?"),
    (["replay", "merge", "a", "-o", "o", "b"], "`envpin replay merge` does not take `b`"),
    (["replay", "train", "a", "--onec"], "did you mean `envpin replay train a --once`?"),
    (["env", "create", "llama3.1", "--ofline"], "did you mean `envpin env create llama3.1 --offline`?"),
    (["run", "llama3.1", "--ofline", "--", "x"], "did you mean `envpin run llama3.1 --offline -- x`?"),
    (["record", "train.py", "--attahc"], "did you mean `envpin record -- python train.py --attahc`?"),
    (["env", "create", "llama3.1", "--python", "abc"], "`--python abc` is not a version of Python"),
    (["lock", "llama3.1", "--python", "python3"], "`--python python3` is not a version of Python"),
    (["replay", "merge", "a", "-o", "o", "--python", "3"], "`--python 3` is not a version of Python"),
    (["bundle", "a", "-o", "o", "--python", "3.x"], "`--python 3.x` is not a version of Python"),
    (["matrix", "resolve", "a", "--python", ""], "the value of `--python` is empty"),
    (["check", "a", "--base="], "the value of `--base` is empty"),
    (["scan", ""], "argument 1 of `envpin` is empty"),
    (["record", "", "--", "x"], "argument 1 of `envpin` is empty"),
    (["replay", "merge", "a", "-o", ""], "the value of `-o` is empty"),
    (["env", "prune", "--older-than", "5d", "--unused-for", "3"], "say the same"),
    (["env", "prune", "--all", "--max-size", "5GB"], "give it alone"),
    (["env", "prune", "--unused-for=-1"], "`--unused-for -1` is not an age"),
    (["bisect", "peft", "--good", "0.1.0", "--bad", "0.2.0", "--steps", "3", "--", "x"], "goes with `--training`"),
    (["bisect", "peft", "--good", "0.1.0", "--bad", "0.2.0", "--trust-script", "--", "x"], "goes with `--training`"),
    (["bisect", "peft", "--python", "new"], "`--python new` is not a version of Python"),
    (["env", "create", "tests"], "the folder of that name holds neither adapter_config.json nor envpin.json"),
    (["run", "no-adapter", "--", "true"], "is not a family of the matrix, and there is no folder of that name here"),
    (["env", "show", "a34"], "give six letters at least"),
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


@pytest.mark.parametrize("words", [["check"], ["check", "a", "--bsae"], ["env", "ceate"], ["lock", "-o"]], ids=" ".join)
def test_a_slip_is_a_document_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == "usage"
    assert error["hint"]


@pytest.mark.parametrize("words", [["help"], ["help", "check"], ["help", "matrix", "resolve"], ["--help"], ["-h"]])
def test_help_is_a_command_and_an_option(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: envpin")
