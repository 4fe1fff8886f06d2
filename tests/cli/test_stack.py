"""The options of a stack on the command line, without a network: what is refused before anything is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import envpin, variables

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("command", [("matrix", "resolve"), ("env", "create"), ("lock",)])
def test_an_unknown_purpose_is_a_usage_error(command: tuple[str, ...]) -> None:
    completed = envpin(*command, "llama3.1", "--for", "dance")
    assert completed.status == 2
    assert "`--for dance` is none of train, merge, serve" in completed.stderr


def test_cuda_is_a_version() -> None:
    completed = envpin("matrix", "resolve", "llama3.1", "--cuda", "latest")
    assert completed.status == 2
    assert "`--cuda latest` is not a version" in completed.stderr


def test_an_unknown_model_fails_the_check(tmp_path: Path) -> None:
    completed = envpin(
        "matrix", "resolve", "nobody/has-it", "--with", "trl", env={**variables(), "ENVPIN_HOME": str(tmp_path)}
    )
    assert completed.status == 1
    assert "no versions are known for `nobody/has-it`" in completed.stderr


def test_a_server_that_does_not_list_the_model_is_said_without_asking_uv(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "llama", "architectures": ["LlamaForNothing"]}')
    completed = envpin(
        "matrix", "resolve", str(config), "--with", "vllm", env={**variables(), "ENVPIN_HOME": str(tmp_path)}
    )
    assert completed.status == 3
    assert "lists `LlamaForNothing`" in completed.stderr


def test_the_lock_of_a_stack_has_the_day_of_the_model() -> None:
    completed = envpin("lock", "llama3.1", "--with", "trl", "--exclude-newer", "2024-08-01")
    assert completed.status == 2
    assert "`--exclude-newer` does not go with a stack" in completed.stderr
