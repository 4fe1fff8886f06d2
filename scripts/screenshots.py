"""Write the pictures of the docs: `make screenshots`. Pages of made-up runs, in the Chromium that the tests find."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.browser import Browser, find_browser  # noqa: E402
from tests.support.checkpoints import llama_shapes  # noqa: E402
from tests.support.manifests import FULL  # noqa: E402
from tests.support.merge_records import DRIFT, VERIFICATION, merge_record  # noqa: E402

from envpin.core.resources import data_path  # noqa: E402
from envpin.matrix.load import load_matrix  # noqa: E402
from envpin.matrix.results import evidence_path, load_results  # noqa: E402
from envpin.matrix.support import load_support  # noqa: E402
from envpin.replay.reverify import Reverified  # noqa: E402
from envpin.report.manifest_page import render_manifest  # noqa: E402
from envpin.report.matrix_page import render_matrix  # noqa: E402
from envpin.report.merge_page import render_merge  # noqa: E402

IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1000, 900


def pages() -> dict[str, str]:
    """The text of each page, by the name of its picture."""
    names = [*llama_shapes(layers=16)]
    touched = [name for name in names if "q_proj" in name or "v_proj" in name]
    figures = {"untouched": len(names) - len(touched) - 1, "changed": len(touched) + 1}
    rows = {"recomputed": {"tensors": len(touched) + 1, "rows": 2112, "worst": 0.75}}
    record = merge_record(
        kind="explained-drift", names=names, differences=[DRIFT], verification={**VERIFICATION, **figures, **rows}
    )
    record.merge["operations"] = [{"tensors": [name]} for name in [*touched, "model.embed_tokens.weight"]]
    verified = Reverified(record=record, files=9, size=1, differences=())
    matrix = load_matrix(data_path("compat_matrix.toml"))
    evidence = load_results(evidence_path(None))
    return {
        "report-merge": render_merge(record, place="merged", verified=verified),
        "report-manifest": render_manifest(FULL, place="adapter"),
        "matrix": render_matrix(matrix, load_support(), evidence, day="2026-11-29"),
    }


def main() -> int:
    program = find_browser()
    if program is None:
        print("no Chromium was found: set ENVPIN_TEST_CHROMIUM", file=sys.stderr)
        return 4
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(program, Path(folder) / "profile")
        for name, text in pages().items():
            page = Path(folder) / f"{name}.html"
            page.write_text(text, encoding="utf-8")
            browser.window(WIDTH, HEIGHT)
            browser.open(page.as_uri())
            browser.screenshot(IMAGES / f"{name}.png")
            print(IMAGES / f"{name}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
