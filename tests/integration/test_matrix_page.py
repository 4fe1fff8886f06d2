"""The page of the matrix in a real browser: what it shows, how it is used by keyboard, that it asks for nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envpin.core.resources import data_path
from envpin.matrix.load import load_matrix
from envpin.matrix.match import match
from envpin.matrix.support import load_support
from envpin.report.matrix_page import render_matrix
from tests.support.browser import Browser, find_browser
from tests.support.heat_map import HOSTILE, hostile_page, run

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = find_browser()
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("ENVPIN_TEST_NEEDS_CHROMIUM"),
        reason="no Chromium here; .ci/run installs one, or set ENVPIN_TEST_CHROMIUM",
    ),
    pytest.mark.xdist_group("chromium"),
]
CONFIGS = Path(__file__).resolve().parents[1] / "data" / "configs"
MATRIX, SUPPORT = load_matrix(data_path("compat_matrix.toml")), load_support()
LLAMA_31 = (CONFIGS / "meta-llama--Meta-Llama-3.1-8B-Instruct.json").read_text()
TRAPS: dict[str, Any] = {
    "empty": {}, "no type": {"vocab_size": 3}, "nothing near": {"model_type": "zzz"},
    "newer than any": {"model_type": "llama9", "transformers_version": "9.1.0"},
    "only in the wheels": {"model_type": "codegen", "transformers_version": "4.47.1"},
    "older than peft": {"model_type": "xglm", "transformers_version": "4.21.0.dev0"},
    "by its class": {"architectures": ["Qwen2VLForConditionalGeneration"]},
    "of transformers 5": {"model_type": "llama", "vocab_size": 128256, "transformers_version": "5.1.0",
                          "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "rope_theta": 500000.0}},
    "grown": {**json.loads(LLAMA_31), "vocab_size": 128258},
    "quantized since": {**json.loads(LLAMA_31), "quantization_config": {"quant_method": "compressed-tensors"}},
    "quantized always": {**json.loads(LLAMA_31), "quantization_config": {"load_in_4bit": True}},
    "quantized elsewhere": {**json.loads(LLAMA_31), "quantization_config": {"quant_method": "modelopt"}},
    "quantized by MLX": {**json.loads(LLAMA_31), "quantization": {"bits": 4, "group_size": 64},
                         "quantization_config": {"bits": 4, "group_size": 64}},
    "compressed at first": {**json.loads(LLAMA_31), "compression_config": {"quant_method": "compressed-tensors"}},
    "a newer part": {"model_type": "llava", "text_config": {"model_type": "ministral3"}},
    "a part of its time": {"model_type": "llava", "text_config": {"model_type": "llama"}},
    "an unknown part": {"model_type": "llava", "text_config": {"model_type": "zzz"}},
    "a newer part, not listed": {"model_type": "llava_onevision", "text_config": {"model_type": "qwen3"}},
    "another class": {"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"], "mm_vision_tower": "x"},
    "a draft": {"model_type": "llama", "architectures": ["LlamaForCausalLMEagle3"]},
    "letters of a class": {"architectures": ["GPTNeoXForCausalLM"]},
    "another order": {"architectures": ["HunYuanDenseV1Model"]},
    "two conditions": {"model_type": "mixtral", "hidden_size": 4096, "num_attention_heads": 40, "head_dim": 128,
                       "rope_scaling": {"type": "yarn", "factor": 4.0}},
}  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None, "ENVPIN_TEST_NEEDS_CHROMIUM is set, and there is none"
    opened = Browser(CHROMIUM, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = run("4.43.1", *["ok"] * 6) + run("4.42.4", "fail", "untestable", error="ValueError: `rope_scaling` must be")
    path = tmp_path_factory.mktemp("page") / "m.html"
    path.write_text(render_matrix(MATRIX, SUPPORT, {one.id: one for one in runs}, day="2026-11-27"), encoding="utf-8")
    return path


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Browser]:
    browser.requests.clear()
    browser.faults.clear()
    browser.window(1400, 900)
    browser.open(file.as_uri())
    yield browser
    assert browser.faults == []
    assert {one.split("#")[0] for one in browser.requests} <= {file.as_uri(), "about:blank", "data:,"}


def ask(page: Browser, text: str) -> None:
    page.run("document.getElementById('query').value = ''; document.getElementById('query').focus()")
    page.type(text)
    page.settle("document.getElementById('told').textContent !== ''")


def shown(page: Browser) -> str:
    return str(page.run("document.getElementById('answer').hidden ? '' : document.getElementById('answer').innerText"))


def same(page: Browser, config: Any, name: str | None) -> None:
    theirs = page.run(f"envpinMatch({json.dumps(config)}, {json.dumps(name)})")
    ours = match(config, name, MATRIX, SUPPORT)
    assert theirs == {
        "family": ours.family.id if ours.family else None, "certainty": ours.certainty,
        "pins": dict(ours.pins) or None, "alternatives": list(ours.alternatives),
    }, (config, name)  # fmt: skip


def test_it_recognises_what_resolve_recognises(page: Browser) -> None:
    paths = sorted(CONFIGS.iterdir())
    assert len(paths) >= 60
    for path in paths:
        name, config = path.stem.replace("--", "/"), json.loads(path.read_text())
        for one in (name, None, "Qwen2.5-7B-finetune"):
            same(page, config, one)
        same(page, None, name)
    for name in ("phi4", "gpt_oss", "qwen2.5vl", "qwen3:8b", "someone/phi4", "command-r-plus"):
        same(page, None, name)
    for config in TRAPS.values():
        for one in (None, "meta-llama/Llama-3.1-8B", "nobody/nothing"):
            same(page, config, one)


# What transformers 5 writes otherwise than 4: at the defaults of 4, away from them, and of layers with an angle each.
SPELT = [
    {"model_type": kind, "architectures": [name], **fields}
    for kind, name in (
        ("mixtral", "MixtralForCausalLM"), ("qwen3_moe", "Qwen3MoeForCausalLM"), ("gpt_oss", "GptOssForCausalLM"),
        ("gemma3_text", "Gemma3ForCausalLM"), ("phi3", "Phi3ForCausalLM"), ("llama", "LlamaForCausalLM"),
    )
    for fields in (
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 0.75}},
        {"rope_parameters": {"rope_type": "yarn", "factor": 32.0, "rope_theta": 15e4}},
        {"rope_parameters": {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 2e4}}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}, "num_local_experts": 8},
        {"text_config": {"model_type": "qwen2_5_vl_text", "rope_parameters": {"mrope_section": [16, 24, 24]}}},
    )
]  # fmt: skip


@pytest.mark.parametrize("config", SPELT, ids=lambda one: f"{one['model_type']}-{list(one)[-1]}")
def test_it_reads_what_transformers_5_writes_as_resolve_does(page: Browser, config: dict[str, Any]) -> None:
    same(page, config, None)


def test_a_pasted_config_is_answered_with_reasons_and_commands(page: Browser) -> None:
    ask(page, LLAMA_31)
    text = shown(page)
    assert page.run("document.getElementById('told').textContent") == "This is Llama 3.1."
    assert "rope_scaling.rope_type is llama3" in text
    assert "envpin run llama3.1 -- python train.py" in text
    assert 'pip install "transformers==4.43.1"' in text
    assert "a rope_scaling of rope_type llama3 is refused" in text


@pytest.mark.parametrize(
    ("text", "said", "answer"),
    [
        ("qwen2.5-vl", "One family.", "Qwen2.5-VL"), ("Qwen/Qwen3-0.6B", "By its name this is Qwen3.", "qwen3"),
        ("codegen", "codegen is a model type", "transformers 4.21.0 and later"),
        ("xyzzy", "Nothing is called like that", ""),
        ("llama", "families.", ""), ('{"model_type": ', "not a whole JSON document yet", ""),
        ("{}", "Nothing was recognised", ""),
        ('{"model_type": "kimi_k2"}', "This is Kimi-K2", "No versions can be pinned"),
        ('{"model_type": "zzzz"}', "Nothing was recognised", "No release of transformers"),
    ],
)  # fmt: skip
def test_questions(page: Browser, text: str, said: str, answer: str) -> None:
    ask(page, text)
    assert said in page.run("document.getElementById('told').textContent")
    assert answer in shown(page)
    assert bool(answer) == bool(shown(page))


def test_a_search_leaves_only_what_fits(page: Browser) -> None:
    everything = page.run("document.querySelectorAll('#grid tbody tr:not([hidden])').length")
    assert everything == len(MATRIX.families)
    ask(page, "gemma")
    left = page.run("[...document.querySelectorAll('#grid tbody tr:not([hidden])')].map(one => one.dataset.family)")
    assert left == [one for one in MATRIX.families if "gemma" in one]
    page.press("Escape")
    page.settle(f"document.querySelectorAll('#grid tbody tr:not([hidden])').length === {everything}")


def test_the_map_is_used_by_keyboard(page: Browser) -> None:
    assert page.run("document.querySelectorAll('#grid td[tabindex=\"0\"]').length") == 1
    page.run(
        "const row = document.querySelector('#grid tr[data-family=\"llama3.1\"]');"
        "row.cells[1 + JSON.parse(document.getElementById('data').textContent).series.indexOf('4.43')].focus()"
    )
    page.press("ArrowLeft")
    label = page.run("document.activeElement.getAttribute('aria-label')")
    assert label == "Llama 3.1, transformers 4.42: does not load; a known break applies"
    page.press("Home")
    assert page.run("document.activeElement.textContent") == "Llama 3.1"
    page.press("ArrowDown")
    assert page.run("document.activeElement.textContent") == "Llama 3.2 (text)"
    page.press("Enter")
    page.settle("location.hash === '#llama3.2'")
    page.settle("document.getElementById('answer').contains(document.activeElement)")  # or it takes the focus later
    page.run("document.querySelector('#grid tr[data-family=\"llama3.1\"] td:nth-child(34)').focus()")
    assert page.run("document.activeElement.getAttribute('aria-label')") == label
    page.press("Enter")
    page.settle("location.hash === '#llama3.1@4.42'")
    page.settle("document.getElementById('answer').contains(document.activeElement)")
    text = shown(page)
    assert "ValueError: `rope_scaling` must be" in text
    assert "Breaks that apply here" in text
    assert page.run("document.querySelectorAll('#grid tbody [tabindex=\"0\"]').length") == 1


def test_an_address_opens_a_family(page: Browser, file: Path) -> None:
    page.open(file.as_uri() + "#llama3.1@4.43")
    assert "merged and verified" in shown(page)
    page.open(file.as_uri() + "#%E0%A4%A")
    assert shown(page) == ""


def luminance(page: Browser) -> float:
    script = "getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3).map(Number)"
    return float(sum(page.run(script))) / 3


def test_light_dark_and_the_switch(page: Browser, file: Path) -> None:
    assert luminance(page) > 200
    page.window(1400, 900, dark=True)
    assert luminance(page) < 40
    for theme, dark in (("light", False), ("dark", True), ("auto", True)):
        page.run("document.getElementById('theme').click()")
        assert page.run("document.getElementById('theme').textContent") == f"Theme: {theme}"
        assert (luminance(page) < 40) == dark


CONTRAST = """
(() => {
  const lum = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(Number).map((v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  return ["load", "train", "merge-verified", "fails"].map((name) => {
    const cell = document.querySelector(`.key.${name}:not(.partly)`), style = getComputedStyle(cell);
    const [one, other] = [lum(style.color), lum(style.backgroundColor)].sort((a, b) => b - a);
    return (one + .05) / (other + .05);
  });
})()
"""  # noqa: E501


@pytest.mark.parametrize("dark", [False, True])
def test_letters_stand_out_from_their_cells(page: Browser, dark: bool) -> None:
    page.window(1400, 900, dark=dark)
    assert min(page.run(CONTRAST)) >= 4.5  # WCAG 2.2, 1.4.3


@pytest.mark.parametrize("width", [320, 390, 768, 1400])
def test_nothing_but_the_tables_scrolls_sideways(page: Browser, width: int) -> None:
    page.window(width, 900)
    ask(page, LLAMA_31)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")


def test_it_prints(page: Browser, tmp_path: Path) -> None:
    page.pdf(tmp_path / "m.pdf")
    assert (tmp_path / "m.pdf").read_bytes().startswith(b"%PDF")
    page.window(1047, 700, media="print")  # A4 landscape less its margins, in CSS pixels
    assert page.run("getComputedStyle(document.getElementById('ask')).display") == "none"
    assert page.run("document.documentElement.scrollWidth <= innerWidth")


def test_hostile_words_stay_words(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    path.write_text(hostile_page(HOSTILE), encoding="utf-8")
    browser.faults.clear()
    browser.window(1400, 900)
    browser.open(path.as_uri() + "#odd")
    assert browser.run("window.broken") is None
    assert HOSTILE in browser.run("document.getElementById('answer').textContent")
    assert browser.run("document.images.length + document.scripts.length") == 2
    ask(browser, json.dumps({"model_type": HOSTILE}))
    assert browser.run("window.broken") is None
    assert browser.faults == []


def test_without_scripts_it_can_be_read(page: Browser, file: Path) -> None:
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(file.as_uri())
        root = page.send("DOM.getDocument", depth=0)["root"]
        for table in ("#grid", "#list"):
            found = page.send("DOM.querySelectorAll", nodeId=root["nodeId"], selector=f"{table} tbody tr")
            assert len(found["nodeIds"]) == len(MATRIX.families)
    finally:
        page.send("Emulation.setScriptExecutionDisabled", value=False)
