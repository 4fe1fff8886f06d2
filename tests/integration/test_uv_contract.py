"""What the supported releases of uv really say, and what envpin makes of it. The floor is installed from the index."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import pytest

from envpin.core import process
from envpin.core.errors import BuildError, EnvpinError, NetworkError, NoInterpreterError, ResolutionError
from envpin.envs.locks.hashes import with_hashes
from envpin.envs.locks.left_out import declared
from envpin.envs.locks.lock import parse_lock
from envpin.envs.locks.pylock_text import normalized, write_pylock
from envpin.envs.machine import default_python
from envpin.envs.uv.command import FLOOR, Uv, find_uv
from tests.support.wheels import lock_of, make_wheel

FLOOR_TEXT = ".".join(map(str, FLOOR))
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "uv-releases"


@cache
def release(version: str) -> Uv:
    """A release of uv; the bundled one for `bundled`."""
    bundled = find_uv()
    if version == "bundled":
        return bundled
    folder = CACHE / version
    program = folder / "bin" / "uv"
    if not program.exists():
        done = process.run([bundled.path, "pip", "install", "--quiet", "--target", folder, f"uv=={version}"])
        assert done.status == 0, done.stderr
    return Uv(path=program, version=version, source="PATH")


@pytest.fixture(params=["bundled", FLOOR_TEXT])
def uv(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Uv:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    return release(str(request.param))


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    make_wheel(tmp_path / "wheels", "alpha", "1.0", requires=["beta>=1"])
    make_wheel(tmp_path / "wheels", "beta", "1.0")
    make_wheel(tmp_path / "wheels", "beta", "2.0")
    make_wheel(tmp_path / "wheels", "winding", "1.0", tag="cp311-cp311-win_amd64")
    return tmp_path / "wheels"


def without_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the folder of wheels: uv has no variable for this, but its configuration has."""
    settings = folder / "uv.toml"
    settings.write_text("no-index = true\n", encoding="utf-8")
    monkeypatch.setenv("UV_CONFIG_FILE", str(settings))


def written(text: str) -> str:
    return write_pylock(normalized(with_hashes(tomllib.loads(text))))


def compiled(uv: Uv, wheels: Path, *requirements: str, monkeypatch: pytest.MonkeyPatch) -> str:
    without_index(wheels, monkeypatch)
    return uv.compile(requirements, python=default_python(), find_links=[str(wheels)])


def test_a_resolution_is_a_lock_that_installs(
    uv: Uv, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = written(compiled(uv, wheels, "alpha==1.0", monkeypatch=monkeypatch))
    assert parse_lock(text).versions_of("beta") == ("2.0",)
    assert len(parse_lock(text).packages) == 2
    python = uv.create(tmp_path / "venv", python=default_python())
    lock = tmp_path / "pylock.toml"
    lock.write_text(text, encoding="utf-8")
    uv.sync(lock, python=python, offline=True)
    done = process.run([python, "-c", "import alpha, beta; print(beta.version)"])
    assert done.stdout.strip() == "2.0"


def test_constraints_bound_without_asking(uv: Uv, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_index(wheels, monkeypatch)
    text = uv.compile(
        ["alpha"], python=default_python(), find_links=[str(wheels)], constraints=["beta<2", "winding==9"]
    )
    lock = parse_lock(written(text))
    assert lock.versions_of("beta") == ("1.0",)
    assert lock.versions_of("winding") == ()


@pytest.mark.parametrize("wanted", [("alpha==9",), ("nowhere",), ("alpha", "beta<1"), ("winding",)])
def test_unsatisfiable(uv: Uv, wheels: Path, wanted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResolutionError, match=wanted[0].partition("=")[0]):
        compiled(uv, wheels, *wanted, monkeypatch=monkeypatch)


def test_a_python_that_a_package_refuses_is_named_with_what_it_declares(
    uv: Uv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path / "wheels", "late", "1.0", requires_python=">=3.11")
    without_index(tmp_path, monkeypatch)
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    with pytest.raises(ResolutionError) as refused:
        uv.compile(["late==1.0"], python="3.10", find_links=[str(tmp_path / "wheels")])
    assert declared(refused.value, "3.10") == "late 1.0 declares Python >=3.11"


def test_an_index_that_is_down(uv: Uv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1"):
        uv.compile(["six"], python=default_python())


def test_offline_and_not_cached(uv: Uv, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="six"):
        uv.compile(["six==1.16.0"], python=default_python(), offline=True)
    text = lock_of(make_wheel(tmp_path / "w", "alpha", "1.0")).replace(
        (tmp_path / "w").as_uri(), "https://files.pythonhosted.org/packages"
    )
    lock = tmp_path / "pylock.toml"
    lock.write_text(text, encoding="utf-8")
    python = uv.create(tmp_path / "venv", python=default_python())
    with pytest.raises(NetworkError, match="alpha"):
        uv.sync(lock, python=python, offline=True)


def test_no_such_interpreter(uv: Uv, tmp_path: Path) -> None:
    with pytest.raises(NoInterpreterError, match=r"3\.99"):
        uv.create(tmp_path / "venv", python="3.99")


@pytest.mark.parametrize("fault", ["hash", "gone", "platform", "truncated"])
def test_artifacts_that_cannot_be_installed(uv: Uv, tmp_path: Path, fault: str) -> None:
    tag = "cp311-cp311-win_amd64" if fault == "platform" else "py3-none-any"
    wheel = make_wheel(tmp_path / "w", "alpha", "1.0", tag=tag)
    text = lock_of(wheel)
    if fault == "hash":
        digest = text.partition('sha256 = "')[2][:64]
        text = text.replace(digest, "0" * 64)
    elif fault == "gone":
        wheel.unlink()
    elif fault == "truncated":
        wheel.write_bytes(wheel.read_bytes()[:100])
    lock = tmp_path / "pylock.toml"
    lock.write_text(text, encoding="utf-8")
    python = uv.create(tmp_path / "venv", python=default_python())
    with pytest.raises(EnvpinError, match="alpha") as caught:
        uv.sync(lock, python=python)
    assert type(caught.value) is BuildError


def test_a_dry_run_tells_platforms_apart(uv: Uv, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w", "alpha", "1.0", tag="cp311-cp311-win_amd64")
    lock = tmp_path / "pylock.toml"
    lock.write_text(lock_of(wheel), encoding="utf-8")
    python = uv.create(tmp_path / "venv", python=default_python())
    uv.dry_run(lock, python=python, platform="x86_64-pc-windows-msvc", python_version="3.11")
    for platform, version in (("x86_64-manylinux_2_28", "3.11"), ("x86_64-pc-windows-msvc", "3.12")):
        with pytest.raises(BuildError):
            uv.dry_run(lock, python=python, platform=platform, python_version=version)
