"""Nobody outlives the process that wants its answer."""

import os
import signal
import sys
import threading
import time

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
_POLL_SECONDS = 0.5


def end_with_parent(parent: int) -> None:
    """End this process when `parent`, which started it and waits for it in the same thread, has ended.

    On Linux the kernel sees to it, whatever Python is doing: a regular expression, or an extension that hangs, holds
    the lock without which no thread of Python's runs. The signal is not inherited: each fork asks anew.
    """
    if sys.platform == "linux" and _ask_the_kernel():
        if os.getppid() != parent:  # it ended before we asked
            os._exit(70)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_SECONDS)
        os._exit(70)

    threading.Thread(target=watch, daemon=True).start()


def _ask_the_kernel() -> bool:
    try:
        import ctypes  # an interpreter may be built without it

        return bool(ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False
