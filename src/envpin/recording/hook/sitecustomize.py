# Found by every Python interpreter of a recorded run, because this folder stands first in its PYTHONPATH.
# It installs the recorder, takes itself off the path, and hands over to the sitecustomize that would have been found
# without it. Any Python may come by here: the syntax of this file is that of every version since 2.7.
# mypy: allow-untyped-defs, allow-untyped-calls
import os
import sys


def _install():
    here = os.path.dirname(os.path.abspath(__file__))
    run = os.environ.get("ENVPIN_RECORD", "")
    try:
        if not run:
            return
        # One file for the whole run, opened and closed: the sign that the recorder was loaded at all.
        flags = os.O_CREAT | os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)  # a pipe of that name must not hold the run
        os.close(os.open(os.path.join(run, "seen"), flags, 0o600))
        if sys.version_info >= (3, 8):
            import _envpin_hook

            _envpin_hook.install(run)
        else:
            os.close(os.open(os.path.join(run, "too-old"), flags, 0o600))
    except Exception as error:
        try:
            with open(os.path.join(run, "faults-%d.txt" % os.getpid()), "a") as stream:
                stream.write("installing the recorder: %s: %s\n" % (type(error).__name__, error))
        except Exception:
            pass
    finally:
        sys.path[:] = [entry for entry in sys.path if not _same(entry, here)]
        getattr(sys, "path_importer_cache", {}).pop(here, None)


def _same(entry, here):
    return isinstance(entry, str) and os.path.abspath(entry or os.curdir) == here


def _hand_over():
    """Become the user's own sitecustomize; where there is none, end as an import of nothing ends.

    `site` passes over an ImportError that names `sitecustomize` and reports any other exception: either way it does
    what it would have done without us, and nothing of ours stays in sys.modules under this name.
    """
    ours = sys.modules.pop("sitecustomize", None)
    try:
        __import__("sitecustomize")
    except BaseException:
        if sys.modules.get("sitecustomize") is ours:
            sys.modules.pop("sitecustomize", None)
        raise


_install()
_hand_over()
