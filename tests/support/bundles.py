"""A small bundle of synthetic wheels, made as `envpin bundle REF` makes it, without uv."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.bundle.make import Bundled, BundleOptions, bundle_spec
from envpin.envs.locks.lock import parse_lock
from envpin.envs.machine import default_python
from envpin.envs.store.identity import EnvironmentSpec
from envpin.envs.store.store import Store
from tests.support.wheels import lock_of, make_wheel

if TYPE_CHECKING:
    from pathlib import Path


def small_spec(folder: Path) -> EnvironmentSpec:
    """`alpha`, with a script and a file in its `.data`, and `beta`."""
    files = {"alpha/__init__.py": "def main():\n    print('alpha speaks')\n", "alpha-1.0.data/data/share/a.txt": "a\n"}
    wheels = [make_wheel(folder / "wheels", "alpha", "1.0", files=files), make_wheel(folder / "wheels", "beta", "2.0")]
    return EnvironmentSpec(name="small", lock=parse_lock(lock_of(*wheels)), python=default_python())


def small_bundle(folder: Path, name: str = "small.tar") -> Bundled:
    """The bundle of `small_spec`, in `folder`."""
    return bundle_spec(small_spec(folder), folder / name, store=Store(folder / "store"), options=BundleOptions())
