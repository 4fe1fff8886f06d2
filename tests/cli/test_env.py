"""`envpin env` and `envpin run` as a user runs them: processes, exit codes, JSON, and what a killed build leaves."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envpin.core import process
from envpin.envs.store.store import Store
from tests.support.wheels import lock_of, make_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVPIN = [sys.executable, "-m", "envpin"]


class Shell:
    """Runs envpin with a store and a uv cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.variables = process.scrubbed_environment(
            drop=["UV_FIND_LINKS", "PIP_FIND_LINKS"],
            set_values={"ENVPIN_HOME": str(self.store), "UV_CACHE_DIR": str(folder / "uv-cache")},
        )

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> process.Completed:
        return process.run([*ENVPIN, *arguments], env={**self.variables, **(env or {})}, cwd=self.folder, timeout=120)

    def json(self, *arguments: str, status: int = 0, env: dict[str, str] | None = None) -> dict[str, Any]:
        completed = self.run(*arguments, "--json", env=env)
        assert completed.status == status, completed.stderr + completed.stdout
        document: dict[str, Any] = json.loads(completed.stdout)
        assert document["schema"] == 1
        return document

    def lock(self, *, name: str = "pylock.test.toml", files: int = 40) -> str:
        """A lock of eight wheels with enough files that building takes a while."""
        wheels = [
            make_wheel(
                self.folder / "wheels",
                f"part{number}",
                "1.0",
                files={f"part{number}/m{at}.py": f"x = {at}\n" * 50 for at in range(files)},
                scripts={f"part{number}": f"part{number}.m0:x"},
            )
            for number in range(8)
        ]
        (self.folder / name).write_text(lock_of(*wheels), encoding="utf-8")
        return name


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_create_list_show_path_verify_prune(shell: Shell) -> None:
    lock = shell.lock(files=2)
    created = shell.json("env", "create", lock)
    assert created["built"] is True
    environment = created["environment"]
    assert environment["packages"] == 8
    assert shell.json("env", "create", lock)["built"] is False
    assert [one["key"] for one in shell.json("env", "list")["environments"]] == [environment["key"]]
    shown = shell.json("env", "show", environment["key"][:8])["environment"]
    assert {one["wheel"] for one in shown["receipt"]["artifacts"]} == {
        f"part{n}-1.0-py3-none-any.whl" for n in range(8)
    }
    assert shell.json("env", "path", lock)["path"] == environment["path"]
    assert shell.run("env", "path", lock).stdout == environment["path"] + "\n"
    assert shell.run("env", "path", "--interpreter", lock).stdout == environment["interpreter"] + "\n"
    assert shell.json("env", "verify")["good"] is True
    for text in (shell.run("env", "list").stdout, shell.run("env", "show", lock).stdout):
        assert environment["key"][:12] in text
    assert shell.json("env", "prune")["environments"] == []
    assert [one["key"] for one in shell.json("env", "prune", "--all", "--dry-run")["environments"]] == [
        environment["key"]
    ]
    assert shell.json("env", "prune", "--unused-for", "0")["freed_bytes"] > 0
    assert shell.json("env", "list")["environments"] == []


def test_a_ready_environment_is_answered_without_the_slow_imports(shell: Shell) -> None:
    """What each of these takes to import is most of what the answer may take (benchmarks/env_create.py)."""
    lock = shell.lock(files=1)
    shell.json("env", "create", lock)
    key = shell.json("env", "list")["environments"][0]["key"]
    program = (
        "import sys; from envpin.cli.main import main; "
        f"status = main(['env', 'create', {lock!r}]); print(*sys.modules, file=sys.stderr); sys.exit(status)"
    )
    command = [sys.executable, "-c", program]
    ready = process.run(command, env=shell.variables, cwd=shell.folder)
    assert ready.status == 0, ready.stderr
    loaded = set(ready.stderr.split())
    assert not {"msgspec", "concurrent.futures", "rich"} & loaded
    receipt = shell.store / "environments" / key / "envpin-receipt.json"
    whole = receipt.read_text(encoding="utf-8")
    for damaged in (whole[:-20], "{}", "[]", whole.replace('"schema": 2', '"schema": 99')):
        receipt.chmod(0o644)
        receipt.write_text(damaged, encoding="utf-8")
        refused = process.run(command, env=shell.variables, cwd=shell.folder)
        assert refused.status == 3, refused.stderr
        assert "receipt" in refused.stderr
        newer = damaged != whole and len(damaged) == len(whole) + 1
        assert f"hint: {'upgrade envpin' if newer else 'envpin env create REF --rebuild'}" in refused.stderr


def test_a_changed_byte_is_named_with_exit_1_and_rebuilt(shell: Shell) -> None:
    lock = shell.lock(files=2)
    folder = Path(shell.json("env", "create", lock)["environment"]["path"])
    victim = next(folder.glob("lib/python*/site-packages/part3/m1.py"))
    with victim.open("r+", encoding="utf-8") as stream:
        stream.write("y")
    answer = shell.json("env", "verify", lock, status=1)
    assert answer["good"] is False
    relative = victim.relative_to(folder).as_posix()
    assert answer["environments"][0]["damage"] == [{"path": relative, "kind": "changed", "package": "part3"}]
    said = shell.run("env", "verify", lock)
    assert said.status == 1
    assert f"changed: {relative} (part3)" in said.stdout
    hint = said.stderr.rpartition("hint: envpin ")[2].split()
    assert hint == ["env", "create", "--rebuild", folder.name[:12]]
    assert shell.run(*hint).status == 0
    assert shell.json("env", "verify", lock)["good"] is True
    with (folder / "pylock.toml").open("a", encoding="utf-8") as stream:
        stream.write("extras = ['more']\n")
    refused = shell.run(*hint)
    assert refused.status == 3
    assert "is not the lock that this environment was built from" in refused.stderr


