"""`envpin record` as a command: the child cannot tell, the caller gets its status, people are told what happened."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.recorded import ENVPIN, variables
from tests.support.terminal import Terminal

RECORD = (*ENVPIN, "record", "--")


def record(*argv: str, **more: object) -> subprocess.CompletedProcess[str]:
    settings: dict[str, object] = {"capture_output": True, "text": True, "check": False, "env": variables(), **more}
    return subprocess.run([*RECORD, *argv], **settings)  # type: ignore[call-overload, no-any-return]  # noqa: PLW1510


@pytest.mark.parametrize("status", [0, 3])
def test_the_childs_status(status: int) -> None:
    assert record(sys.executable, "-c", f"raise SystemExit({status})").returncode == status


def test_sigterm_reaches_the_child_and_gives_its_status() -> None:
    script = (
        "import signal, sys; signal.signal(15, lambda *_: sys.exit(42)); print('ready', flush=True); signal.pause()"
    )
    for caught, expected in ((True, 42), (False, 128 + signal.SIGTERM)):
        source = script if caught else "import signal; print('ready', flush=True); signal.pause()"
        with subprocess.Popen(
            [*RECORD, sys.executable, "-c", source], stdout=subprocess.PIPE, env=variables()
        ) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == b"ready\n"
            running.terminate()
            assert running.wait(timeout=30) == expected


def test_ctrl_c_on_a_terminal() -> None:
    script = "import time; print('ready', flush=True); time.sleep(60)"
    with Terminal([*RECORD, sys.executable, "-c", script], env=variables()) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert terminal.screen.count("Traceback") == 1, "the child's own, none of envpin's"
        assert "nothing is recorded" in terminal.screen


def test_stdin_and_a_terminal_pass_through() -> None:
    assert record("cat", input="a\nb\n").stdout == "a\nb\n"
    script = "import os; print([os.isatty(n) for n in (0, 1, 2)], input('? '))"
    with Terminal([*RECORD, sys.executable, "-c", script], env=variables()) as terminal:
        terminal.expect("? ")
        terminal.type("yes\n")
        terminal.expect("[True, True, True] yes")
        assert terminal.wait() == 0


def test_no_trace_is_left_in_the_interpreter_but_what_subprocesses_need(tmp_path: Path) -> None:
    script = "import json, os, sys; print(json.dumps([sys.path, sorted(sys.modules), sorted(os.environ), sys.argv]))"
    here = {"cwd": tmp_path}
    plain = json.loads(subprocess.run([sys.executable, "-c", script, "x"], capture_output=True, text=True, check=True,
                                      env=variables(), cwd=tmp_path).stdout)  # fmt: skip
    path, modules, names, argv = json.loads(record(sys.executable, "-c", script, "x", **here).stdout)
    assert path == plain[0]
    assert argv == plain[3]
    assert set(names) - set(plain[2]) == {"PYTHONPATH", "ENVPIN_RECORD"}
    assert "sitecustomize" not in modules or "sitecustomize" in plain[1]
    ours = {name for name in set(modules) - set(plain[1]) if "envpin" in name}
    assert ours == {"_envpin_hook", "_envpin_hook.imports"}
    assert not {"torch", "transformers", "peft", "json.tool"} & (set(modules) - set(plain[1]))


def test_what_a_user_had_on_pythonpath_stays_there(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("value = 7")
    ran = record(sys.executable, "-c", "import mine; print(mine.value)", env=variables(PYTHONPATH=str(tmp_path)))
    assert ran.stdout == "7\n"


def test_a_broken_sitecustomize_of_the_user_is_reported_by_python_as_ever(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import no_such_module_here")
    environment = variables(PYTHONPATH=str(tmp_path))
    plain = subprocess.run(
        [sys.executable, "-c", "print(1)"], capture_output=True, text=True, check=True, env=environment
    )
    ran = record(sys.executable, "-c", "print(1)", env=environment)
    assert ran.stdout == plain.stdout
    assert ran.stderr.startswith(plain.stderr)
    assert "no_such_module_here" in plain.stderr


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ([sys.executable, "-I", "-c", "0"], "no Python of the run loaded the recorder"),
        ([sys.executable, "-E", "-c", "0"], "no Python of the run loaded the recorder"),
        ([sys.executable, "-S", "-c", "0"], "no Python of the run loaded the recorder"),
        ([sys.executable, "-c", "0"], "imported neither transformers nor peft"),
        (["true"], "no Python of the run loaded the recorder"),
        (["sh", "-c", 'rm -r "$ENVPIN_RECORD"; exec "$0" -c 0', sys.executable], "nothing is recorded"),
    ],
)
def test_nothing_recorded_is_said_plainly_and_changes_no_status(argv: list[str], reason: str) -> None:
    ran = record(*argv)
    assert ran.returncode == 0
    assert ran.stdout == ""
    assert reason in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.12", "3.13", "2.7"])
def test_other_pythons(version: str) -> None:
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    if not found:
        pytest.skip(f"no Python {version} on this machine")
    ran = record(str(found[0]), "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    assert (ran.returncode, ran.stdout) == (0, version + "\n")
    expected = "older than 3.8" if version == "2.7" else "imported neither"
    assert expected in ran.stderr


def test_usage_errors_come_before_the_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for options, words in (
        ([], "no command to record"),
        (["-o", str(tmp_path), "--", "touch", str(marker)], "is a folder"),
        (["-o", str(tmp_path / "no" / "x.json"), "--", "touch", str(marker)], "does not exist"),
        (["--", "no-such-program-anywhere"], "was not found"),
    ):
        ran = subprocess.run(
            [*ENVPIN, "record", *options], capture_output=True, text=True, check=False, env=variables()
        )
        assert ran.returncode == 2, ran.stderr
        assert words in ran.stderr
    assert not marker.exists()


def test_json_and_a_clean_temporary_folder(tmp_path: Path) -> None:
    environment = variables(TMPDIR=str(tmp_path))
    ran = subprocess.run([*ENVPIN, "record", "--json", "--", "true"], capture_output=True, text=True, check=True,
                         env=environment)  # fmt: skip
    document = json.loads(ran.stdout)
    assert (document["schema"], document["status"], document["manifests"]) == (1, 0, [])
    assert document["nothing"] in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_temporary_folder_no_recording_but_the_run_goes_on(tmp_path: Path) -> None:
    ran = record("echo", "trained", env=variables(TMPDIR=str(tmp_path / "absent")))
    assert (ran.returncode, ran.stdout) == (0, "trained\n")
    assert "recording could not be prepared" in ran.stderr
