"""The store, with real uv and synthetic wheels: no network, a cache of its own, a tenth of a second per environment."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envpin.core import process
from envpin.core.errors import BuildError, EnvironmentDamagedError, InputError, NoInterpreterError
from envpin.core.events import Event, Note, Progress, Step
from envpin.envs.locks.lock import parse_lock
from envpin.envs.machine import default_python
from envpin.envs.store import integrity
from envpin.envs.store.artifacts import describe_interpreter
from envpin.envs.store.environment import site_packages
from envpin.envs.store.identity import EnvironmentSpec
from envpin.envs.store.integrity import Damage
from envpin.envs.store.remembered import HASHED, read_remembered
from envpin.envs.store.store import Store
from envpin.envs.uv.command import Uv, _version_of
from envpin.envs.uv.downloads import downloads
from tests.support.wheels import lock_of, make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envpin.envs.store.environment import Environment

SPEAKER = {"alpha/__init__.py": "def main():\n    print('alpha speaks')\n", "alpha/b.py": "value = 1\n"}


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, and a uv cache of this test's own: some of these tests damage it on purpose."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    return tmp_path / "wheels"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def spec_of(*wheels: Path, name: str = "test", python: str | None = None) -> EnvironmentSpec:
    return EnvironmentSpec(name=name, lock=parse_lock(lock_of(*wheels)), python=python or default_python())


def alpha_and_beta(folder: Path) -> EnvironmentSpec:
    return spec_of(
        make_wheel(folder, "alpha", "1.0", files=SPEAKER, scripts={"alpha-says": "alpha:main"}),
        make_wheel(folder, "beta", "2.0"),
    )


def says(environment: Environment, *argv: str) -> str:
    variables = process.scrubbed_environment(drop=["PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"])
    completed = process.run([environment.scripts / argv[0], *argv[1:]], env=variables)
    assert completed.status == 0, completed.stderr
    return completed.stdout.strip()


def edit(path: Path, text: str) -> None:
    """An edit in place, a minute after the wheel was unpacked: every hard link of the file shows it."""
    moment = path.stat().st_mtime + 60
    with path.open("r+", encoding="utf-8") as stream:
        stream.write(text)
    os.utime(path, (moment, moment))


def test_built_once_then_reused(store: Store, wheels: Path) -> None:
    spec = alpha_and_beta(wheels)
    events: list[Event] = []
    first = store.ensure(spec, listener=events.append)
    assert [event.state for event in events if isinstance(event, Step)] == ["start", "done"]
    assert store.verify(first) == ()
    again = store.ensure(spec, listener=events.append)
    assert again.path == first.path
    assert isinstance(events[-1], Step)
    assert events[-1].state == "skipped"
    assert store.find(spec) is not None
    assert [one.key for one in store.list()] == [first.key]


def test_the_receipt_names_every_artifact(store: Store, wheels: Path) -> None:
    spec = alpha_and_beta(wheels)
    receipt = store.ensure(spec).receipt
    assert [(one.name, one.version, one.wheel) for one in receipt.artifacts] == [
        ("alpha", "1.0", "alpha-1.0-py3-none-any.whl"),
        ("beta", "2.0", "beta-2.0-py3-none-any.whl"),
    ]
    locked = {package.name: (package.wheels or [])[0].hashes for package in spec.lock.packages}
    assert {one.name: one.hashes for one in receipt.artifacts} == locked
    assert receipt.lock_sha256 == spec.lock.digest
    assert receipt.interpreter.version.startswith(default_python())


def test_scripts_and_interpreter_survive_the_rename(store: Store, wheels: Path) -> None:
    environment = store.ensure(alpha_and_beta(wheels))
    assert says(environment, "alpha-says") == "alpha speaks"
    assert says(environment, "python", "-c", "import sys; print(sys.prefix)") == str(environment.path)
    for script in environment.scripts.iterdir():
        if script.is_file() and not script.is_symlink():
            assert ".building" not in script.read_text(encoding="utf-8", errors="replace"), script
    moved = environment.path.with_name("moved-on-purpose")
    environment.path.rename(moved)
    completed = process.run([moved / "bin" / "alpha-says"], env=process.scrubbed_environment())
    assert completed.stdout.strip() == "alpha speaks"


def test_a_changed_byte_is_named_and_rebuilding_heals_it(store: Store, wheels: Path, tmp_path: Path) -> None:
    spec = alpha_and_beta(wheels)
    environment = store.ensure(spec)
    changed = site_packages(environment.path) / "alpha" / "b.py"
    edit(changed, "VALUE")
    relative = changed.relative_to(environment.path).as_posix()
    assert store.verify(environment) == (Damage(path=relative, kind="changed", package="alpha"),)

    notes: list[Event] = []
    rebuilt = store.ensure(spec, rebuild=True, listener=notes.append)
    assert store.verify(rebuilt) == ()
    assert (site_packages(rebuilt.path) / "alpha" / "b.py").read_text(encoding="utf-8") == SPEAKER["alpha/b.py"]
    assert rebuilt.receipt.unrecorded.keys() == environment.receipt.unrecorded.keys(), "bad bytes were vouched for"
    assert any(isinstance(note, Note) and "alpha" in note.message for note in notes)


def test_an_edit_that_reached_the_cache_does_not_reach_the_next_environment(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_LINK_MODE", "hardlink")
    spec = alpha_and_beta(wheels)
    first = Store(tmp_path / "one").ensure(spec)
    victim = site_packages(first.path) / "alpha" / "b.py"
    if victim.stat().st_nlink < 2:
        pytest.skip("this file system does not link")
    edit(victim, "VALUE")
    other = Store(tmp_path / "two")
    second = other.ensure(spec)
    assert (site_packages(second.path) / "alpha" / "b.py").read_text(encoding="utf-8") == SPEAKER["alpha/b.py"]
    assert other.verify(second) == ()


def test_missing_and_extra_files_are_named(store: Store, wheels: Path) -> None:
    environment = store.ensure(alpha_and_beta(wheels))
    packages = site_packages(environment.path)
    (packages / "beta" / "__init__.py").unlink()
    (packages / "sitecustomize.py").write_text("print('boo')\n", encoding="utf-8")
    (packages / "alpha" / "native.so").write_bytes(b"x")
    (packages / "alpha" / "notes.txt").write_text("harmless", encoding="utf-8")
    found = {(Path(one.path).name, one.kind, one.package) for one in store.verify(environment)}
    assert found == {
        ("__init__.py", "missing", "beta"),
        ("sitecustomize.py", "extra", None),
        ("native.so", "extra", None),
        ("notes.txt", "extra", None),
    }


def _link_a_package(environment: Path) -> None:
    folder = site_packages(environment) / "alpha"
    folder.rename(environment.parent / "elsewhere")
    folder.symlink_to(environment.parent / "elsewhere")


def _replace_the_interpreter(environment: Path) -> None:
    python = environment / "bin" / "python"
    python.unlink()
    python.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")


def _link_another_interpreter(environment: Path) -> None:
    python = environment / "bin" / "python"
    python.unlink()
    python.symlink_to("/bin/true")


def _add_a_package(environment: Path) -> None:
    info = site_packages(environment) / "gamma-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: gamma\nVersion: 1.0\n", encoding="utf-8")


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "linked-package": (_link_a_package, "site-packages/alpha"),
    "settings": (lambda environment: edit(environment / "pyvenv.cfg", "HOME = /"), "pyvenv.cfg"),
    "interpreter": (_replace_the_interpreter, "bin/python"),
    "link-of-interpreter": (_link_another_interpreter, "bin/python"),
    "added-program": (lambda environment: (environment / "bin" / "ls").write_text("#!/bin/sh\n"), "bin/ls"),
    "lock": (lambda environment: edit(environment / "pylock.toml", "#"), "pylock.toml"),
    "byte-code": (
        lambda environment: (site_packages(environment) / "alpha" / "b.pyc").write_bytes(b"x"),
        "alpha/b.pyc",
    ),
    "package": (_add_a_package, "gamma-1.0.dist-info/METADATA"),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("everything", [True, False])
def test_verify_names_whatever_was_changed(store: Store, wheels: Path, name: str, everything: bool) -> None:
    environment = store.ensure(alpha_and_beta(wheels))
    assert store.verify(environment) == ()
    change, named = CHANGES[name]
    change(environment.path)
    damage = [one.path for one in store.verify(environment, everything=everything)]
    assert any(path.endswith(named) for path in damage), damage


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every environment had been built a while ago: what changed just now is never remembered."""
    later = time.time_ns() + 10**10
    monkeypatch.setattr("envpin.envs.store.integrity.time.time_ns", lambda: later)


