"""Write docs/reference/findings.md from the catalogue."""

from __future__ import annotations

from pathlib import Path

from envpin.diagnose.catalogue.catalogue import findings_page

if __name__ == "__main__":
    page = Path(__file__).resolve().parents[1] / "docs" / "reference" / "findings.md"
    page.write_text(findings_page(), encoding="utf-8")
