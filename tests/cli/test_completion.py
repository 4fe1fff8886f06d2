"""The completion scripts, in the shells themselves: commands, verbs, options, choices, families, files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command import envpin, variables
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

# (what was typed, what must be offered, what must not)
CASES = [
    ("envpin rep", {"replay"}, {"record"}),
    ("envpin replay ", {"merge"}, {"bash"}),
    ("envpin replay merge --eng", {"--engine"}, {"--base"}),
    ("envpin replay merge --engine ", {"auto", "stream", "peft"}, {"merge"}),
    ("envpin matrix re", {"resolve"}, {"record"}),
    ("envpin matrix show qwen2", {"qwen2"}, {"llama3.1", "qwen3"}),
    ("envpin run llama3", {"llama3.1"}, {"qwen2"}),
    ("envpin env cre", {"create"}, {"check"}),
    ("envpin env create llama3", {"llama3.1", "llama3.lock.toml"}, {"qwen2"}),
    ("envpin lock --pyth", {"--python"}, {"--json"}),
    ("envpin completion ", {"bash", "zsh", "fish"}, {"record"}),
    ("envpin bisect sta", {"status"}, {"skip"}),
    ("envpin diagnose tra", {"train.log"}, {"llama3.1"}),
]  # fmt: skip
IDS = [typed for typed, _, _ in CASES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every script and a few files to complete."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        script = envpin("completion", shell)
        assert script.status == 0, script.stderr
        (folder / f"script.{shell}").write_text(script.stdout)
    (folder / "llama3.lock.toml").touch()
    (folder / "train.log").touch()
    return folder


def environment() -> dict[str, str]:
    """The variables of a user whose PATH has `envpin`."""
    return {**variables(), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def words(text: str) -> set[str]:
    return {line.split("\t")[0].strip() for line in text.splitlines()}


def said(argv: list[str], folder: Path) -> str:
    completed = subprocess.run(argv, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert not completed.stderr, completed.stderr
    return completed.stdout


@pytest.mark.parametrize(("typed", "offered", "unfit"), CASES, ids=IDS)
def test_bash_offers_what_fits(folder: Path, typed: str, offered: set[str], unfit: set[str]) -> None:
    parts = typed.split(" ")
    script = (
        f"source script.bash; COMP_WORDS=({' '.join(part or repr('') for part in parts)}); "
        f"COMP_CWORD={len(parts) - 1}; $(complete -p envpin | sed 's/.*-F \\([^ ]*\\).*/\\1/') envpin "
        f"{parts[-1] or repr('')} {parts[-2]}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    found = words(said([shell("bash"), "--norc", "-c", script], folder))
    assert offered <= found
    assert not unfit & found


@pytest.mark.parametrize(("typed", "offered", "unfit"), CASES, ids=IDS)
def test_fish_offers_what_fits(folder: Path, typed: str, offered: set[str], unfit: set[str]) -> None:
    found = words(said([shell("fish"), "--no-config", "-c", f"source script.fish; complete -C '{typed}'"], folder))
    assert offered <= found
    assert not unfit & found


@pytest.fixture(scope="module")
def zsh(folder: Path) -> Iterator[Terminal]:
    """A zsh that lists what it would offer at Ctrl-X."""
    setup = (
        f"cd {folder}; PROMPT='> '; setopt no_beep; LISTMAX=1000; autoload -U compinit; compinit -u -D; "
        "eval \"$(<script.zsh)\"; bindkey '^X' list-choices; echo read''y\n"
    )
    with Terminal([shell("zsh"), "-f"], env={**environment(), "TERM": "dumb", "COLUMNS": "200"}) as terminal:
        terminal.type(setup)
        terminal.expect("ready\r")
        yield terminal


@pytest.mark.parametrize(("typed", "offered", "unfit"), CASES, ids=IDS)
def test_zsh_offers_what_fits(zsh: Terminal, typed: str, offered: set[str], unfit: set[str]) -> None:
    zsh.type(f"{typed}\x18")
    time.sleep(0.5)
    zsh.type("\x15echo en''d\n")
    screen = zsh.expect("end\r", within=10)
    found = {re.sub(r"\x1b.*", "", word) for word in screen.replace(typed, "").split()}
    assert offered <= found
    assert not unfit & found


def test_a_script_imports_shtab_and_help_does_not() -> None:
    program = (
        "import sys; from envpin.cli.main import main\ntry: main(['completion', '--help'])\nexcept SystemExit: pass\n"
    )
    completed = subprocess.run([sys.executable, "-c", program + "assert 'shtab' not in sys.modules"],
                               capture_output=True, text=True, check=False)  # fmt: skip
    assert completed.returncode == 0, completed.stderr
