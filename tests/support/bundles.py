"""A small bundle of synthetic wheels, made as `envpin bundle REF` makes it, without uv; and a place to restore it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from envpin.bundle.make import Bundled, BundleOptions, bundle_spec
from envpin.core import process
from envpin.envs.locks.lock import parse_lock
from envpin.envs.machine import default_python
from envpin.envs.store.identity import EnvironmentSpec
from envpin.envs.store.store import Store
from tests.support.wheels import lock_of, make_wheel

if TYPE_CHECKING:
    from pathlib import Path

# All that restore.sh calls besides the shell's own words, and the Python of the bundle.
_TOOLS = ("dirname", "find", "wc", "sha256sum", "sed", "chmod", "sh", "tar")


def small_spec(folder: Path) -> EnvironmentSpec:
    """`alpha`, with two scripts (`say-alpha`, and `old-alpha` in its `.data`) and a file in its `.data`, and `beta`."""
    files = {
        "alpha/__init__.py": "def main():\n    print('alpha speaks')\n",
        "alpha-1.0.data/data/share/a.txt": "a\n",
        "alpha-1.0.data/scripts/old-alpha": "#!python\nimport alpha\nalpha.main()\n",
    }
    alpha = make_wheel(folder / "wheels", "alpha", "1.0", files=files, scripts={"say-alpha": "alpha:main"})
    wheels = [alpha, make_wheel(folder / "wheels", "beta", "2.0")]
    return EnvironmentSpec(name="small", lock=parse_lock(lock_of(*wheels)), python=default_python())


def small_bundle(folder: Path, name: str = "small.tar") -> Bundled:
    """The bundle of `small_spec`, in `folder`."""
    return bundle_spec(small_spec(folder), folder / name, store=Store(folder / "store"), options=BundleOptions())


def without_a_network() -> list[str]:
    """A network namespace without a route, where this user may make one."""
    unshare = shutil.which("unshare")
    if unshare is None or process.run([unshare, "-n", "true"]).status != 0:
        return []
    return [unshare, "-n"]


def without_python(folder: Path) -> str:
    """A PATH on which the tools of a POSIX system are found, and no Python."""
    folder.mkdir()
    for tool in _TOOLS:
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    return str(folder)
