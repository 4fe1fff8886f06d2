"""Jupyter's kernels: a copy of one that runs under `envpin record`, so that a kernel without envpin is recorded.

Where kernels lie: https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from envpin.core.command_text import command_text
from envpin.core.errors import InputError, OutputExistsError
from envpin.core.files import exists, read_bounded, remove_tree, write_atomically
from envpin.core.process import run
from envpin.core.typed_json import NOT_OF_ITS_SHAPE

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST = 1_000_000
_FILE = "kernel.json"
_MARK = "envpin"
_TIMEOUT = 60.0
# What jupyter_client replaces by its own interpreter: https://github.com/jupyter/jupyter_client, `format_kernel_cmd`.
_ANY_PYTHON = re.compile(r"python(?:\d+(?:\.\d+)*)?(?:\.exe)?")


class KernelSpec(NamedTuple):
    """A kernel as Jupyter finds it. `document` is its kernel.json."""

    name: str
    folder: Path
    document: dict[str, object]

    @property
    def argv(self) -> tuple[str, ...]:
        found = self.document.get("argv")
        return tuple(str(word) for word in found) if isinstance(found, list) else ()

    @property
    def is_recorded(self) -> bool:
        metadata = self.document.get("metadata")
        return isinstance(metadata, dict) and _MARK in metadata


def user_folder(env: Mapping[str, str]) -> Path:
    """Where a user's own kernels lie."""
    if env.get("JUPYTER_DATA_DIR"):
        return Path(env["JUPYTER_DATA_DIR"]) / "kernels"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Jupyter" / "kernels"
    if sys.platform == "win32":
        return Path(env.get("APPDATA") or Path.home()) / "jupyter" / "kernels"
    return Path(env.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "jupyter" / "kernels"


def kernel_folders(env: Mapping[str, str]) -> list[Path]:
    """Every folder that Jupyter looks for kernels in, from the first that wins."""
    listed = [Path(one) / "kernels" for one in env.get("JUPYTER_PATH", "").split(os.pathsep) if one]
    prefixes = [env[name] for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if env.get(name)]
    shared = [Path(one) / "share" / "jupyter" / "kernels" for one in (*prefixes, "/usr/local", "/usr")]
    return [*listed, user_folder(env), *shared]


def kernels(env: Mapping[str, str]) -> dict[str, KernelSpec]:
    """Every kernel by name; of two of one name the one that Jupyter takes."""
    found: dict[str, KernelSpec] = {}
    for folder in kernel_folders(env):
        try:
            names = sorted(one.name for one in folder.iterdir())
        except OSError:
            continue
        for name in names:
            if name not in found and exists(folder / name / _FILE):
                try:
                    found[name] = read_kernel(folder / name)
                except InputError:
                    continue  # Jupyter passes over what it cannot read, too
    return found


def read_kernel(folder: Path) -> KernelSpec:
    """
    Raises:
        InputError: there is no readable kernel.json.
    """
    path = folder / _FILE
    try:
        document = msgspec.json.decode(read_bounded(path, _LARGEST), type=dict[str, object])
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror}", path=path) from error
    except NOT_OF_ITS_SHAPE as error:
        raise InputError(f"`{path}` is no kernel: {error}", path=path) from error
    return KernelSpec(folder.name, folder, document)


def install(name: str, *, python: Path | None, env: Mapping[str, str], overwrite: bool = False) -> KernelSpec:
    """Write the kernel `NAME-recorded`: that of `name`, or one of the interpreter `python`, under `envpin record`.

    Raises:
        InputError: there is no such kernel, or `python` has no ipykernel.
        OutputExistsError: a kernel of that name is there, and not envpin's.
    """
    if not re.fullmatch(r"[\w.-]{1,100}", name, re.ASCII):
        raise InputError(f"`{name}` cannot be the name of a kernel: letters, digits, `-`, `_` and `.`")
    spec = _of_python(name, python) if python is not None else _named(name, env)
    own = f"{name}-recorded"
    folder = user_folder(env) / own
    if exists(folder) and not overwrite and not _is_ours(folder):
        raise OutputExistsError(f"`{folder}` exists and is not envpin's", hint="--force replaces it")
    argv = [sys.executable, "-P", "-m", "envpin", "record", "--", *_resolved(spec)]
    metadata = spec.document.get("metadata")
    document = {
        **spec.document,
        "argv": argv,
        "display_name": f"{spec.document.get('display_name') or name} (recorded)",
        "metadata": {**(metadata if isinstance(metadata, dict) else {}), _MARK: {"of": name}},
    }
    data = msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
    try:
        write_atomically(folder / _FILE, data, parents=True)
    except OSError as error:
        raise InputError(f"`{folder}` cannot be written: {error.strerror}", path=folder) from error
    return KernelSpec(own, folder, document)


def remove(name: str, env: Mapping[str, str]) -> Path:
    """Remove the kernel that `install` wrote for `name`.

    Raises:
        InputError: there is none, or it is not envpin's.
    """
    folder = user_folder(env) / f"{name.removesuffix('-recorded')}-recorded"
    if not exists(folder / _FILE) or not _is_ours(folder):
        raise InputError(f"`{folder}` is no kernel of envpin's", path=folder, hint="envpin jupyter list")
    remove_tree(folder)
    return folder


def _is_ours(folder: Path) -> bool:
    try:
        return read_kernel(folder).is_recorded
    except InputError:
        return False


def _named(name: str, env: Mapping[str, str]) -> KernelSpec:
    known = kernels(env)
    if name in known and known[name].argv and not known[name].is_recorded:
        return known[name]
    listed = ", ".join(f"`{one}`" for one in known if not known[one].is_recorded) or "none"
    raise InputError(
        f"there is no kernel `{name}`; there are: {listed}",
        hint="name the interpreter that has ipykernel: "
        + command_text("envpin", "jupyter", "install", "--kernel", name, "--python", "PATH"),
    )


def _of_python(name: str, python: Path) -> KernelSpec:
    interpreter = Path(os.path.abspath(python))  # noqa: PTH100  a link into an environment must stay one
    completed = run([str(interpreter), "-c", "import ipykernel"], timeout=_TIMEOUT)
    if completed.status != 0:
        raise InputError(
            f"`{interpreter}` has no ipykernel", path=interpreter, hint=f"{interpreter} -m pip install ipykernel"
        )
    argv = [str(interpreter), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    return KernelSpec(name, interpreter.parent, {"argv": argv, "display_name": name, "language": "python"})


def _resolved(spec: KernelSpec) -> list[str]:
    """The kernel's command, with the interpreter that Jupyter would have put where it says `python` only."""
    first, *rest = spec.argv
    if _ANY_PYTHON.fullmatch(first):
        for parent in spec.folder.parents:  # PREFIX/share/jupyter/kernels/NAME
            for inside in (Path("bin") / "python", Path("python.exe")):
                if (parent / inside).exists():
                    return [str(parent / inside), *rest]
        raise InputError(
            f"the kernel `{spec.name}` starts `{first}`, and which one that is only Jupyter knows",
            hint=command_text("envpin", "jupyter", "install", "--kernel", spec.name, "--python", "PATH"),
        )
    return [first, *rest]
