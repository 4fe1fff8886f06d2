"""Reading the matrix: every problem at once, each with its path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError
from envpin.matrix.load import load_matrix, parse_matrix

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 'schema = 1\n[families.qwen2]\ntitle = "Qwen2"\nunpinnable = "an example"\n'


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        parse_matrix(text)
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_the_shipped_matrix_pins_llama_3_1() -> None:
    family = load_matrix().families["llama3.1"]
    assert family.pins == {"transformers": "4.43.1", "peft": "0.12.0", "torch": "2.4.0"}
    assert (family.python, family.lock, family.id) == ("3.11", "llama3-1", "llama3.1")


def test_a_wrong_specifier_is_named_by_its_path() -> None:
    text = HEAD + 'requires.peft = { versions = "=0.11", reason = "an example" }\n'
    assert problems(text) == ("families.qwen2.requires.peft: '=0.11' is not a version specifier",)


def test_type_faults_come_all_at_once() -> None:
    text = 'schema = "1"\nextra = 2\n[families."a b"]\ntitle = 3\nnotes = [1, "x"]\n[[families."a b".known_good]]\n'
    found = problems(text)
    assert "schema: expected an integer, got a string" in found
    assert any(line.startswith("extra: no such field") for line in found)
    assert 'families."a b".title: expected a string, got an integer' in found
    assert 'families."a b".notes[0]: expected a string, got an integer' in found
    for name in ("python", "packages", "exclude_newer", "source"):
        assert f'families."a b".known_good[0].{name}: is missing' in found


def test_faults_beyond_types_come_all_at_once() -> None:
    text = (
        HEAD
        + """
breaks = ["no-such-break"]
match.names = ['(']
match.require = [{ path = "a", equals = 1, present = true }, { path = "b" }]
[[families.qwen2.known_good]]
python = "3"
packages = { PEFT = "0.1", torch = "two" }
exclude_newer = "soon"
source = "x"
lock = "a.b"
[breaks.odd]
package = "peft"
versions = ">>1"
title = "t"
affects = []
ways_out = []
source = "s"
symptom = "abc"
sample = "xyz"
[[relations]]
package = "peft"
versions = ">=1"
other = "transformers"
needs = "about 4"
reason = "r"
"""
    )
    starts = {line.split(": ")[0] for line in problems(text)}
    assert starts == {
        "families.qwen2.breaks[0]", "families.qwen2.match.names[0]", "families.qwen2.match.require[0]",
        "families.qwen2.match.require[1]", "families.qwen2.known_good[0].python",
        "families.qwen2.known_good[0].packages.PEFT", "families.qwen2.known_good[0].packages.torch",
        "families.qwen2.known_good[0].exclude_newer", "families.qwen2.known_good[0].lock", "breaks.odd.versions",
        "breaks.odd.symptom", "relations[0].needs",
    }  # fmt: skip


def test_a_schema_of_tomorrow_is_refused() -> None:
    assert problems("schema = 2\n") == ("schema: this envpin reads 1, not 2",)


def test_a_family_without_pins_says_why() -> None:
    assert problems('schema = 1\n[families.x]\ntitle = "X"\n') == (
        "families.x: a family without known_good says why in unpinnable",
    )


@pytest.mark.parametrize("content", [None, b"", b"schema = ", b"\xff\xfe", b"schema = 1\n[families"])
def test_unreadable_files_are_input_errors(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "matrix.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_matrix(path)
    assert str(path) in caught.value.message
