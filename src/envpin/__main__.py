"""`python -m envpin`."""

from __future__ import annotations

import os
import sys

# `-m` puts the working folder first in the path, and a stranger's model may be in there, with a `json.py` of its own.
if not sys.flags.safe_path:
    try:  # noqa: SIM105  contextlib would be looked for there
        sys.path[:1] = [] if sys.path[0] in {"", os.getcwd()} else sys.path[:1]  # noqa: PTH109
    except (OSError, IndexError):  # the folder is gone
        pass

try:
    from envpin.cli.main import run_and_end
except KeyboardInterrupt:
    sys.exit(130)

sys.exit(run_and_end())
