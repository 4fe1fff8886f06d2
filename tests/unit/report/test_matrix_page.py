"""The heat map as a page: whole, small, and nothing in it is taken for markup."""

from __future__ import annotations

import json
import re
from typing import Any

from envpin.core.resources import data_path
from envpin.matrix.load import load_matrix
from envpin.matrix.support import load_support
from envpin.report.matrix_page import MARK, render_matrix
from tests.support.heat_map import HOSTILE, hostile_page, run

SUPPORT = load_support()
MATRIX = load_matrix(data_path("compat_matrix.toml"))


def embedded(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    document: dict[str, Any] = json.loads(found)
    return document


def test_the_page_is_whole_and_small() -> None:
    entries = {one.id: one for one in run("4.43.1", *["ok"] * 6) + run("4.42.4", "fail", error="ValueError: `rope`")}
    text = render_matrix(MATRIX, SUPPORT, entries, day="2026-11-27")
    assert MARK in text[:1000]
    assert "default-src 'none'" in text
    assert len(text.encode()) < 2_000_000
    assert text.count("<tr data-family=") == 2 * len(MATRIX.families)
    assert not re.findall(r"(?:src|srcset|action)\s*=|url\(|@import|\bfetch\(|XMLHttpRequest", text)
    data = embedded(text)
    assert [one["id"] for one in data["families"]] == list(MATRIX.families)
    (llama,) = [one for one in data["families"] if one["id"] == "llama3.1"]
    assert [one["packages"]["transformers"] for one in llama["runs"]] == ["4.42.4", "4.43.1"]
    assert llama["runs"][0]["said"] == {"load": "ValueError: `rope`"}
    assert set(data["types"]) == set(SUPPORT.model_types)


def test_nothing_of_the_matrix_becomes_markup() -> None:
    text = hostile_page(HOSTILE)
    assert "window.broken=1</script>" not in text
    assert "<img" not in text
    assert "49" not in re.findall(r"<th scope=\"row\">(.*?)</th>", text, re.DOTALL)[0]
    (family,) = embedded(text)["families"]
    assert family["title"] == HOSTILE
    assert family["runs"][0]["said"] == {"load": HOSTILE}
