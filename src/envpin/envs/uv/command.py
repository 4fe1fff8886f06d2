"""The only writer of a uv command line: finds uv, checks its floor, chooses its environment, maps its exits."""

from __future__ import annotations

import os
import re
import shutil
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from envpin.core import process
from envpin.core.command_text import command_text
from envpin.core.errors import EnvironmentSetupError, InputError, NetworkError, NoInterpreterError
from envpin.core.events import ignore
from envpin.core.index_settings import pip_index
from envpin.core.scratch import scratch
from envpin.core.torch_builds import MIRROR, mirror_of
from envpin.envs.uv.downloads import downloads
from envpin.envs.uv.errors import error_of, missing_interpreter
from envpin.envs.uv.interpreters import managed_interpreter, own_interpreter
from envpin.envs.uv.settings import where_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from envpin.core.events import Listener

# `--require-hashes` is honoured for a pylock from this release on.
FLOOR = (0, 11, 13)

# UV_* variables that say where things come from or lie, and how patiently; every other one says what to install
# (constraints, overrides, resolution, exclude-newer, …) and is dropped, because the pins say that.
_WHERE = frozenset(
    {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS",
     "UV_INDEX_STRATEGY", "UV_KEYRING_PROVIDER", "UV_CREDENTIALS_DIR",
     "UV_CACHE_DIR", "UV_LINK_MODE", "UV_PYTHON_INSTALL_DIR", "UV_PYTHON_INSTALL_MIRROR", "UV_PYTHON_CACHE_DIR",
     "UV_PYTHON_DOWNLOADS", "UV_PYTHON_DOWNLOADS_JSON_URL", "UV_PYTHON_PREFERENCE", "UV_MANAGED_PYTHON",
     "UV_NO_MANAGED_PYTHON", "UV_PYTHON_SEARCH_PATH", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_INSECURE_HOST",
     "UV_HTTP_TIMEOUT", "UV_HTTP_CONNECT_TIMEOUT", "UV_REQUEST_TIMEOUT", "UV_HTTP_RETRIES", "UV_OFFLINE",
     "UV_LOCK_TIMEOUT", "UV_TORCH_BACKEND", "UV_CUDA_DRIVER_VERSION", "UV_AMD_GPU_ARCHITECTURE"}
)  # fmt: skip
_WHERE_PREFIXES = ("UV_INDEX_", "UV_CONCURRENT_")  # credentials of named indexes; how many downloads at once
# A path of this machine, and a torch build chosen for its GPU: neither may shape a lock that is meant for everybody.
_LOCAL_ONLY = frozenset({"UV_FIND_LINKS", "UV_TORCH_BACKEND", "UV_CUDA_DRIVER_VERSION", "UV_AMD_GPU_ARCHITECTURE"})
# The same as settings of a uv.toml.
_INDEX_SETTINGS = frozenset({"index", "index-url"})
_INDEXES = frozenset({"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX"})
_PATHS = ("UV_FIND_LINKS", "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR", "SSL_CERT_FILE")

# What the indexes of PyTorch serve beside torch itself.
_OF_TORCH_INDEXES = ("torch", "torchvision", "torchaudio", "triton", "pytorch-triton", "pytorch-triton-rocm",
                     "pytorch-triton-xpu")  # fmt: skip

# Between the places of UV_FIND_LINKS (pip takes spaces).
_LIST = ","


