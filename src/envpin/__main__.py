"""`python -m envpin`."""

from __future__ import annotations

import sys

try:
    from envpin.cli.main import main
except KeyboardInterrupt:
    sys.exit(130)

sys.exit(main())
