"""An environment in other tools' words: requirements with hashes, conda's environment file, a Dockerfile. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Literal

from envpin.core.torch_builds import backend_of
from envpin.core.versions import label_of
from envpin.envs.locks.fitting import Target, wheels_for

if TYPE_CHECKING:
    from packaging.pylock import Package, PackageWheel

    from envpin.envs.store.identity import EnvironmentSpec

Format = Literal["requirements", "conda", "dockerfile"]
FORMATS: tuple[Format, ...] = ("requirements", "conda", "dockerfile")


def exported(spec: EnvironmentSpec, form: Format) -> str:
    """The text in that form, for this kind of machine: the wheels that its lock names, each with its hash.

    Raises:
        BuildError: the lock has no wheel of a package for this machine.
    """
    lines = [_line(*one) for one in wheels_for(spec.lock, Target(platform=None, python=spec.python))]
    head = f"# {spec.name}, Python {spec.python}; by `envpin env export`\n"
    minor = ".".join(spec.python.split(".")[:2])
    if form == "requirements":
        return head + "\n".join(lines) + "\n"
    if form == "conda":
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", spec.name).strip("-") or "envpin"
        listed = "".join(f"      - {json.dumps(line)}\n" for line in lines)
        return (
            f"{head}name: {name}\nchannels:\n  - conda-forge\n  - nodefaults\ndependencies:\n"
            f"  - python={spec.python}\n  - pip\n  - pip:\n{listed}"
        )
    return (
        f"# syntax=docker/dockerfile:1\n{head}FROM python:{minor}-slim\n"
        "COPY <<'REQUIREMENTS' /tmp/requirements.txt\n" + "\n".join(lines) + "\nREQUIREMENTS\n"
        "RUN pip install --no-cache-dir --no-deps --only-binary=:all: --require-hashes -r /tmp/requirements.txt\n"
    )


def _line(package: Package, wheel: PackageWheel) -> str:
    hashes = " ".join(f"--hash={name}:{value}" for name, value in sorted(wheel.hashes.items()))
    version, url = str(package.version), wheel.url or ""
    # A build with a label is in no index that pip asks by itself.
    if backend_of(label_of(version)) is not None and url.startswith("https:"):
        return f"{package.name} @ {url} {hashes}"
    return f"{package.name}=={version} {hashes}"
