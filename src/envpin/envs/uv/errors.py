"""What uv's words mean: its stderr, mapped to envpin's errors. Pure; pinned by a contract test over supported releases.

uv leaves with 1 for an unsatisfiable request, a failed installation and an offline miss alike, and with 2 for a network
failure, a missing interpreter and a bad flag, so the words decide. They are matched loosely, in order: the first row
that fits wins, from the most certain cause to the most general.
"""

from __future__ import annotations

import re

from envpin.core.command_text import command_text
from envpin.core.errors import (
    BuildError,
    CacheDamagedError,
    DiskFullError,
    EnvironmentSetupError,
    EnvpinError,
    NetworkError,
    NoInterpreterError,
    ResolutionError,
)
from envpin.core.sizes import counted

_RULES: tuple[tuple[str, type[EnvpinError], str], ...] = (
    (
        r"invalid value '.*' for '--torch-backend",
        EnvironmentSetupError,
        "name a build of torch that this uv knows, with `--torch-backend` (UV_TORCH_BACKEND, too, may name one)",
    ),
    (
        r"invalid value '.*' for '--python-version",
        EnvironmentSetupError,
        "name the Python with `--python X.Y`",
    ),
    (
        r"Failed to parse environment variable|invalid value '.*' for '--",
        EnvironmentSetupError,
        "correct that setting of uv: a variable `UV_…`, or a line of uv.toml",
    ),
    (
        r"unexpected argument|unrecognized subcommand",
        EnvironmentSetupError,
        "this release of uv lacks what envpin asks of it: take another (`pip install --upgrade uv`)",
    ),
    (
        r"No space left on device|os error 28\b|Disk quota exceeded|os error 122\b|not enough space on the disk",
        DiskFullError,
        "free some space (`envpin env prune`, `uv cache prune`), or put the store elsewhere with ENVPIN_HOME",
    ),
    (
        # What uv unpacked before is gone or overwritten: cleaners of scratch folders take files by their age.
        (
            r"Failed to deserialize cache entry"
            r"|Failed to install: [\s\S]*(?:The wheel is invalid|\barchive-v\d+\b[\s\S]*(?:No such file|cannot find))"
        ),
        CacheDamagedError,
        "empty uv's cache (`uv cache clean`), then run it again with a network",
    ),
    (
        r"network was disabled|Network connectivity is disabled|network is disabled|offline mode",
        NetworkError,
        "run it once without `--offline` and UV_OFFLINE, so that what is missing is downloaded",
    ),
    (
        (
            r"No interpreter found|Failed to inspect Python interpreter|No download found for|No Python \S+ found"
            r"|not find an interpreter|Python interpreter not found"
        ),
        NoInterpreterError,
        "install that Python (`uv python install X.Y`), or choose another with `--python`",
    ),
    (
        r"Hash mismatch|hash mismatch|has no hash|missing.*hash|Hashes? (?:are|is) required",
        BuildError,
        "the artifact is not the one that was locked: do not use it; lock again if the index is right",
    ),
    (
        (
            r"Failed to fetch|error sending request|dns error|Could not connect|tcp connect error|timed out"
            r"|Request failed after|Connection (?:refused|reset)|connection closed|client error \(Connect\)"
            r"|HTTP status (?:client|server) error|Failed to download (?:from|metadata)|invalid peer certificate"
        ),
        NetworkError,
        "check the network and the index settings (UV_DEFAULT_INDEX, proxies), then run it again",
    ),
    (
        r"No solution found when resolving",
        ResolutionError,
        "loosen a pin, or choose another Python with `--python`",
    ),
    (
        r"Failed to initialize cache",
        EnvironmentSetupError,
        "set UV_CACHE_DIR to a folder that you may write",
    ),
    (
        (
            r"Failed to (?:build|download|install|prepare|unzip|extract)|no binary distribution|binary distribution"
            r"|source distribution|incompatible with the|can't be installed|cannot be installed|Failed to parse"
        ),
        BuildError,
        "lock again for this platform and Python: `envpin lock REF --python X.Y`",
    ),
)


def error_of(stderr: str, *, what: str) -> EnvpinError:
    """The error that uv's `stderr` tells of. `what` is what was being done, as a participle (`resolving …`)."""
    for pattern, error, hint in _RULES:
        if re.search(pattern, stderr):
            message = f"{what} failed: {_gist(stderr)}"
            if error is CacheDamagedError:
                return CacheDamagedError(message, hint=hint, package=_package(stderr))
            return error(message, hint=hint)
    return EnvironmentSetupError(f"{what} failed: {_gist(stderr)}")


def patch_asked_for(fault: EnvpinError, python: str) -> str | None:
    """The release of `python` (`3.11`) that a package asks for, where it is a later one than the first, which uv
    resolves for; else None."""
    wanted = rf"(?:does not satisfy|requires) Python\s*(>=?)\s*{re.escape(python)}\.(\d+)"
    found = re.findall(wanted, " ".join(fault.message.split()))
    patch = max((int(number) + (sign == ">") for sign, number in found), default=0)
    return f"{python}.{patch}" if patch else None


def _package(stderr: str) -> str | None:
    """The package that uv could not install."""
    found = re.search(r"Failed to (?:install: \S+ \(|download `)([A-Za-z0-9._-]+)==", stderr)
    return found[1] if found else None


def missing_interpreter(python: str, fault: EnvpinError) -> NoInterpreterError:
    """No interpreter of this version is here, and `fault` is why none came."""
    reason = fault.message.partition(" failed: ")[2].splitlines()
    cause = f": {reason[0]}" if reason and isinstance(fault, NetworkError) else ""
    downloads = f", and it could not be downloaded{cause}" if isinstance(fault, NetworkError) else ""
    return NoInterpreterError(
        f"Python {python} is not installed{downloads}",
        hint=f"install it (`{command_text('uv', 'python', 'install', python)}`), or choose another with `--python`",
    )


def _gist(stderr: str) -> str:
    """What uv said from its first error line on, without its own hints, shortened to a dozen lines."""
    lines = [line.rstrip() for line in stderr.splitlines() if line.strip()]
    start = next((at for at, line in enumerate(lines) if re.match(r"\s*(?:error:|×|✗)", line)), 0)
    kept: list[str] = []
    for line in lines[start:]:
        if re.match(r"\s*hint:|For more information, try", line):
            break
        kept.append(re.sub(r"^\s*(?:error:|×|✗)\s*", "", line) if not kept else line)
    if len(kept) > 12:
        kept = [*kept[:11], f"  … and {counted(len(kept) - 11, 'more line')}"]
    return "\n".join(kept) or "uv gave no reason"
