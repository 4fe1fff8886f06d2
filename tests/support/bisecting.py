"""A synthetic world to bisect in: packages with planted breaks on a local index, and the real `envpin bisect`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.support.simple_index import SimpleIndex

# Run by the probe's command: writes down that it ran, then imports the package, which raises where it is broken.
PROBE = """
import importlib, os, pathlib, sys, time
version = os.environ.get("ENVPIN_BISECT_VERSION", "-")
with open({ran!r}, "a") as stream:
    stream.write(version + "\\n")
time.sleep({pause})
for name in {modules!r}:
    importlib.import_module(name)
"""


@dataclass
class World:
    """One index and one home. `bisect` runs the command to its end, `start` starts it."""

    index: SimpleIndex
    folder: Path
    variables: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_", "ENVPIN_"))},
            "ENVPIN_HOME": str(self.folder / "home"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "UV_CACHE_DIR": str(self.folder / "uv"),
            "UV_DEFAULT_INDEX": self.index.url,
            "UV_HTTP_RETRIES": "0",
            "UV_PYTHON_DOWNLOADS": "never",
        }

    @property
    def ran(self) -> list[str]:
        """The version of every run of the probe, in order, over all processes."""
        path = self.folder / "ran"
        return path.read_text().split() if path.exists() else []

    def publish(
        self, name: str, version: str, *, broken: str | None = None, requires: Sequence[str] = (),
        uploaded: str | None = None, yanked: bool | str = False, requires_python: str | None = None,
        code: str | None = None, scripts: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Put a release on the index; importing a broken one raises `broken`."""
        text = (
            code if code is not None else f"raise RuntimeError({broken!r})\n" if broken else f"version = {version!r}\n"
        )
        wheel = make_wheel(self.folder / "wheels", name, version, files={f"{name}/__init__.py": text},
                           requires=requires, requires_python=requires_python, scripts=scripts or {})  # fmt: skip
        self.index.add(wheel.name, wheel.read_bytes(), uploaded=uploaded, yanked=yanked,
                       requires_python=requires_python)  # fmt: skip

    def series(self, name: str, count: int, breaks_at: int, **more: Any) -> None:
        """Releases 1.0 … 1.(count-1), one a day; from 1.`breaks_at` on importing fails."""
        for minor in range(count):
            day = f"2024-{1 + minor // 28:02}-{1 + minor % 28:02}T00:00:00Z"
            self.publish(
                name, f"1.{minor}", broken="it fell over" if minor >= breaks_at else None, uploaded=day, **more
            )

    def probe(self, *modules: str, pause: float = 0.0) -> list[str]:
        """A command that imports these modules in the environment under test."""
        script = self.folder / "probe.py"
        script.write_text(PROBE.format(ran=str(self.folder / "ran"), modules=modules, pause=pause))
        return ["--", "python", str(script)]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "envpin", "bisect", *arguments]
        return subprocess.Popen(argv, env=self.variables, cwd=self.folder, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip

    def bisect(self, *arguments: str, status: int = 0) -> Answer:
        child = self.start(*arguments)
        stdout, stderr = child.communicate(timeout=300)
        assert child.returncode == status, f"status {child.returncode}\n{stdout}\n{stderr}"
        return Answer(stdout, stderr)

    def logs(self) -> list[Path]:
        return sorted((self.folder / "home" / "bisect" / "searches").glob("*/log.jsonl"))

    def records(self, event: str = "probe") -> list[dict[str, Any]]:
        """The whole records of one kind over all logs."""
        found: list[dict[str, Any]] = []
        for path in self.logs():
            lines = path.read_text().split("\n")[:-1]
            found += [record for line in lines if (record := json.loads(line))["event"] == event]
        return found

    def kill_after(self, child: subprocess.Popen[str], probes: int, number: int = signal.SIGKILL) -> int:
        """Send a signal once `probes` probes are in the log; returns the exit status."""
        deadline = time.monotonic() + 120
        while len(self.records()) < probes and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        # Ctrl-C reaches the whole group of a terminal; a kill reaches one process.
        if number == signal.SIGINT:
            os.killpg(child.pid, number)
        elif child.poll() is None:
            child.send_signal(number)
        child.communicate(timeout=60)
        return child.returncode


@dataclass(frozen=True)
class Answer:
    stdout: str
    stderr: str

    @property
    def document(self) -> Mapping[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found
