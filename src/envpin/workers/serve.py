"""A worker that imports the environment's libraries once and answers each request in a fork of itself.

Reads one JSON object a line from stdin, {"verb", "request", "result", "log"} (the last three are files), and writes one
line to stdout for each: the exit status of the fork, negative where a signal ended it. Ends with its stdin.
"""

import gc
import importlib
import json
import os
import sys
from typing import Callable, List

from .runtime.parent import end_with_parent

_STDOUT, _STDERR = 1, 2


def serve(imports: List[str], answer: Callable[[str, str, str], int]) -> int:
    """`answer` takes a verb and the files of its request and result, and returns an exit status."""
    # What is imported stays: looking through it for garbage again and again takes a tenth of the time of importing it.
    gc.disable()
    for name in imports:
        _import(name)
    gc.freeze()
    gc.enable()
    for line in sys.stdin:
        job = json.loads(line)
        # Nothing that this process has buffered may be written twice.
        sys.stdout.flush()
        sys.stderr.flush()
        own = os.getpid()
        child = os.fork()
        if child == 0:
            _become(own, job["log"])
            os._exit(_answered(answer, job))
        _, status = os.waitpid(child, 0)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        sys.stdout.write("%d\n" % code)
        sys.stdout.flush()
    return 0


def _import(name: str) -> None:
    """What this environment lacks, or cannot import, the verb that needs it reports in its own words."""
    try:
        module, _, attribute = name.partition(":")
        found = importlib.import_module(module)
        if attribute:
            getattr(found, attribute)  # transformers imports a class's module when the class is asked for
    except Exception:
        sys.stderr.write("could not import %s beforehand\n" % name)


def _become(parent: int, log: str) -> None:
    end_with_parent(parent)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, _STDOUT)
    os.dup2(descriptor, _STDERR)
    os.close(descriptor)


def _answered(answer: Callable[[str, str, str], int], job: "dict[str, str]") -> int:
    """As an interpreter ends: a traceback and status 1 for what nobody foresaw, and all that was printed is written."""
    import traceback

    try:
        return answer(job["verb"], job["request"], job["result"])
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
