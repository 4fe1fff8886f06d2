"""No worker, and no fork of one, outlives its controller by more than a second, even where a pattern holds Python's
lock, so that no thread of the worker's own runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

import pytest

from envpin.core import process

# Says who it is and then backtracks until the sun burns out, without once letting go of the lock.
_STUCK = """
import os, pathlib, re
mark = pathlib.Path({mark!r})
mark.with_suffix(".tmp").write_text(str(os.getpid()))
os.replace(mark.with_suffix(".tmp"), mark)
re.match(r"(a+)+$", "a" * 100 + "b")
"""
_CONTROLLER = """
import json, sys
from pathlib import Path
import msgspec
from envpin.host import verbs, worker
calls = {one.verb: one for one in verbs.CALLS}
worker.call(Path(sys.argv[1]), msgspec.convert(json.loads(sys.argv[3]), calls[sys.argv[2]]))
"""
_TRANSFORMERS = """
class logging:
    @staticmethod
    def set_verbosity_error(): pass
class AutoConfig:
    @staticmethod
    def from_pretrained(folder, **_options):
        import stuck
"""


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with stand-ins for the libraries, and the module `stuck`."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    (packages,) = (tmp_path / "env").glob("[Ll]ib/python*/site-packages")
    (packages / "stuck.py").write_text(_STUCK.format(mark=str(tmp_path / "pid")))
    (packages / "torch.py").write_text("def manual_seed(seed): pass\n")
    (packages / "transformers.py").write_text(_TRANSFORMERS)
    return tmp_path / "env" / "bin" / "python"


def runs(pid: int) -> bool:
    """Whether the process runs; a dead one that nobody has waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread watches, which such a pattern holds up")
@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("probe", {"action": "import", "module": "stuck"}),
        ("ladder", {"jobs": [{"id": 0, "family": "gpt2", "steps": ["load"]}], "timeout": 600, "fork": True}),
    ],
)
def test_a_worker_that_holds_the_lock_ends_with_its_controller(
    environment: Path, tmp_path: Path, verb: str, body: dict[str, Any]
) -> None:
    for job in body.get("jobs", []):
        job["folder"] = str(tmp_path / "job")
        (tmp_path / "job").mkdir()
    arguments = [sys.executable, "-c", _CONTROLLER, str(environment), verb, json.dumps(body)]
    controller = process.start(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "pid").exists():
            assert controller.poll() is None, "the worker ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        worker = int((tmp_path / "pid").read_text())
        assert runs(worker)
        controller.send_signal(signal.SIGKILL)
        controller.wait()
        ended = time.monotonic()
        while runs(worker):
            assert time.monotonic() - ended < 1.0, "the worker outlives its controller"
            time.sleep(0.01)
    finally:
        process.end(controller)
        if (tmp_path / "pid").exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