@pytest.mark.usefixtures("settled")
def test_a_file_that_did_not_move_is_hashed_once(store: Store, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = store.ensure(alpha_and_beta(wheels))
    assert store.verify(environment) == ()
    read: list[str] = []
    judge = integrity._judge

    def judging(name: str, *given: Any) -> Damage | None:
        read.append(name)
        return judge(name, *given)

    monkeypatch.setattr(integrity, "_judge", judging)
    assert store.verify(environment, everything=False) == ()
    assert read == []
    assert store.verify(environment) == ()
    assert any(name.endswith("alpha/b.py") for name in read)


@pytest.mark.usefixtures("settled")
def test_a_changed_byte_with_its_times_restored_is_found(store: Store, wheels: Path) -> None:
    environment = store.ensure(alpha_and_beta(wheels))
    assert store.verify(environment) == ()
    victim = site_packages(environment.path) / "alpha" / "b.py"
    before = victim.stat()
    with victim.open("r+", encoding="utf-8") as stream:
        stream.write("VALUE")
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert victim.stat().st_size == before.st_size
    for everything in (False, True):
        assert [Path(one.path).name for one in store.verify(environment, everything=everything)] == ["b.py"]


@pytest.mark.usefixtures("settled")
def test_another_receipt_forgets_what_was_hashed(store: Store, wheels: Path) -> None:
    environment = store.ensure(alpha_and_beta(wheels))
    assert store.verify(environment) == ()
    assert (environment.path / HASHED).is_file()
    assert read_remembered(environment.path) != {}
    receipt = environment.path / "envpin-receipt.json"
    receipt.write_bytes(receipt.read_bytes() + b"\n")
    assert read_remembered(environment.path) == {}


@pytest.mark.parametrize("setting", ["target", "prefix"])
def test_settings_that_install_elsewhere_make_no_empty_environment(
    store: Store, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    settings = tmp_path / "config" / "uv" / "uv.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'[pip]\n{setting} = "{tmp_path / "elsewhere"}"\n', encoding="utf-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    environment = store.ensure(alpha_and_beta(wheels))
    assert says(environment, "alpha-says") == "alpha speaks"
    assert not (tmp_path / "elsewhere").exists()


def test_an_environment_that_lacks_a_package_of_its_lock_does_not_count(
    store: Store, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = alpha_and_beta(wheels)
    sync = Uv.sync

    def forgetful(self: Uv, lock: Path, *, python: Path, **options: Any) -> None:
        """A uv that installs less than it was asked for."""
        less = lock_of(*(path for path in wheels.iterdir() if path.name.startswith("beta")))
        lock.write_text(less, encoding="utf-8")
        sync(self, lock, python=python, **options)

    monkeypatch.setattr(Uv, "sync", forgetful)
    with pytest.raises(BuildError, match="1 package of the lock is not in the environment: `alpha`"):
        store.ensure(spec)
    assert store.list() == ()


def test_a_record_made_to_fit_the_edit_is_named(store: Store, wheels: Path) -> None:
    environment = store.ensure(alpha_and_beta(wheels))
    record = next(site_packages(environment.path).glob("alpha-*.dist-info")) / "RECORD"
    record.write_text(record.read_text(encoding="utf-8").replace("alpha/b.py", "alpha/c.py"), encoding="utf-8")
    damage = store.verify(environment)
    assert ("RECORD", "changed") in {(Path(one.path).name, one.kind) for one in damage}


def test_byte_code_that_the_interpreter_writes_is_no_damage(store: Store, wheels: Path) -> None:
    environment = store.ensure(alpha_and_beta(wheels))
    says(environment, "python", "-c", "import alpha.b, beta")
    assert list(site_packages(environment.path).rglob("*.pyc"))
    assert store.verify(environment) == ()


def test_a_wheel_whose_own_record_is_wrong_is_usable(store: Store, wheels: Path) -> None:
    spec = spec_of(make_wheel(wheels, "alpha", "1.0", files=SPEAKER, wrong_record_of="alpha/b.py"))
    environment = store.ensure(spec)
    assert store.verify(environment) == ()
    edit(site_packages(environment.path) / "alpha" / "b.py", "VALUE")
    assert [one.kind for one in store.verify(environment)] == ["changed"]


def test_a_wrong_hash_is_refused_and_nothing_stays(store: Store, wheels: Path) -> None:
    wheel = make_wheel(wheels, "alpha", "1.0")
    text = lock_of(wheel)
    digest = text.partition('sha256 = "')[2][:8]
    spec = EnvironmentSpec(name="bad", lock=parse_lock(text.replace(digest, "00000000")), python=default_python())
    with pytest.raises(BuildError, match="Hash mismatch"):
        store.ensure(spec)
    assert store.list() == ()
    assert store.leftovers() == ()


def test_a_missing_wheel_and_a_missing_interpreter_are_told_apart(store: Store, wheels: Path) -> None:
    wheel = make_wheel(wheels, "alpha", "1.0")
    with pytest.raises(NoInterpreterError, match="Python 3"):
        store.ensure(spec_of(wheel, python="3.99"))
    spec = spec_of(wheel)
    wheel.unlink()
    with pytest.raises(BuildError, match="alpha"):
        store.ensure(spec)
    assert store.leftovers() == ()


def test_threads_that_want_the_same_environment_build_it_once(store: Store, wheels: Path) -> None:
    spec = alpha_and_beta(wheels)
    events: list[Event] = []
    found: list[Environment] = []
    threads = [
        threading.Thread(target=lambda: found.append(store.ensure(spec, listener=events.append))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.path for one in found}) == 1
    assert len(found) == 4
    assert sum(isinstance(event, Step) and event.state == "start" for event in events) == 1


def test_a_damaged_receipt_does_not_count_and_is_rebuilt(store: Store, wheels: Path) -> None:
    spec = alpha_and_beta(wheels)
    environment = store.ensure(spec)
    (environment.path / "envpin-receipt.json").write_text("{", encoding="utf-8")
    fresh = store.find(spec)
    assert fresh is not None
    with pytest.raises(EnvironmentDamagedError):
        _ = fresh.receipt
    assert store.list() == ()
    assert store.leftovers() == (environment.path,)
    assert store.verify(store.ensure(spec, rebuild=True)) == ()


def test_a_base_interpreter_that_is_gone_is_noticed(store: Store, wheels: Path) -> None:
    spec = alpha_and_beta(wheels)
    environment = store.ensure(spec)
    environment.python.unlink()
    environment.python.symlink_to("/nowhere/python3")
    assert store.find(spec) is None
    assert store.verify(store.ensure(spec)) == ()


def test_prune_removes_what_is_named_and_what_killed_builds_left(store: Store, wheels: Path) -> None:
    environment = store.ensure(alpha_and_beta(wheels))
    left = environment.path.parent / ".building" / f"{environment.key}-1-abcd"
    left.mkdir(parents=True)
    (left / "half.py").write_text("x" * 1000, encoding="utf-8")
    assert store.leftovers() == (left,)
    freed = store.prune(store.list(), store.leftovers())
    assert freed >= 1000
    assert store.list() == ()
    assert store.leftovers() == ()


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path, wheels: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written") as caught:
        Store(tmp_path / "file" / "store").ensure(alpha_and_beta(wheels))
    assert "ENVPIN_HOME" in (caught.value.hint or "")


def test_a_store_whose_scripts_no_path_can_name_is_refused(tmp_path: Path, wheels: Path) -> None:
    spec = alpha_and_beta(wheels)
    environment = Store(tmp_path / "store").ensure(spec)
    named = tmp_path / f"with{os.pathsep}colon"
    with pytest.raises(InputError, match="cannot be put on PATH"):
        Store(tmp_path / f"new{os.pathsep}colon").ensure(spec)
    (tmp_path / "store").rename(named)
    moved = Store(named).get(environment.key)
    with pytest.raises(InputError, match="cannot be put on PATH"):
        moved.activated()


def test_keys_are_found_by_their_start(store: Store, wheels: Path) -> None:
    environment = store.ensure(alpha_and_beta(wheels))
    assert store.get(environment.key[:8]).path == environment.path
    for wrong in ("", "zzzz", "0" * 24):
        with pytest.raises(InputError):
            store.get(wrong)


def test_a_project_s_own_uv_settings_do_not_leak_in(
    store: Store, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "uv.toml").write_text("this is not = [toml", encoding="utf-8")
    monkeypatch.chdir(project)
    monkeypatch.setenv("UV_CONSTRAINT", str(project / "nowhere.txt"))
    monkeypatch.setenv("UV_EXCLUDE_NEWER", "2001-01-01")
    monkeypatch.setenv("PYTHONPATH", str(project))
    assert store.verify(store.ensure(alpha_and_beta(wheels))) == ()


def test_the_interpreter_describes_itself(store: Store, wheels: Path) -> None:
    environment = store.ensure(alpha_and_beta(wheels))
    assert describe_interpreter(environment.python) == environment.receipt.interpreter


@pytest.mark.parametrize(
    "lines", [["Downloading torch (2.0MiB)", "Downloading six", " Downloaded torch", " Downloaded six"]]
)
def test_downloads_become_progress(lines: Sequence[str]) -> None:
    events: list[Event] = []
    on_line: Callable[[str], None] = downloads(events.append)
    for line in lines:
        on_line(line)
    last = events[-1]
    assert isinstance(last, Progress)
    assert (last.done, last.total) == (2 * 1024 * 1024, 2 * 1024 * 1024)
    assert isinstance(events[1], Progress)
    assert events[1].label == "torch, six"


@pytest.mark.parametrize("text", [b"no program", b"\x7fELFxxxx", b"#!/nonexistent/python\n", b"#!/bin/sh\nexit 1\n"])
def test_what_is_no_uv_of_this_machine_has_no_version(tmp_path: Path, text: bytes) -> None:
    program = tmp_path / "uv"
    program.write_bytes(text)
    program.chmod(0o755)
    assert _version_of(program) is None