def test_run_gives_the_environment_and_returns_the_status(shell: Shell) -> None:
    lock = shell.lock(files=2)
    path = "import sys, part0.m1; print(sys.prefix, part0.m1.x); sys.exit(7)"
    completed = shell.run("run", lock, "--", "python", "-c", path, env={"PYTHONPATH": "/nowhere", "VIRTUAL_ENV": "/no"})
    assert completed.status == 7, completed.stderr
    prefix = completed.stdout.split()[0]
    assert Path(prefix).parent == shell.store / "environments"
    quiet = shell.run("run", lock, "--", "sh", "-c", "command -v part0; echo ${PYTHONPATH-unset}; kill -TERM $$")
    assert quiet.status == 128 + signal.SIGTERM
    assert quiet.stdout.splitlines() == [f"{prefix}/bin/part0", "unset"]
    assert quiet.stderr == "", "a ready environment goes without saying"


def test_run_passes_stdin_through(shell: Shell) -> None:
    lock = shell.lock(files=1)
    completed = process.run(
        [*ENVPIN, "run", lock, "--", "python", "-c", "print(input()[::-1])"],
        env=shell.variables,
        cwd=shell.folder,
        stdin=b"desserts\n",
    )
    assert completed.stdout == "stressed\n"


@pytest.mark.parametrize(
    ("arguments", "status", "kind"),
    [
        (("run", "six==1.0"), 2, "usage"),
        (("run", "pylock.toml", "--", "true"), 2, "input"),
        (("env", "create", "./nowhere"), 2, "input"),
        (("env", "create", "no-such-family"), 2, "input"),
        (("env", "create", "six @ https://x/six.whl"), 2, "input"),
        (("env", "path", "abcdef"), 2, "input"),
        (("env", "path", "six==1.16.0", "--offline"), 2, None),
    ],
)
def test_bad_input_is_exit_2(shell: Shell, arguments: tuple[str, ...], status: int, kind: str | None) -> None:
    completed = shell.run(*arguments[:1], "--json", *arguments[1:])
    assert completed.status == status, completed.stderr
    assert "Traceback" not in completed.stderr
    if kind is not None:
        assert json.loads(completed.stdout)["error"]["kind"] == kind


def test_four_troubles_are_four_errors(shell: Shell) -> None:
    """No interpreter, no network, an index that is down, an unsatisfiable pin: told apart, each with a hint."""
    lock = shell.lock(files=1)
    missing = shell.json("env", "create", lock, "--python", "3.99", status=3, env={"UV_PYTHON_DOWNLOADS": "never"})
    offline = shell.json("env", "create", "six==1.16.0", "--offline", status=4)
    down = shell.json(
        "env", "create", "six==1.16.0", status=4,
        env={"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"},
    )  # fmt: skip
    nothing = shell.json(
        "env", "create", "part0==99", status=3,
        env={"UV_FIND_LINKS": str(shell.folder / "wheels")},
    )  # fmt: skip
    assert [one["error"]["kind"] for one in (missing, offline, down, nothing)] == [
        "no-interpreter", "network", "network", "unresolvable",
    ]  # fmt: skip
    assert all(one["error"]["hint"] for one in (missing, offline, down, nothing))
    assert shell.json("env", "list")["environments"] == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes; needs the right to mount."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs Linux and root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = process.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)])
    if mounted.status != 0:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        process.run(["umount", str(folder)])


def test_a_full_disk_says_so_and_leaves_nothing(shell: Shell, small_disk: Path) -> None:
    wheel = make_wheel(shell.folder / "wheels", "big", "1.0", files={"big.py": "#" * 8_000_000})
    (shell.folder / "pylock.toml").write_text(lock_of(wheel), encoding="utf-8")
    error = shell.json("env", "create", "pylock.toml", status=4, env={"ENVPIN_HOME": str(small_disk)})["error"]
    assert error["kind"] == "disk-full"
    assert "envpin env prune" in error["hint"]
    assert [path for path in small_disk.rglob("*") if path.is_file() and ".locks" not in path.parts] == []


def test_two_at_once_build_once(shell: Shell) -> None:
    lock = shell.lock(files=150)
    children = [
        process.start([*ENVPIN, "env", "create", "--json", lock], env=shell.variables, cwd=shell.folder)
        for _ in range(2)
    ]
    answers = []
    for child in children:
        stdout, stderr = child.communicate(timeout=120)
        assert child.returncode == 0, stderr
        answers.append(json.loads(stdout))
    assert len({answer["environment"]["path"] for answer in answers}) == 1
    assert sorted(answer["built"] for answer in answers) == [False, True]
    assert shell.json("env", "verify")["good"] is True


def test_killed_at_ten_moments_leaves_the_result_or_nothing(shell: Shell) -> None:
    lock = shell.lock(files=60)
    began = time.monotonic()
    assert shell.run("env", "create", lock).status == 0
    whole = time.monotonic() - began
    chance = random.Random(20240723)
    store = Store(shell.store)
    finished = 0
    for _ in range(10):
        store.prune(store.list(), ())
        child = process.start([*ENVPIN, "env", "create", lock], env=shell.variables, cwd=shell.folder)
        time.sleep(chance.uniform(0, whole * 1.1))
        child.kill()
        child.communicate()
        found = store.list()
        finished += len(found)
        assert [damage for environment in found for damage in store.verify(environment)] == []
        assert shell.run("run", lock, "--", "python", "-c", "import part7.m59").status == 0
        assert len(store.list()) == 1
    assert store.verify(store.list()[0]) == ()
    store.prune((), store.leftovers())
    assert store.leftovers() == ()
    assert finished < 10, "no kill came before the end: the test proves nothing"
