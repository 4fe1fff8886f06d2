"""Every page that envpin writes, in a real browser: no width scrolls sideways, nothing is fetched, keys reach all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from envpin.cli.render import bisect_answer
from envpin.cli.render.bisect import document
from envpin.core.resources import data_path
from envpin.matrix.load import load_matrix
from envpin.matrix.support import load_support
from envpin.report import bisect_page, scan_page
from envpin.report.diff_page import render_diff
from envpin.report.manifest_page import render_manifest
from envpin.report.matrix_page import render_matrix
from envpin.report.merge_page import render_merge
from tests.support.bisect_reports import report
from tests.support.browser import Browser, find_browser
from tests.support.command import answer
from tests.support.heat_map import run
from tests.support.manifests import FULL
from tests.support.merge_records import DRIFT, merge_record, write_merged

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
LONG = "transformers.models." + "qwen3_vl_moe_text." * 12
PAGES = ("merge", "manifest", "diff", "scan", "bisect", "matrix")
# What may scroll, and is reached by no key: neither itself in the order of Tab nor holding anything that is.
UNREACHED = """
[...document.querySelectorAll("body *")].filter((one) => {
  const style = getComputedStyle(one), scrolls = /auto|scroll/.test(style.overflowX + style.overflowY);
  const more = one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1;
  const focus = "[tabindex='0'], a[href], button, input, textarea, summary";
  return scrolls && more && one.clientWidth && !one.matches(focus) && !one.querySelector(focus);
}).map((one) => one.outerHTML.slice(0, 80))
"""
CONTRAST = """
[...document.querySelectorAll(".cell, .key, .state, .dim, .sub, th, td")].filter((one) => one.textContent.trim()).map((one) => {
  const probe = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = (c) => { probe.clearRect(0, 0, 1, 1); probe.fillStyle = c; probe.fillRect(0, 0, 1, 1); return [...probe.getImageData(0, 0, 1, 1).data]; };
  const lum = ([r, g, b]) => { const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * x + .7152 * y + .0722 * z; };
  let back = one; while (back !== document.body && !rgb(getComputedStyle(back).backgroundColor)[3]) back = back.parentElement;
  const [high, low] = [lum(rgb(getComputedStyle(one).color)), lum(rgb(getComputedStyle(back).backgroundColor))].sort((a, b) => b - a);
  return [(high + .05) / (low + .05), one.className || one.tagName];
}).sort((a, b) => a[0] - b[0])[0]
"""  # noqa: E501


def text_of(name: str, folder: Path) -> str:
    """A page with long names, many layers and everything that a page can show."""
    if name == "merge":
        names = [
            f"model.layers.{at}.{part}.weight"
            for at in range(48)
            for part in ("self_attn.q_proj", "mlp.experts.7.up", LONG)
        ]
        return render_merge(
            merge_record(kind="explained-drift", names=names, differences=[DRIFT], notes=[LONG]), place=LONG
        )
    if name == "manifest":
        return render_manifest(FULL, place=LONG)
    if name == "diff":
        change = f'{{"section": "config", "what": "{LONG}", "before": "{LONG}", "after": null}}'
        return render_diff(f'{{"schema": 1, "changes": [{change}], "not_compared": "{LONG}"}}'.encode(), path="x")
    if name == "scan":
        write_merged(folder / "models" / "merged")
        return scan_page.render(answer("scan", folder / "models", "--no-infer"))
    if name == "bisect":
        found = report()
        return bisect_page.render(
            document(found), headline=bisect_answer.headline(found), issue=bisect_answer.issue(found)
        )
    runs = run("4.43.1", *["ok"] * 6)
    matrix = load_matrix(data_path("compat_matrix.toml"))
    return render_matrix(matrix, load_support(), {one.id: one for one in runs}, day="2026-11-27")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None, "ENVPIN_TEST_NEEDS_CHROMIUM is set, and there is none"
    opened = Browser(CHROMIUM, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.mark.parametrize("name", PAGES)
def test_page_fits_every_width_in_light_and_dark_and_asks_for_nothing(
    browser: Browser, tmp_path: Path, name: str
) -> None:
    file = tmp_path / f"{name}.html"
    file.write_text(text_of(name, tmp_path), encoding="utf-8")
    browser.requests.clear()
    browser.faults.clear()
    for width in (400, 800, 1400):
        for dark in (False, True):
            browser.window(width, 900, dark=dark)
            browser.open(file.as_uri())
            assert browser.run("document.documentElement.scrollWidth <= innerWidth"), (width, dark)
            assert browser.run("[...document.querySelectorAll('details')].forEach((one) => one.open = true)") is None
            assert browser.run("document.documentElement.scrollWidth <= innerWidth"), (width, dark, "all open")
            assert browser.run(UNREACHED) == [], (width, dark)
            if name in {"merge", "manifest", "diff"}:
                ratio, where = browser.run(CONTRAST)
                assert ratio >= 4.5, (width, dark, where)  # WCAG 2.2, 1.4.3
    assert browser.faults == []
    assert {one.split("#")[0] for one in browser.requests} <= {file.as_uri(), "about:blank", "data:,"}


@pytest.mark.parametrize("name", ["merge", "manifest", "diff"])
def test_page_prints_with_what_is_folded(browser: Browser, tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.html"
    file.write_text(text_of(name, tmp_path), encoding="utf-8")
    browser.window(794, 1123, media="print")  # A4 in CSS pixels
    browser.open(file.as_uri())
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    if name == "merge":
        assert browser.run("document.querySelector('details table').getBoundingClientRect().height") > 0
    browser.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_tab_goes_through_the_page_of_a_merge(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "merge.html"
    file.write_text(text_of("merge", tmp_path), encoding="utf-8")
    browser.window(1400, 900)
    browser.open(file.as_uri())
    wanted = browser.run(
        "[...document.querySelectorAll(\"a[href], summary, [tabindex='0']\")]"
        ".filter((one) => one.checkVisibility({contentVisibilityAuto: true})).length"
    )
    met = 0
    for _ in range(wanted + 5):
        browser.press("Tab")
        if browser.run("document.activeElement === document.body"):
            break
        met += 1
        outline = browser.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
    assert met == wanted
    assert wanted > 8
