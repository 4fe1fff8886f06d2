"""Climbs the ladder (load, forward, generate, train, reload, merge) for many families in one environment.

Request: {"jobs": [{"id", "family", "folder", "made"?: folder, "steps": [...], "failed"?: [...]}], "timeout": seconds of
one step, "fork": bool}. Each outcome is sent as an event `outcome`, with the job's `id`, the moment it is known.
Result: {"finished": steps}.

Importing torch and transformers costs far more than a tiny model does, so it is done once and each job runs in a fork:
a job that crashes or hangs takes nothing else with it. Without `fork` the jobs run here, one after the other.
"""

import json
import os
import select
import signal
import sys
import time
import traceback
from typing import Any, Callable, Dict, List, Optional

from ..runtime.parent import end_with_parent
from .ladder_steps import NEEDS, run_step

_OWN_FAULT = [signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE]
if hasattr(signal, "SIGBUS"):
    _OWN_FAULT.append(signal.SIGBUS)


def run(request: Dict[str, Any], events: Any) -> Dict[str, Any]:
    finished = 0

    def tell(job: Dict[str, Any], answer: Dict[str, Any]) -> None:
        nonlocal finished
        finished += 1
        events.outcome(id=job["id"], **answer)

    if not request.get("fork"):
        for job in request["jobs"]:
            climb(job, lambda line, job=job: None if "began" in line else tell(job, line))  # type: ignore[misc]
        return {"finished": finished}
    _import_what_all_need()
    for job in request["jobs"]:
        _watched(job, float(request["timeout"]), tell)
    return {"finished": finished}


def _import_what_all_need() -> None:
    """What fails here fails again in each job, where it is recorded."""
    for name in ("torch", "transformers", "peft"):
        try:
            __import__(name)
        except Exception:
            return
    import transformers

    transformers.logging.set_verbosity_error()


def climb(job: Dict[str, Any], say: Callable[[Dict[str, Any]], None]) -> None:
    """Run the steps of a job in order; `say` hears of each that begins and of each outcome."""
    failed = list(job.get("failed") or [])
    for name in job["steps"]:
        needed = [one for one in NEEDS[name] if one in failed]
        if needed:
            failed.append(name)
            say({"capability": name, "outcome": "untestable", "error": "needs %s, which failed" % needed[0],
                 "blocked": True, "seconds": 0.0})  # fmt: skip
            continue
        say({"began": name})
        begun = time.time()
        answer = run_step(name, job)
        if answer["outcome"] != "ok":
            failed.append(name)
        say(dict(answer, capability=name, seconds=round(time.time() - begun, 3)))


def _watched(job: Dict[str, Any], timeout: float, tell: Callable[[Dict[str, Any], Dict[str, Any]], None]) -> None:
    read_end, write_end = os.pipe()
    worker = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        _in_the_child(job, write_end, worker)
    os.close(write_end)
    began: Optional[str] = None
    told: List[str] = []
    buffer = b""
    deadline = time.monotonic() + timeout
    late = False
    try:
        while True:
            ready, _, _ = select.select([read_end], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                late = True
                os.kill(child, signal.SIGKILL)
                break
            data = os.read(read_end, 65536)
            if not data:
                break
            buffer += data
            deadline = time.monotonic() + timeout
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                document = json.loads(line.decode("utf-8"))
                if "began" in document:
                    began = document["began"]
                    continue
                began = None
                told.append(document.get("capability", ""))
                tell(job, document)
    finally:
        os.close(read_end)
        _, status = os.waitpid(child, 0)
    _about_the_rest(job, began, told, _ending(status, late, timeout), tell)


def _ending(status: int, late: bool, timeout: float) -> Optional[Dict[str, Any]]:
    """What the way the child ended says about the step that it was in; None where it ended as it should."""
    if late:
        return {"outcome": "timeout", "error": "no answer in %.0f s" % timeout, "seconds": timeout}
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name
        if number in _OWN_FAULT:
            return {"outcome": "fail", "error": "the interpreter crashed: %s" % name, "seconds": 0.0}
        return {"outcome": "untestable", "error": "killed by %s" % name, "machine": True, "seconds": 0.0}
    if os.WEXITSTATUS(status) != 0:
        return {"outcome": "untestable", "error": "the machine ran out of memory or disk space", "machine": True,
                "seconds": 0.0}  # fmt: skip
    return None


def _about_the_rest(
    job: Dict[str, Any],
    began: Optional[str],
    told: List[str],
    ending: Optional[Dict[str, Any]],
    tell: Callable[[Dict[str, Any], Dict[str, Any]], None],
) -> None:
    """The step that the child did not come back from has its ending; those after it were not tried."""
    if ending is None:
        return
    for name in job["steps"]:
        if name in told:
            continue
        if name == began or ending.get("machine"):
            tell(job, dict(ending, capability=name))
        else:
            error = "not tried: %s did not come back" % began
            tell(job, {"capability": name, "outcome": "untestable", "error": error, "blocked": True, "seconds": 0.0})


def _in_the_child(job: Dict[str, Any], write_end: int, parent: int) -> None:
    status = 71
    try:
        # The threads of the parent, its watch on the controller among them, do not exist in a fork.
        end_with_parent(parent)

        def say(line: Dict[str, Any]) -> None:
            data = (json.dumps(line) + "\n").encode("utf-8")
            while data:
                data = data[os.write(write_end, data) :]

        climb(job, say)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
