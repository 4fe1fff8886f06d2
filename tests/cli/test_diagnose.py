"""The three commands: exit status, what goes to stdout, and the document of --json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from envpin.cli.main import main
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = write_model(tmp_path / "base", llama_shapes())
    good = write_adapter(tmp_path / "good", lora_shapes(llama_shapes()))
    wrong = write_adapter(tmp_path / "wrong", lora_shapes(llama_shapes()), r=4)
    assert main(["check", str(good), "--base", str(base)]) == 0
    assert main(["check", str(wrong), "--base", str(base)]) == 1
    assert "[rank-mismatch]" in capsys.readouterr().out
    assert main(["check", str(wrong), "--base", str(base), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert document["findings"][0]["code"] == "rank-mismatch"
    assert main(["check", str(tmp_path / "absent")]) == 2
    assert main(["check", str(good), "--base", str(tmp_path / "absent")]) == 2


def test_check_without_a_base_says_not_compared_and_ends_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()), base="somebody/elses")
    assert main(["check", str(adapter)]) == 0
    text = capsys.readouterr().out
    assert "not compared: no base found" in " ".join(text.split())
    assert "stands in the way" not in text
    assert main(["check", str(adapter), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["compared"], document["not_compared"]) == (False, "no base found")
    assert main(["scan", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "1 not compared with a base" in text
    assert "stands in the way" not in text


def test_a_required_base_that_is_absent_ends_with_6_and_a_blocker_still_with_1(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", llama_shapes())
    lost = write_adapter(tmp_path / "lost", lora_shapes(llama_shapes()), base="somebody/elses")
    assert main(["check", str(lost), "--require-base"]) == 6
    assert main(["scan", str(tmp_path), "--require-base"]) == 6
    assert main(["check", str(lost), "--require-base", "--json"]) == 6
    assert main(["check", str(lost), "--base", str(base), "--require-base"]) == 0
    write_adapter(tmp_path / "wrong", lora_shapes(llama_shapes()), r=4)
    assert main(["scan", str(tmp_path), "--require-base"]) == 1


def test_diagnose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    log.write_text("RuntimeError: Numpy is not available\n")
    assert main(["diagnose", str(log)]) == 0
    assert "[numpy-abi]" in capsys.readouterr().out
    log.write_text("all is well\n")
    assert main(["diagnose", str(log)]) == 1
    assert "pip freeze" in capsys.readouterr().out
    assert main(["diagnose", str(tmp_path / "absent")]) == 2


@pytest.mark.parametrize(
    ("rows", "line"), [(321, "\nproven on the files: vocab-grown\n"), (320, "\nnot proven on the files: vocab-grown\n")]
)
def test_diagnose_says_whether_the_files_show_the_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int, line: str
) -> None:
    name = "base_model.model.model.embed_tokens.modules_to_save.default.weight"
    log = tmp_path / "log"
    log.write_text(
        "RuntimeError: Error(s) in loading state_dict for PeftModelForCausalLM:\n"
        f"        size mismatch for {name}: copying a param with shape torch.Size([321, 64]) from checkpoint, "
        "the shape in current model is torch.Size([320, 64]).\n"
    )
    base = write_model(tmp_path / "base", llama_shapes(vocab=320))
    shapes = {**lora_shapes(llama_shapes()), name.replace(".default", ""): (rows, 64)}
    adapter = write_adapter(tmp_path / "adapter", shapes)
    assert main(["diagnose", str(log), "--adapter", str(adapter), "--base", str(base)]) == 0
    assert line in capsys.readouterr().out


def test_diagnose_takes_no_base_without_an_adapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(tmp_path / "log"), "--base", "b"]) == 2
    assert "`--base` goes with `--adapter`" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_diagnose_says_that_a_log_is_empty(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "train.log"
    log.write_bytes(content)
    assert main(["diagnose", str(log)]) == 1
    assert "is empty: there is nothing to recognise" in " ".join(capsys.readouterr().out.split())
    assert main(["diagnose", str(log), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["lines"] == 0


def test_diagnose_calls_a_guess_a_guess(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "train.log"
    log.write_text("AttributeError: 'Foo9ForCausalLM' object has no attribute '_supports_sdpa_9'\n")
    assert main(["diagnose", str(log), "--json"]) == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["message"].startswith("a guess by likeness")
    assert finding["severity"] == "warning"
    assert finding["fix"][0].startswith("read how the nearest one was resolved: https://github.com/")


def test_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write_model(tmp_path / "a", llama_shapes())
    second = write_model(tmp_path / "b", llama_shapes(vocab=321))
    assert main(["diff", str(first), str(first)]) == 0
    assert main(["diff", str(first), str(second)]) == 1
    assert "tensors (2)" in capsys.readouterr().out
    assert main(["diff", str(first), str(tmp_path / "absent")]) == 2
