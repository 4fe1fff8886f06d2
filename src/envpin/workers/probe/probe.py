"""One probe: does this environment do what the action asks? What happened comes back as data, never as a crash."""

from __future__ import annotations

import os
import sys
import time
import traceback
from typing import List, Optional

from ..protocol import Events, KnownError
from ..requests import ProbeRequest
from ..results import ProbeFailure, ProbeResult
from . import actions


def run(request: ProbeRequest, events: Events) -> ProbeResult:
    action = actions.ACTIONS.get(request.action)
    if action is None:
        raise KnownError("unknown-action", "there is no action `%s`" % request.action)
    begun = time.time()
    details: actions.Details = {}
    failure: Optional[ProbeFailure] = None
    events.step("probe", request.action)
    try:
        action(request, details)
    except KnownError:
        raise
    except MemoryError:
        raise  # the machine's trouble, not the release's
    except OSError as error:
        if error.errno is not None and machine_trouble(error):
            raise
        failure = described(error)
    except (Exception, SystemExit) as error:
        failure = described(error)
    status = "passed" if failure is None else "failed"
    return ProbeResult(status, details, round(time.time() - begun, 3), failure)


def machine_trouble(error: OSError) -> bool:
    """A full or failing disk says nothing about a release."""
    import errno

    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENOMEM)


def described(error: BaseException) -> ProbeFailure:
    """An exception as data. `modules` are the files of site-packages that its traceback passes through, outermost
    first, relative to that folder."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    frames: List[str] = []
    cause: Optional[BaseException] = error
    while cause is not None:
        frames = [frame.filename for frame in traceback.extract_tb(cause.__traceback__)] + frames
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    modules: List[str] = []
    for path in frames:
        relative = _inside_site_packages(path)
        if relative is not None and relative not in modules:
            modules.append(relative)
    kind = type(error)
    name = kind.__name__ if kind.__module__ in ("builtins", actions.__name__) else kind.__qualname__
    text = "".join(lines)
    return ProbeFailure(name, str(error)[:4000], text[-12000:], tuple(modules[-40:]))


def _inside_site_packages(path: str) -> Optional[str]:
    for entry in sys.path:
        if os.path.basename(entry) == "site-packages" and path.startswith(entry + os.sep):
            return os.path.relpath(path, entry).replace(os.sep, "/")
    return None
