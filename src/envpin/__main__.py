"""`python -m envpin`."""

from __future__ import annotations

import sys

from envpin.cli.main import main

sys.exit(main())
