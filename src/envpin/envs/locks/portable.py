"""Locks that travel: resolved for every platform, promising only the platforms and Pythons that a dry run proves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpin.core.errors import BuildError, RefusedError, ResolutionError
from envpin.core.events import Note, Step, ignore
from envpin.core.scratch import scratch
from envpin.core.sizes import counted
from envpin.core.toml_input import parse_toml
from envpin.envs.locks import left_out as left
from envpin.envs.locks.bounded import compile_bounded
from envpin.envs.locks.fitting import MACOS
from envpin.envs.locks.hashes import file_tags, with_hashes
from envpin.envs.locks.lock import Lock, parse_lock
from envpin.envs.locks.pylock_text import normalized, write_pylock
from envpin.envs.locks.requirements import check_requirements, exact_pins
from envpin.envs.uv.command import find_uv
from envpin.envs.uv.errors import patch_asked_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from envpin.core.events import Listener
    from envpin.envs.locks.left_out import LeftOut
    from envpin.envs.uv.command import Uv

# How many packages may each ask for a later patch level of Python than the one before.
_PATCHES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """A platform that a lock may promise: uv's name of it, its marker, and what its wheels' platform tags look like.

    `variables` tell uv more of it: left to itself it takes any Mac for one of macOS 13, and torch needs 14.
    """

    name: str
    uv: str
    marker: str
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()


PLATFORMS = (
    Platform(
        name="linux-x86_64",
        uv="x86_64-manylinux_2_28",
        marker="sys_platform == 'linux' and platform_machine == 'x86_64'",
        prefixes=("manylinux", "linux"),
        suffixes=("_x86_64",),
    ),
    Platform(
        name="linux-aarch64",
        uv="aarch64-manylinux_2_28",
        marker="sys_platform == 'linux' and platform_machine == 'aarch64'",
        prefixes=("manylinux", "linux"),
        suffixes=("_aarch64",),
    ),
    Platform(
        name="macos-arm64",
        uv="aarch64-apple-darwin",
        marker="sys_platform == 'darwin' and platform_machine == 'arm64'",
        prefixes=("macosx",),
        suffixes=("_arm64", "_universal2"),
        variables=(("MACOSX_DEPLOYMENT_TARGET", ".".join(map(str, MACOS))),),
    ),
    Platform(
        name="windows-x86_64",
        uv="x86_64-pc-windows-msvc",
        marker="sys_platform == 'win32' and platform_machine == 'AMD64'",
        prefixes=("win_amd64",),
        suffixes=("",),
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LockRequest:
    """What a portable lock is made from; kept in its `[tool.envpin]` table, so that it can be made again.

    `python` is the lowest Python that it is for; `exclude_newer` an RFC 3339 time or None. `alone`: the requirements
    are the whole environment.
    """

    name: str
    requirements: tuple[str, ...]
    python: str
    exclude_newer: str | None = None
    constraints: tuple[str, ...] = ()
    command: str | None = None
    alone: bool = False


def portable_lock(request: LockRequest, *, offline: bool = False, listener: Listener = ignore) -> Lock:
    """Resolve `request` into a lock for every platform that has the wheels.

    What only this machine has (UV_FIND_LINKS, a torch backend chosen for its GPU) is ignored.

    Raises:
        InputError, ResolutionError, NoInterpreterError, NetworkError, DiskFullError
        BuildError: no platform has all the wheels.
        RefusedError: the configured index serves files of this machine, which a lock must not name.
    """
    title = f"lock {request.name}"
    listener(Step(key="lock", title=title))
    try:
        lock = _lock(request, offline=offline, listener=listener)
    except BaseException:
        listener(Step(key="lock", title=title, state="failed"))
        raise
    listener(Step(key="lock", title=title, state="done", detail=counted(len(lock.packages), "package")))
    return lock


def _lock(request: LockRequest, *, offline: bool, listener: Listener) -> Lock:
    requirements = check_requirements(request.requirements)
    uv, pins = find_uv(), exact_pins(requirements)

    floor = request.python

    def compiled(constraints: Sequence[str]) -> str:
        nonlocal floor
        for _ in range(_PATCHES):
            try:
                return asked(constraints)
            except ResolutionError as refused:
                patch = patch_asked_for(refused, request.python)
                if patch is None or patch == floor:
                    raise
                floor = patch
        return asked(constraints)

    def asked(constraints: Sequence[str]) -> str:
        return uv.compile(
            requirements,
            python=floor,
            portable=True,
            exclude_newer=request.exclude_newer,
            always_allow=pins,
            constraints=constraints,
            alone=request.alone,
            offline=offline,
        )

    try:
        text = compiled(()) if request.alone else compile_bounded(compiled, request.constraints, pins)
    except ResolutionError:
        if not request.constraints:
            raise
        # A recorded companion that no index has must not stop the lock; the main pins hold all the same.
        listener(
            Note(message="not every recorded dependency can be had from the index; the rest follows the main pins")
        )
        text = compile_bounded(compiled, (), pins)
    document = normalized(with_hashes(parse_toml(text)))
    local = sorted({package["name"] for package in document["packages"] if _is_local(package)})
    if local:
        raise RefusedError(
            f"the index gives files of this machine for {', '.join(f'`{name}`' for name in local)}, and a lock that "
            "travels must not name them",
            hint="use an index that serves over https (UV_DEFAULT_INDEX)",
        )
    listener(Step(key="prove", title="prove platforms and Pythons"))
    proven, found = _prove(document, request, uv)
    left_out = left.in_words([*_below(request, uv, offline=offline), *found])
    listener(Step(key="prove", title="prove platforms and Pythons", state="done", detail=_summary(proven)))
    for line in left_out:
        listener(Note(message=f"the lock is not for {line}"))
    _narrow(document, proven, floor=floor)
    tool: dict[str, object] = {
        "schema": 1,
        "name": request.name,
        "python": request.python,
        "requirements": requirements,
    }
    if request.constraints:
        tool["constraints"] = request.constraints
    if request.command:
        tool["command"] = request.command
    if request.exclude_newer:
        tool["exclude-newer"] = request.exclude_newer
    tool["proven"] = {platform.name: pythons for platform, pythons in proven.items()}
    if left_out:
        tool["left-out"] = left_out
    header = f"Made by `{request.command}`. Do not edit; run it again." if request.command else ""
    return parse_lock(write_pylock(document, header=header, tool=tool), origin=f"the lock of {request.name}")


def _is_local(package: dict[str, Any]) -> bool:
    return any("path" in wheel or not wheel.get("url", "").startswith("http") for wheel in package["wheels"])


def _prove(
    document: dict[str, object], request: LockRequest, uv: Uv
) -> tuple[dict[Platform, list[str]], list[LeftOut]]:
    """Per platform the Pythons that have every wheel, from the asked one upwards without a gap; and those left out.

    Raises:
        BuildError: the first platform's lowest Python already lacks one, and so do all others.
    """
    lowest = _minor(request.python)
    proven: dict[Platform, list[str]] = {}
    left_out: list[LeftOut] = []
    text = write_pylock(document)
    parsed = parse_lock(text, origin="the lock")
    with scratch("prove") as folder:
        lock = Path(folder, "pylock.toml")
        lock.write_text(text, encoding="utf-8")
        python = uv.create(Path(folder, "venv"), python=None)
        for platform in PLATFORMS:
            beyond = False
            for version in (f"3.{minor}" for minor in range(lowest, left.NEWEST_MINOR + 1)):
                if beyond:
                    left_out.append((platform.name, version, left.without_wheels(parsed, platform.name, version)))
                    continue
                try:
                    uv.dry_run(
                        lock, python=python, platform=platform.uv, python_version=version,
                        variables=dict(platform.variables),
                    )  # fmt: skip
                except (BuildError, ResolutionError) as fault:
                    beyond = True
                    left_out.append(
                        (platform.name, version, left.without_wheels(parsed, platform.name, version, fault))
                    )
                else:
                    proven.setdefault(platform, []).append(version)
    if not proven:
        _, python_version, reason = left_out[0]
        raise BuildError(
            f"no platform has wheels of everything for Python {request.python}: Python {python_version}: {reason}",
            hint="choose another Python with `--python`",
        )
    return proven, left_out


def _below(request: LockRequest, uv: Uv, *, offline: bool) -> Iterator[LeftOut]:
    """The Pythons below the lowest one, which a lock could be for, each with the reason: uv is asked once more."""
    minors = range(left.OLDEST_MINOR, _minor(request.python))
    if not minors:
        return
    below = f"3.{minors[-1]}"
    fault: ResolutionError | None = None
    try:
        uv.compile(
            request.requirements,
            python=below,
            portable=True,
            exclude_newer=request.exclude_newer,
            always_allow=exact_pins(request.requirements),
            alone=request.alone,
            offline=offline,
        )
    except ResolutionError as found:
        fault = found
    why = left.declared(fault, below)
    yield from ((platform.name, f"3.{minor}", why) for minor in minors for platform in PLATFORMS)


def _narrow(document: dict[str, Any], proven: dict[Platform, list[str]], *, floor: str) -> None:
    """Promise what was proven: `requires-python`, `environments`, and only the wheels that one of them can use. `floor`
    is the Python that was resolved for: its later releases alone, where it has a patch level."""
    minors = sorted({int(python.split(".")[1]) for pythons in proven.values() for python in pythons})
    lowest = floor if floor.startswith(f"3.{minors[0]}.") else f"3.{minors[0]}"
    document["requires-python"] = f">={lowest},<3.{minors[-1] + 1}"
    document["environments"] = [
        platform.marker
        + (f" and python_full_version < '3.{_minor(pythons[-1]) + 1}'" if _minor(pythons[-1]) < minors[-1] else "")
        for platform, pythons in proven.items()
    ]
    kept: list[dict[str, object]] = []
    for package in document["packages"]:
        wheels = [wheel for wheel in package["wheels"] if _usable(wheel, tuple(proven), minors)]
        if wheels:
            kept.append({**package, "wheels": wheels})
    document["packages"] = kept


def _usable(wheel: dict[str, Any], platforms: Sequence[Platform], minors: Sequence[int]) -> bool:
    for tag in file_tags(wheel.get("name") or wheel["url"]):
        interpreter, abi, system = tag.split("-")
        if _fits_python(interpreter, abi, minors) and _fits_platform(system, platforms):
            return True
    return False


def _fits_python(interpreter: str, abi: str, minors: Sequence[int]) -> bool:
    if interpreter == "py3":
        return True
    kind, digits = interpreter[:2], interpreter[2:]
    if kind not in {"py", "cp"} or not digits.startswith("3") or not digits[1:].isdigit():
        return False
    minor = int(digits[1:])
    if kind == "py" or abi in {"abi3", "none"}:
        return minor <= minors[-1]
    return minor in minors and abi == interpreter


def _fits_platform(system: str, platforms: Iterable[Platform]) -> bool:
    return system == "any" or any(
        system.startswith(platform.prefixes) and system.endswith(platform.suffixes) for platform in platforms
    )


def _minor(python: str) -> int:
    return int(python.split(".")[1])


def _summary(proven: dict[Platform, list[str]]) -> str:
    return ", ".join(f"{platform.name} {pythons[0]}–{pythons[-1]}" for platform, pythons in proven.items())
