"""A bundle restores with its own restore.sh, without envpin; and a changed or half-written one does not."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from envpin.bundle.unpack import verify_bundle
from envpin.core import process
from envpin.core.errors import EnvpinError
from envpin.envs.machine import default_python
from envpin.envs.store.store import Store
from tests.support.bundles import small_bundle, small_spec, without_python
from tests.support.command import arguments, envpin, variables
from tests.support.scripts import script

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="restore.sh is for a POSIX shell")


def restored(folder: Path, *words: object) -> process.Completed:
    """`sh restore.sh` with hardly any environment, as on a machine that has never heard of envpin."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    bare = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    command = ["sh", str(folder / "envpin-bundle" / "restore.sh"), "--python", sys.executable, *map(str, words)]
    return process.run(command, env=bare, cwd=folder)


def unpack(bundle: Path, folder: Path) -> Path:
    folder.mkdir()
    with tarfile.open(bundle) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_restore_sh_makes_the_environment_without_envpin(tmp_path: Path) -> None:
    folder = unpack(small_bundle(tmp_path).path, tmp_path / "there")
    completed = restored(folder, "--env", folder / "env")
    assert completed.status == 0, completed.stderr
    said = process.run([folder / "env" / "bin" / "python", "-I", "-c", "import alpha, beta; alpha.main()"])
    assert said.stdout == "alpha speaks\n"
    assert (folder / "env" / "share" / "a.txt").read_text() == "a\n"
    for name in ("say-alpha", "old-alpha"):
        assert process.run([folder / "env" / "bin" / name]).stdout == "alpha speaks\n", name
    assert restored(folder, "--env", folder / "env").status == 0, "a second time it is there already"
    (folder / "other").mkdir()
    assert restored(folder, "--env", folder / "other").status == 5
    assert restored(folder, "-o").status == 2


def test_restore_sh_finds_the_python_of_the_lock_on_the_path(tmp_path: Path) -> None:
    folder = unpack(small_bundle(tmp_path).path, tmp_path / "there")
    tools = without_python(tmp_path / "tools")
    bare = {"HOME": str(tmp_path), "PATH": tools}
    command = [shutil.which("sh") or "sh", str(folder / "envpin-bundle" / "restore.sh"), "--env", str(folder / "env")]
    assert process.run(command, env=bare, cwd=folder).status != 0
    (tmp_path / "tools" / f"python{default_python()}").symlink_to(sys.executable)
    completed = process.run(command, env=bare, cwd=folder)
    assert completed.status == 0, completed.stderr
    assert process.run([folder / "env" / "bin" / "say-alpha"]).stdout == "alpha speaks\n"


def test_a_changed_folder_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    made = small_bundle(tmp_path)
    pristine = unpack(made.path, tmp_path / "pristine")
    files = sorted(path for path in (pristine / "envpin-bundle").rglob("*") if path.is_file())
    for number in range(30):
        dice, folder = random.Random(number), tmp_path / f"m{number}"
        shutil.copytree(pristine, folder)
        path = folder / dice.choice(files).relative_to(pristine)
        kind = number % 5
        if kind == 0:
            data = bytearray(path.read_bytes())
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            path.write_bytes(bytes(data))
        elif kind == 1:
            path.unlink()
        elif kind == 2:
            path.rename(path.with_name("renamed" + path.name))
        elif kind == 3:
            (path.parent / "extra.py").write_text("print('extra')\n")
        else:
            path.unlink()
            path.symlink_to(files[0])
        completed = restored(folder, "--env", folder / "env")
        assert completed.status != 0, (number, path)
        assert not (folder / "env").exists()
        assert not list(folder.glob("env.*"))
        shutil.rmtree(folder)


def test_env_create_takes_a_bundle_and_needs_no_index(tmp_path: Path) -> None:
    made = small_bundle(tmp_path)
    shutil.rmtree(tmp_path / "wheels")
    completed = envpin(
        "env", "create", made.path, "--offline",
        env={"ENVPIN_HOME": str(tmp_path / "other"), "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_FIND_LINKS": ""},
    )  # fmt: skip
    assert completed.status == 0, completed.stderr
    (environment,) = Store(tmp_path / "other").list()
    assert Store(tmp_path / "other").verify(environment) == ()
    assert {one.name for one in environment.receipt.artifacts} == {"alpha", "beta"}


