"""What strangers wrote, in every page that envpin writes, in a real browser: none of it runs or is fetched."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from envpin.cli.render import bisect_answer
from envpin.cli.render.bisect import document
from envpin.report.bisect_page import render, render_environments
from tests.support.bisect_reports import report
from tests.support.browser import Browser, find_browser
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.command import envpin
from tests.support.heat_map import HOSTILE, hostile_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHROMIUM = find_browser()
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("ENVPIN_TEST_NEEDS_CHROMIUM"),
        reason="no Chromium here; .ci/run installs one, or set ENVPIN_TEST_CHROMIUM",
    ),
    pytest.mark.xdist_group("chromium"),
]
TEXTS = (
    HOSTILE, "\"><svg onload=window.broken=1>", "javascript:window.broken=1", "' onmouseover=window.broken=1 x='",
    "<a href='javascript:window.broken=1'>x</a>", "--><script>window.broken=1</script><!--",
    "<iframe srcdoc='<script>parent.broken=1</script>'>", "\\u003cimg src=x onerror=window.broken=1\\u003e",
    "<meta http-equiv=refresh content='0;url=https://evil.test/'>", "<link rel=stylesheet href=https://evil.test/x>",
)  # fmt: skip
# Every element is pointed at, focused and clicked, as a curious reader does.
PROVOKE = """
[...document.querySelectorAll("*")].forEach((one) => {
  for (const name of ["mouseover", "mouseenter", "focus", "click", "toggle", "load", "error"])
    try { one.dispatchEvent(new MouseEvent(name, {bubbles: true, cancelable: true})); } catch (_) {}
});
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None, "ENVPIN_TEST_NEEDS_CHROMIUM is set, and there is none"
    opened = Browser(CHROMIUM, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def hold_harmless(browser: Browser, page: Path) -> None:
    browser.requests.clear()
    browser.open(page.as_uri())
    browser.run(PROVOKE)
    browser.run("new Promise((done) => setTimeout(done, 100))")
    assert browser.run("window.broken") is None, page
    assert {one.split("#")[0] for one in browser.requests} <= {page.as_uri(), "about:blank", "data:,"}
    assert browser.run("document.body.textContent.length") > 100


def test_the_browser_would_show_it(browser: Browser, tmp_path: Path) -> None:
    """The same text in a page that escapes nothing does run."""
    page = tmp_path / "bad.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><p>{'x' * 200}{TEXTS[1]}", encoding="utf-8")
    with pytest.raises(AssertionError):
        hold_harmless(browser, page)


def test_page_of_a_scan(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    for number, text in enumerate(TEXTS):
        name = text.replace("/", "\u2215")
        manifest = json.dumps({"schema": 1, "faults": [text], "base": {"id": text}})
        write_adapter(folder / name[:80], lora_shapes(llama_shapes(layers=1)))
        config = folder / name[:80] / "adapter_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": text,
                                      "peft_type": text if number % 2 else "LORA", "peft_version": text,
                                      "target_modules": [text]}))  # fmt: skip
        model = write_model(folder / f"m{name}"[:80], llama_shapes(layers=1))
        (model / "config.json").write_text(json.dumps({"model_type": text, "architectures": [text], "vocab_size": 3}))
        (model / "envpin-merge.json").write_text(json.dumps({"schema": 1, "envpin": text}))
        (folder / name[:80] / "envpin.json").write_text(manifest)
    page = tmp_path / "scan.html"
    completed = envpin("scan", folder, "--html", page, cwd=tmp_path)
    assert completed.status in {0, 1}, completed.stderr
    hold_harmless(browser, page)


@pytest.mark.parametrize("text", TEXTS)
def test_page_of_the_matrix(text: str, browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "matrix.html"
    page.write_text(hostile_page(text), encoding="utf-8")
    hold_harmless(browser, page)


@pytest.mark.parametrize("kind", ["named", "range", "undecided"])
def test_page_of_a_search(kind: str, browser: Browser, tmp_path: Path) -> None:
    found = report(kind, 1, 4) if kind != "named" else report()
    page = tmp_path / "bisect.html"
    issue = bisect_answer.issue(found)
    page.write_text(render(document(found), headline=HOSTILE, issue=issue + HOSTILE), encoding="utf-8")
    hold_harmless(browser, page)


@pytest.mark.parametrize("text", TEXTS)
def test_page_of_a_search_over_environments(text: str, browser: Browser, tmp_path: Path) -> None:
    change = {"package": text, "good": text, "bad": text}
    question = {"probe": {"command": [text]}, "good": text, "bad": text, "python": text}
    row = {"moved": [text], "verdict": "bad", "error": text, "seconds": 1.0, "again": True}
    body = {"question": question, "needed": [change], "carried": [change], "left_out": [change], "proved": False,
            "unproved": [text], "changes": 3, "sets_tested": 1, "sets": [row], "releases": {text: document(report())},
            "log": text}  # fmt: skip
    page = tmp_path / "environments.html"
    page.write_text(render_environments(body, headline=text, words=[text, text]), encoding="utf-8")
    hold_harmless(browser, page)
