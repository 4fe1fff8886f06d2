"""Commands that envpin shows can be pasted: by what a real shell makes of them, and by how the code builds them."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envpin.core.command_text import command_text
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.command import envpin

SOURCE = Path(__file__).resolve().parents[2] / "src" / "envpin"
# Words that a person would paste: a program, and what is to be done with it.
_SHOWN = re.compile(r"(?:^|[`\s:])(?:envpin|hf|uv|pip|dask|git|rm|mv|cp|python) +[a-z-]+(?: [\w. =-]*)?$")
# A version of envpin, a narrated story, and sentences about envpin.
_NO_COMMAND = re.compile(
    r"envpin (?:bisect|matrix verify) (?:on )?$|envpin(?:,| reads?| knows| does| understands)|git (?:ends|cannot)"
    r"|\$ envpin"
)
NAMES = ["plain", "a b  c", "it's", 'a"b', "$(touch x)", "`touch x`", "a;touch x", "a\nb", "\x1b[2J", "é漢", "a\\b",
         "\u202egnp", "-rf", "a\tb", "*", "~", "!x", "a'\nb", "\udcff\udcfe", "\u2028"]  # fmt: skip
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def what_bash_reads(text: str) -> list[bytes]:
    ran = subprocess.run(["bash", "-c", f"printf '%s\\0' {text}"], capture_output=True, check=True)
    return ran.stdout.split(b"\0")[:-1]


def test_a_shell_reads_the_words_that_were_meant() -> None:
    assert what_bash_reads(command_text(*NAMES)) == [os.fsencode(name) for name in NAMES]


@settings(max_examples=40, deadline=None)
@given(st.lists(names, min_size=1, max_size=8))
def test_a_shell_reads_any_words_that_were_meant(words: list[str]) -> None:
    assert what_bash_reads(command_text(*words)) == [os.fsencode(word) for word in words]


@given(st.lists(names, max_size=5))
def test_a_command_is_one_printable_line(words: list[str]) -> None:
    assert command_text(*words).isprintable()


@given(st.lists(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=20), min_size=1))
def test_printable_words_are_quoted_as_python_splits_them(words: list[str]) -> None:
    assert shlex.split(command_text(*words)) == words or not all(word.isprintable() for word in words)


def unquoted(path: Path) -> list[str]:
    """Where an f-string of a module puts a value behind the words of a command by itself."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        before = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                before += str(part.value)
                continue
            assert isinstance(part, ast.FormattedValue)
            if _SHOWN.search(before) and not _NO_COMMAND.search(before):
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {before[-60:]!r} {ast.unparse(part.value)}")
            before += "\x00"
    return found


def test_every_command_is_built_by_the_one_door() -> None:
    places = [path for path in SOURCE.rglob("*.py") if not {"workers", "demo"} & set(path.relative_to(SOURCE).parts)]
    assert [one for path in places for one in unquoted(path)] == []


def test_the_walk_sees_a_value_behind_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    path = tmp_path / "x.py"
    path.write_text(
        'hint = f"envpin check {path}"\nother = f"run `hf download {x}` now"\nplain = f"{x} envpin reads"\n'
    )
    assert len(unquoted(path)) == 2


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"plain", "~"}])
def test_hints_about_folders_of_any_name_can_be_pasted(name: str, tmp_path: Path) -> None:
    """A hint names the command that was run, and pasted it means the same folder."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path / name)))
    write_adapter(folder, lora_shapes(llama_shapes(layers=1)))
    write_model(tmp_path / "FOLDER", llama_shapes(layers=1))
    words = ["replay", "merge", f"./{name}", "-o", "out", "--dry-run", "--offline"]
    hint = envpin(*words, cwd=tmp_path).stderr.rpartition("hint: ")[2].strip()
    assert "\n" not in hint
    assert what_bash_reads(hint) == [os.fsencode(word) for word in ("envpin", *words, "--base", "FOLDER")]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["FOLDER", folder.name])