def test_the_command_makes_verifies_and_refuses(tmp_path: Path) -> None:
    spec = small_spec(tmp_path)
    lock = tmp_path / "pylock.small.toml"
    lock.write_text(spec.lock.text)
    home = {"ENVPIN_HOME": str(tmp_path / "store")}
    completed = envpin("bundle", lock, "-o", tmp_path / "b.tar", env=home)
    assert completed.status == 0, completed.stderr
    sha256 = completed.stdout.split()[-1]
    verified = envpin("bundle", "verify", tmp_path / "b.tar", "--sha256", sha256, env=home)
    assert verified.status == 0, verified.stderr
    assert "2 wheels" in verified.stdout
    data = bytearray((tmp_path / "b.tar").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "b.tar").write_bytes(bytes(data))
    assert envpin("bundle", "verify", tmp_path / "b.tar", env=home).status == 5
    assert envpin("bundle", lock, env=home).status == 2
    assert envpin("bundle", lock, "-o", tmp_path / "c.tar", "--platform", "amiga", env=home).status == 2


def test_a_killed_bundle_is_no_bundle(tmp_path: Path) -> None:
    spec = small_spec(tmp_path)
    lock = tmp_path / "pylock.small.toml"
    lock.write_text(spec.lock.text)
    whole = small_bundle(tmp_path, "whole.tar").sha256
    random.seed(5)
    for number in range(6):
        out = tmp_path / f"b{number}.tar"
        child = subprocess.Popen(
            arguments("bundle", lock, "-o", out), env=variables({"ENVPIN_HOME": str(tmp_path / "store")}),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        time.sleep(random.uniform(0.2, 1.2))
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if out.exists():
            assert verify_bundle(out).sha256 == whole
        for left in tmp_path.glob(".b*.tmp"):
            with contextlib.suppress(EnvpinError):  # the kill may come between the last byte and the name
                assert verify_bundle(left).sha256 == whole


@pytest.mark.parametrize(
    ("wheel", "needed"),
    [
        ("a-1-py3-none-any.whl", None),
        ("a-1-cp311-cp311-linux_x86_64.whl", None),
        ("a-1-cp311-cp311-manylinux_2_28_x86_64.whl", (2, 28)),
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", (2, 17)),
        ("a-1-cp311-cp311-manylinux_2_12_i686.manylinux2010_i686.manylinux1_i686.whl", (2, 5)),
        ("a-1-cp311-cp311-manylinux_2_5_x86_64.musllinux_1_1_x86_64.whl", None),
    ],
)
def test_the_glibc_that_a_wheel_needs_is_in_its_name(wheel: str, needed: tuple[int, int] | None) -> None:
    assert script("src/envpin/bundle/scripts/install.py").needed_glibc(wheel) == needed


@pytest.mark.parametrize(
    ("here", "said"),
    [
        ("glibc 2.17", "glibc 2.17"),
        (None, "another C library"),
        ("glibc 2.28", ""),
        ("glibc 2.40", ""),
        ("glibc 3.0", ""),
    ],
)
def test_wheels_of_a_newer_glibc_are_refused_before_an_installation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], here: str | None, said: str
) -> None:
    install = script("src/envpin/bundle/scripts/install.py")
    monkeypatch.setattr(install.os, "confstr", lambda _name: here)
    wheels = [
        "a-1-py3-none-any.whl",
        "b-1-cp311-cp311-manylinux_2_28_x86_64.whl",
        "c-1-cp311-abi3-manylinux2014_x86_64.whl",
    ]
    if not said:
        install.refuse_older_libc(wheels)
        return
    with pytest.raises(SystemExit) as left:
        install.refuse_older_libc(wheels)
    assert left.value.code == 3
    assert (
        f"b-1-cp311-cp311-manylinux_2_28_x86_64.whl needs glibc 2.28, and this machine has {said}"
        in capsys.readouterr().err
    )
