"""Climbs the ladder (load, forward, generate, train, reload, merge) for many families in one environment.

Each outcome is sent as an event `outcome` the moment it is known.

Importing torch and transformers costs far more than a tiny model does, so it is done once and each job runs in a fork:
a job that crashes or hangs takes nothing else with it. Without `fork` the jobs run here, one after the other.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from typing import Callable, List, Optional

from ..protocol import Events
from ..requests import LadderJob, LadderRequest
from ..results import LadderOutcome, LadderResult
from ..runtime.parent import end_with_parent
from ..wire import decode, encode
from .ladder_steps import NEEDS, run_step

_OWN_FAULT = [signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE]
if hasattr(signal, "SIGBUS"):
    _OWN_FAULT.append(signal.SIGBUS)


Hear = Callable[[LadderOutcome], None]


def run(request: LadderRequest, events: Events) -> LadderResult:
    finished = 0

    def tell(outcome: LadderOutcome) -> None:
        nonlocal finished
        finished += 1
        events.outcome(encode(outcome))

    if not request.fork:
        for job in request.jobs:
            climb(job, lambda _name: None, tell)
        return LadderResult(finished)
    _import_what_all_need()
    for job in request.jobs:
        _watched(job, request.timeout, tell)
    return LadderResult(finished)


def _import_what_all_need() -> None:
    """What fails here fails again in each job, where it is recorded."""
    for name in ("torch", "transformers", "peft"):
        try:
            __import__(name)
        except Exception:
            return
    import transformers

    transformers.logging.set_verbosity_error()


def climb(job: LadderJob, begin: Callable[[str], None], tell: Hear) -> None:
    """Run the steps of a job in order; `begin` hears of each that begins, `tell` of each outcome."""
    failed = list(job.failed)
    for name in job.steps:
        needed = [one for one in NEEDS[name] if one in failed]
        if needed:
            failed.append(name)
            tell(LadderOutcome(job.id, name, "untestable", "needs %s, which failed" % needed[0], 0.0, blocked=True))
            continue
        begin(name)
        begun = time.time()
        seen = run_step(name, job)
        if seen.outcome != "ok":
            failed.append(name)
        tell(LadderOutcome(job.id, name, seen.outcome, seen.error, round(time.time() - begun, 3), seen.details))


def _watched(job: LadderJob, timeout: float, tell: Hear) -> None:
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
                outcome = decode(LadderOutcome, document)
                told.append(outcome.capability)
                tell(outcome)
    finally:
        os.close(read_end)
        _, status = os.waitpid(child, 0)
    _about_the_rest(job, began, told, _ending(job, status, late, timeout), tell)


def _ending(job: LadderJob, status: int, late: bool, timeout: float) -> Optional[LadderOutcome]:
    """What the way the child ended says about the step that it was in; None where it ended as it should."""
    if late:
        return LadderOutcome(job.id, "", "timeout", "no answer in %.0f s" % timeout, timeout)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name
        if number in _OWN_FAULT:
            return LadderOutcome(job.id, "", "fail", "the interpreter crashed: %s" % name, 0.0)
        return LadderOutcome(job.id, "", "untestable", "killed by %s" % name, 0.0, machine=True)
    if os.WEXITSTATUS(status) != 0:
        trouble = "the machine ran out of memory or disk space"
        return LadderOutcome(job.id, "", "untestable", trouble, 0.0, machine=True)
    return None


def _about_the_rest(
    job: LadderJob, began: Optional[str], told: List[str], ending: Optional[LadderOutcome], tell: Hear
) -> None:
    """The step that the child did not come back from has its ending; those after it were not tried."""
    if ending is None:
        return
    for name in job.steps:
        if name in told:
            continue
        if name == began or ending.machine:
            tell(ending._replace(capability=name))
        else:
            error = "not tried: %s did not come back" % began
            tell(LadderOutcome(job.id, name, "untestable", error, 0.0, blocked=True))


def _in_the_child(job: LadderJob, write_end: int, parent: int) -> None:
    status = 71
    try:
        # The threads of the parent, its watch on the controller among them, do not exist in a fork.
        end_with_parent(parent)

        def say(line: object) -> None:
            data = (json.dumps(line) + "\n").encode("utf-8")
            while data:
                data = data[os.write(write_end, data) :]

        climb(job, lambda name: say({"began": name}), lambda outcome: say(encode(outcome)))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