@dataclass(frozen=True, kw_only=True, slots=True)
class Uv:
    """One uv program. `source` says where it was found."""

    path: Path
    version: str
    source: Literal["bundled", "PATH"]

    def compile(
        self,
        requirements: Sequence[str],
        *,
        python: str,
        portable: bool = False,
        exclude_newer: str | None = None,
        always_allow: Iterable[str] = (),
        constraints: Sequence[str] = (),
        prefer: str | None = None,
        find_links: Sequence[str] = (),
        backend: str | None = None,
        alone: bool = False,
        offline: bool = False,
    ) -> str:
        """Resolve to the text of a PEP 751 lock, wheels only.

        `portable` resolves for every platform and ignores what only this machine has (find-links, its GPU);
        otherwise the lock is for this platform and `python` alone. `constraints` bound versions without asking for
        them. `exclude_newer` is an RFC 3339 time; packages in `always_allow` are exempt from it. `prefer` is the text
        of a lock whose versions are kept wherever the requirements let them. `backend` adds the index of that build of
        torch (`cpu`, `cu121`; `auto` for this machine's GPU), which knows no upload times; of a mirror where
        ENVPIN_TORCH_INDEX names one. `alone`: the requirements are all that is wanted, whatever else they ask for.

        Raises:
            ResolutionError, NoInterpreterError, NetworkError, DiskFullError
        """
        arguments = ["pip", "compile", "-", "--format", "pylock.toml", "--python-version", python,
                     "--no-build", "--no-header", "--no-annotate", "--no-python-downloads", "--quiet"]  # fmt: skip
        if portable:
            arguments.append("--universal")
        if alone:
            arguments.append("--no-deps")
        if exclude_newer is not None:
            arguments += ["--exclude-newer", exclude_newer]
            undated = _OF_TORCH_INDEXES if backend is not None else ()
            for name in sorted({*always_allow, *undated}):
                arguments += ["--exclude-newer-package", f"{name}=false"]
        if backend is not None:
            arguments += _index_of(backend)
        with scratch("lock") as folder:
            target = Path(folder, "pylock.toml")
            if prefer is not None:
                target.write_text(prefer, encoding="utf-8")  # uv prefers what the file it is to overwrite holds
            if constraints:
                bounds = Path(folder, "constraints.txt")
                bounds.write_text("\n".join(constraints) + "\n", encoding="utf-8")
                arguments += ["--constraints", str(bounds)]
            self._run(
                [*arguments, "--output-file", str(target), *_offline(offline)],
                what=f"resolving `{', '.join(requirements)}`",
                stdin="\n".join(requirements) + "\n",
                find_links=find_links,
                portable=portable,
                # That index is asked besides the user's own, and may be out of reach: then another build has to do.
                defaults={"UV_HTTP_RETRIES": "1"} if backend is not None else {},
            )
            return target.read_text(encoding="utf-8")

    def create(self, folder: Path, *, python: str | None, offline: bool = False) -> Path:
        """Create a relocatable virtual environment and return its interpreter.

        Its scripts find that interpreter after the folder was renamed. `python` is a version: that of the Python which
        runs envpin means that one, unless the user's settings say which to take. None means whichever uv finds first.

        Raises:
            NoInterpreterError, NetworkError, DiskFullError
        """
        arguments = ["venv", str(folder), "--relocatable", "--no-project", "--quiet", *_offline(offline)]
        what = f"creating an environment with Python {python or 'of any version'}"
        if python is None:
            self._run(arguments, what=what)
            return interpreter_of(folder)
        if (own := own_interpreter(python)) is not None:
            with suppress(NoInterpreterError):  # it may be one that only runs from where it stands
                self._run([*arguments, "--python", str(own), "--no-python-downloads"], what=what)
                return interpreter_of(folder)
        try:
            self._run([*arguments, "--python", python, "--no-python-downloads"], what=what)
        except NoInterpreterError as missing:
            managed = managed_interpreter(python)
            if managed is None and offline:
                raise missing_interpreter(python, missing) from missing
            try:
                self._run([*arguments, "--python", str(managed or python)], what=what)
            except (NetworkError, NoInterpreterError) as fault:
                raise missing_interpreter(python, fault) from fault
        return interpreter_of(folder)

    def patch_of(self, python: str) -> str | None:
        """The whole version of the installed Python that `create` would take for `3.11`; None where none is found."""
        if own_interpreter(python) is not None:
            return ".".join(map(str, sys.version_info[:3]))
        find = ["python", "find", python, "--show-version", "--no-python-downloads", "--no-project"]
        try:
            return self._run(find, what=f"finding a Python {python}").stdout.strip() or None
        except EnvironmentSetupError:
            return None

    def managed_python(self, python: str, *, offline: bool = False) -> Path:
        """The folder of a Python that uv itself built, which can be moved; installed where it is not there yet.

        Raises:
            NoInterpreterError, NetworkError
        """
        find = ["python", "find", python, "--managed-python", "--no-python-downloads", "--no-project"]
        what = f"finding a Python {python} that can be moved"
        try:
            completed = self._run(find, what=what)
        except EnvironmentSetupError as missing:
            if offline:
                raise missing_interpreter(python, missing) from missing
            self._run(["python", "install", python, "--no-bin", "--no-registry"], what=f"installing Python {python}")
            completed = self._run(find, what=what)
        return Path(completed.stdout.strip()).resolve().parents[1]

    def sync(
        self,
        lock: Path,
        *,
        python: Path,
        offline: bool = False,
        refresh: Sequence[str] = (),
        reinstall: Sequence[str] = (),
        cache: Path | None = None,
        listener: Listener = ignore,
    ) -> None:
        """Install exactly what the lock names, hashes enforced, wheels only.

        `refresh` packages are downloaded again, past the cache; `reinstall` packages are installed even where they are
        installed already. `cache` is a folder to use in place of the user's cache.

        Raises:
            BuildError, NetworkError, DiskFullError
        """
        arguments = ["pip", "sync", "--preview-features", "pylock", "--require-hashes", "--no-build", "--strict",
                     str(lock), "--python", str(python), *_offline(offline)]  # fmt: skip
        for name in refresh:
            arguments += ["--refresh-package", name]
        for name in reinstall:
            arguments += ["--reinstall-package", name]
        if cache is not None:
            arguments += ["--cache-dir", str(cache)]
        self._run(arguments, what=f"installing `{lock.name}`", on_stderr=downloads(listener))

    def dry_run(
        self,
        lock: Path,
        *,
        python: Path,
        platform: str,
        python_version: str,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Prove without installing that the lock has an artifact of every package for another platform, of which
        `variables` tell more.

        Raises:
            BuildError: it has not.
        """
        self._run(
            ["pip", "sync", "--preview-features", "pylock", "--require-hashes", "--no-build", "--dry-run", "--quiet",
             str(lock), "--python", str(python), "--python-platform", platform, "--python-version", python_version],
            what=f"planning `{lock.name}` for {platform} and Python {python_version}",
            defaults=variables,
        )  # fmt: skip

    def would_download(self, lock: Path, *, python: Path) -> bool:
        """Whether installing the lock would download anything. Downloads nothing.

        Raises:
            EnvironmentSetupError, NetworkError: it cannot be told.
        """
        completed = self._run(
            ["pip", "sync", "--preview-features", "pylock", "--require-hashes", "--no-build", "--dry-run", "--offline",
             str(lock), "--python", str(python)],
            what=f"planning `{lock.name}`",
        )  # fmt: skip
        return "Would download" in completed.stderr

    def _run(
        self,
        arguments: Sequence[str],
        *,
        what: str,
        stdin: str | None = None,
        find_links: Sequence[str] = (),
        portable: bool = False,
        defaults: Mapping[str, str] = MappingProxyType({}),
        on_stderr: Callable[[str], None] | None = None,
    ) -> process.Completed:
        with _configuration(where_config(os.environ, portable=portable)) as options:
            completed = process.run(
                [self.path, *arguments, "--color", "never", "--no-progress", *options],
                env={**defaults, **uv_environment(os.environ, find_links=find_links, portable=portable)},
                # Below the root there is no project whose uv.toml or pyproject.toml uv would pick up.
                cwd=Path(Path(sys.executable).anchor),
                stdin=None if stdin is None else stdin.encode("utf-8"),
                on_stderr=on_stderr,
            )
        process.raise_if_killed(completed, what="`uv`")
        if completed.status != 0:
            raise error_of(completed.stderr, what=what)
        return completed


def interpreter_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@cache
def find_uv() -> Uv:
    """The uv that travels with this interpreter, else the first on PATH.

    Raises:
        EnvironmentSetupError: there is none, or only one below the floor.
    """
    found: list[tuple[Path, Literal["bundled", "PATH"]]] = []
    bundled = _bundled()
    if bundled is not None:
        found.append((bundled, "bundled"))
    on_path = shutil.which("uv")
    if on_path is not None:
        found.append((Path(on_path), "PATH"))
    floor = ".".join(map(str, FLOOR))
    if not found:
        raise EnvironmentSetupError(
            "`uv` was found neither beside this Python nor on PATH", hint=command_text("pip", "install", f"uv>={floor}")
        )
    older, silent = [], []
    for path, source in found:
        version = _version_of(path)
        if version is None:
            silent.append(f"`{path}`")
        elif tuple(int(part) for part in version.split(".")[:3]) >= FLOOR:
            return Uv(path=path, version=version, source=source)
        else:
            older.append(f"{version} at `{path}`")
    reasons = [f"`uv` is older than {floor}: {', '.join(older)}"] if older else []
    if silent:
        reasons.append(f"{', '.join(silent)} does not run, or does not say its version")
    raise EnvironmentSetupError(
        "; ".join(reasons), hint=command_text("pip", "install", "--upgrade", "--force-reinstall", f"uv>={floor}")
        if silent else command_text("pip", "install", "--upgrade", f"uv>={floor}")
    )  # fmt: skip


def uv_environment(
    source: Mapping[str, str], *, find_links: Sequence[str] = (), portable: bool = False
) -> dict[str, str]:
    """The environment that uv runs in: the variables that say where, and none of those that say what."""
    kept = {name: value for name, value in source.items() if not name.startswith("UV_") or _says_where(name)}
    if kept.get("UV_LINK_MODE") == "symlink":
        del kept["UV_LINK_MODE"]  # see envs.uv.settings
    if portable:
        kept = {name: value for name, value in kept.items() if name not in _LOCAL_ONLY}
    if find_links and not portable:
        given = [one for one in kept.get("UV_FIND_LINKS", "").split(_LIST) if one]
        kept["UV_FIND_LINKS"] = _LIST.join(dict.fromkeys([*given, *find_links]))
    configured = where_config(source, portable=portable)
    told = not _INDEXES.isdisjoint(kept) or _tells_index(configured)
    if not told and (pip := pip_index(source)) is not None:
        kept["UV_DEFAULT_INDEX"] = pip  # as `index_url` reads it
    for name in _PATHS:
        if name in kept:
            kept[name] = _LIST.join(_absolute(piece) for piece in kept[name].split(_LIST))
    return process.scrubbed_environment(kept)


def _tells_index(configured: Mapping[str, Any]) -> bool:
    return not _INDEX_SETTINGS.isdisjoint(configured) or not _INDEX_SETTINGS.isdisjoint(configured.get("pip", {}))


@contextmanager
def _configuration(settings: dict[str, Any]) -> Iterator[list[str]]:
    """uv's options for these settings and no others."""
    if not settings:
        yield ["--no-config"]
        return
    import tomlkit

    with scratch("uv") as folder:
        path = Path(folder, "uv.toml")
        path.write_text(tomlkit.dumps(settings), encoding="utf-8")
        yield ["--config-file", str(path)]


def _says_where(name: str) -> bool:
    return name in _WHERE or name.startswith(_WHERE_PREFIXES)


def _absolute(piece: str) -> str:
    # uv runs in another folder than its user does.
    return str(Path(piece).absolute()) if piece and "://" not in piece and Path(piece).exists() else piece


def _index_of(backend: str) -> list[str]:
    """The options for the index of a build of torch. The best version of all indexes is taken where a mirror is one of
    them: it serves old copies of numpy and others besides, and uv would stop at the first index that has a package."""
    base = os.environ.get(MIRROR)
    if not base:
        return ["--torch-backend", backend]
    return ["--index", mirror_of(backend, base), "--index-strategy", "unsafe-best-match"]


def _offline(offline: bool) -> list[str]:
    return ["--offline"] if offline else []


def _bundled() -> Path | None:
    beside = Path(sys.executable).with_name("uv.exe" if sys.platform == "win32" else "uv")
    if beside.is_file():
        return beside
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        return None


def _version_of(path: Path) -> str | None:
    try:
        completed = process.run([path, "--version"], env=process.scrubbed_environment())
    except (InputError, OSError):
        return None  # no program of this machine
    match = re.match(r"uv (\d+\.\d+\.\d+)", completed.stdout)
    return match[1] if match and completed.status == 0 else None
