"""Reading manifests: every fault at once, each with its path, whatever the bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envpin.core.errors import InputError
from envpin.manifest.read import DEPTH_LIMIT, SIZE_LIMIT, parse_manifest, read_manifest
from envpin.manifest.types import (
    Manifest,
)
from tests.support.manifests import DIGEST

if TYPE_CHECKING:
    from pathlib import Path


def document(**more: Any) -> dict[str, Any]:
    return {"schema": 1, **more}


def faults_of(value: Any) -> tuple[str, ...]:
    with pytest.raises(InputError) as raised:
        parse_manifest(json.dumps(value).encode())
    return raised.value.problems


@given(st.binary(max_size=60))
def test_any_bytes_are_a_manifest_or_an_input_error(data: bytes) -> None:
    try:
        parse_manifest(data)
    except InputError:
        return


def test_every_problem_is_told_at_once_with_its_path() -> None:
    assert faults_of(
        document(
            distributions=[{"name": "a"}, {"name": "b", "version": 3}],
            run={"argv": "x", "world_size": True, "environment": {"A": 1}},
            base=[], saved={"tensors": [{"name": "t", "shape": [1, "2"], "dtype": "F32"}]}, resizes=None,
        )
    ) == (
        "run.argv: must be a list, is a text",
        "run.world_size: must be an integer, is a truth value",
        "run.environment.A: must be a text, is an integer",
        "distributions[0].version: is missing",
        "distributions[1].version: must be a text, is an integer",
        "base: must be an object, is a list",
        "resizes: must be a list, is null",
        "saved.tensors[0].shape[1]: must be an integer, is a text",
    )  # fmt: skip


def test_what_reaches_an_installer_or_a_path_is_checked() -> None:
    found = faults_of(
        document(
            distributions=[{"name": "--index-url=x", "version": "1"}, {"name": "a", "version": "1; os_name"}],
            saved={"files": {"../../etc/passwd": DIGEST, "ok": "short"}, "tensors": [
                {"name": "t", "shape": [-1], "dtype": "F32"}]},
        )
    )  # fmt: skip
    assert len(found) == 5
    assert found[0].startswith("distributions[0].name: ")
    assert found[2] == "saved.files: '../../etc/passwd' is not a plain file name"


def test_a_later_schema_is_a_clear_error() -> None:
    with pytest.raises(InputError, match="has schema 3; this envpin reads up to 2") as raised:
        parse_manifest(b'{"schema": 3, "distributions": 7}')
    assert raised.value.hint is not None
    assert "upgrade" in raised.value.hint
    assert faults_of({}) == ("schema: is missing",)
    assert faults_of({"schema": 0}) == ("schema: must be at least 1",)
    assert parse_manifest(b'{"schema": 1, "from_a_newer_minor": {"x": 1}}') == Manifest(schema=1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"schema": 1, "run": {"arg', "cut off"),
        (b"\xff\xfe", "in UTF-16; save it as UTF-8"),
        (b"[]", "holds no JSON object"),
        (b'{"schema": NaN}', "`NaN` is not JSON"),
        (b'{"schema": 1, "saved": {"config": ' + b'{"a":' * 100000 + b"1" + b"}" * 100000 + b"}}", "nested too deep"),
        (b'{"schema": 1, "x": ' + b"[" * (DEPTH_LIMIT + 1) + b"]" * (DEPTH_LIMIT + 1) + b"}", "nested deeper"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "is not valid JSON"),
        (b'{"schema": 1, "schema": 1}', "duplicate key `schema`"),
    ],
)
def test_hostile_bytes(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_manifest(data)


def test_a_missing_and_an_oversized_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_manifest(tmp_path)
    big = tmp_path / "envpin.json"
    with big.open("wb") as stream:
        stream.truncate(SIZE_LIMIT + 1)
    with pytest.raises(InputError, match="more than the 67,108,864 bytes"):
        read_manifest(tmp_path)


def test_a_manifest_of_a_million_packages_is_refused_at_once() -> None:
    listed = [{"name": f"p{number}", "version": "1"} for number in range(20_001)]
    with pytest.raises(InputError, match="20,001 packages, more than an environment has"):
        parse_manifest(json.dumps({"schema": 1, "distributions": listed}).encode())
    with pytest.raises(InputError, match="is not a valid manifest"):
        parse_manifest(json.dumps({"schema": 1, "distributions": [{"name": "a", "version": "9" * 5000}]}).encode())
