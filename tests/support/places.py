"""Where the tests' own data and the repository lie, so that a test can move without counting folders."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "envpin"
DATA = ROOT / "tests" / "data"
