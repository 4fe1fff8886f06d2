"""The site of the docs builds without a warning, and asks for nothing from elsewhere."""

from __future__ import annotations

import re
import sys

from envpin.core import process
from tests.support.places import ROOT


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere() -> None:
    kept = ROOT / ".cache" / "store"  # where the environments of the tests are, and others use them now
    kept.mkdir(parents=True, exist_ok=True)
    before = kept.stat().st_ino
    completed = process.run([sys.executable, ROOT / "scripts" / "site.py"], cwd=ROOT)
    assert completed.status == 0, completed.stdout + completed.stderr
    assert "No issues found" in completed.stdout + completed.stderr
    assert kept.stat().st_ino == before
    site = ROOT / "build" / "site"
    for page in [*(ROOT / "docs").rglob("*.md"), ROOT / "ARCHITECTURE.md"]:
        built = site / page.relative_to(ROOT).with_suffix(".html")
        built = built.with_name("index.html") if page.name == "README.md" else built
        text = built.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]* src="(?:https?:)?//', text), built
        assert not re.findall(r'<link[^>]* rel="(?:stylesheet|preconnect)"[^>]* href="(?:https?:)?//', text), built
