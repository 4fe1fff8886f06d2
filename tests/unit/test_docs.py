"""The documents name what exists: files, folders, tests, pages; decisions have their form and are in the index."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.places import ROOT, SOURCE
from tests.support.reference import generator
from tests.support.transcripts import Transcript, matches, transcripts

if TYPE_CHECKING:
    from pathlib import Path

# What strangers wrote, and adapters' cards: no pages of ours.
DATA = ROOT / "tests" / "data"
PAGES = sorted(
    path
    for found in (ROOT.glob("*.md"), *(folder.rglob("*.md") for folder in (ROOT / "docs", SOURCE, ROOT / "tests")))
    for path in found
    if DATA not in path.parents
)
DECISIONS = sorted((ROOT / "docs" / "adr").glob("0*.md"))
SECTIONS = {"Context", "Decision", "Alternatives", "Consequences"}
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_CODE = re.compile(r"`([^`\n]+)`")
# Paths of this repository: from its root, or a module of the package or the tests.
_OURS = re.compile(r"(?:src|tests|docs|scripts|benchmarks|lockfiles)/[\w./*-]*(?:::\w+)?|[\w-]+(?:/[\w-]+)*/\w+\.py")


def named_paths(text: str) -> list[str]:
    return [code for code in _CODE.findall(text) if _OURS.fullmatch(code)]


def exists(name: str) -> bool:
    """Whether this is a file or folder of the repository, or the package; with `::name`, whether the test is in it."""
    path, _, test = name.partition("::")
    found = [one for place in (ROOT, SOURCE, SOURCE.parent) for one in place.glob(path.rstrip("/")) if path]
    return bool(found) and (
        not test or any(re.search(rf"def {test}\b", one.read_text(encoding="utf-8")) for one in found)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in _LINK.findall(text) if "://" not in link and not link.startswith("mailto:")]
    assert not [link for link in links if not (page.parent / link).exists()]
    assert not [name for name in named_paths(text) if not exists(name)]


def test_named_paths_finds_what_it_should() -> None:
    text = "`src/envpin/gone.py` `tests/x.py::test_a` `checkpoint/gone.py` `envpin check` `org/model` `out/config.json`"
    assert named_paths(text) == ["src/envpin/gone.py", "tests/x.py::test_a", "checkpoint/gone.py"]
    assert not any(map(exists, named_paths(text)))
    assert exists("tests/unit/test_docs.py::test_named_paths_finds_what_it_should")
    assert not exists("tests/unit/test_docs.py::test_of_no_such_name")


def test_every_page_of_the_docs_is_on_the_map() -> None:
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / link).resolve() for link in _LINK.findall(text)}
    pages = {page for page in (ROOT / "docs").rglob("*") if page.suffix in {".md", ".json"}}
    assert {page for page in pages if page.name != "README.md"} - set(DECISIONS) <= linked
    assert ROOT / "docs" / "adr" / "README.md" in linked


def test_the_reference_is_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name, text in generator().pages().items():
        written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
        assert written == text, f"{name} is stale: run .venv/bin/python scripts/reference_pages.py, and commit it"


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_its_form(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(rf"# {int(page.name[:4])}\. \S.*", lines[0])
    assert re.match(r"- Status: (?:proposed|accepted|superseded by \[\d+\]\()", lines[2]), lines[2]
    assert dt.date.fromisoformat(lines[3].removeprefix("- Date: "))
    assert {line[3:] for line in lines if line.startswith("## ")} == SECTIONS


def test_the_index_of_decisions_is_complete() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d+)\]\(([^)]+)\) \| (.+) \| (\w+) \| (\S+) \|$", index, re.MULTILINE)
    expected = []
    for page in DECISIONS:
        title, _, status, date = page.read_text(encoding="utf-8").splitlines()[:4]
        number, _, words = title.removeprefix("# ").partition(". ")
        expected.append((number, page.name, words, status.split()[2].rstrip(";"), date.split()[-1]))
    assert rows == expected


@pytest.mark.parametrize("what", ["log signature", "peft method", "trainer", "uv flag", "family"])
def test_contributing_says_in_one_line_where_to_add(what: str) -> None:
    lines = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if re.match(rf"- a {what}\b", line)]
    assert len(found) == 1
    assert named_paths(found[0]), found[0]


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted(SOURCE.glob("diagnose/**/*.toml"))], ids=lambda page: str(page.relative_to(ROOT))
)
def test_pages_say_the_words_of_the_field(page: Path) -> None:
    """Left: what newcomers had to guess. Samples of logs are other people's words."""
    text = "\n".join(line for line in page.read_text(encoding="utf-8").splitlines() if not line.startswith("sample ="))
    assert not re.findall(r"\b(?:beside|likeliest|anew|mends?|mended|stands? twice|truth values?|insists?)\b", text)


def test_the_exit_codes_of_the_page_are_those_of_the_errors() -> None:
    """0, and 6 with `--require-base`, are no errors."""
    pages = [
        (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") for name in ("exit-codes.md", "errors.md")
    ]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", pages[0], re.MULTILINE)}
    of_errors = {int(code) for code in re.findall(r"^\| `[a-z-]+` \| (\d+) \|", pages[1], re.MULTILINE)}
    assert of_errors
    assert told == of_errors | {0, 6}


@pytest.mark.parametrize(
    "tool",
    ["uv", "conda", "pip freeze", "MLflow", "W&B", "DVC", "axolotl's merge", "merge_and_unload", "deltalint", "renest"],
)
def test_the_comparison_says_of_each_tool_what_it_does_better(tool: str) -> None:
    page = (ROOT / "docs" / "explanation" / "comparison.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| ") and tool in line.split("|")[1]]
    assert len(row.split("|")[2].split()) > 4


def test_transcripts_finds_every_command_with_its_output() -> None:
    page = "```console\n$ one\na\nb\n$ two\n```\n\n    $ not\n\n```python\n$ nor\n```\n\n```console\n$ three\nc\n```\n"
    assert transcripts(page) == [
        Transcript(command="one", expected="a\nb\n"),
        Transcript(command="two", expected=""),
        Transcript(command="three", expected="c\n"),
    ]


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("", ""),
        ("a b\n", "a\n    b\n"),
        ("…\nb\n", "a\nb\n"),
        ("…\nb\n", "b\n"),
        ("a\n…\nc\n…\n", "a\nb\nc\n"),
        ("out /tmp/tutorial/x\n", "out /var/tmp/y/x\n"),
        ("✓ built: 39 packages in 11.4 s\n", "✓ built: 39 packages\n"),
        ("outputs = 0.00332 / 0.786 = 0.00423\n", "outputs = 2e-05 / 0.7 = 0.1\n"),
    ],
)
def test_matches_ignores_what_varies(expected: str, actual: str) -> None:
    assert matches(expected, actual, "/tmp/tutorial", "/var/tmp/y")


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("", "warning\n"),
        ("a\n", ""),
        ("a\n", "a\nb\n"),
        ("…\nb\n", "a\nbb\n"),
        ("verdict identical\n", "verdict identical-environment\n"),
        ("16 tensors\n", "17 tensors\n"),
        ("a\n…\nb\n", "b\na\n"),
    ],
)
def test_matches_sees_every_other_difference(expected: str, actual: str) -> None:
    assert not matches(expected, actual, "/tmp/tutorial")


def test_nothing_tells_to_install_envpin_from_an_index() -> None:
    """It is on none yet: whoever takes the name there would be installed."""
    told = re.compile(r"(?:pip|pipx|uvx?|tool) install [^\n`#]*?(?<![\w./-])envpin(?![\w/-])|uvx envpin")
    faults = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in (*PAGES, *SOURCE.rglob("*.py"))
        for found in told.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not faults, "\n".join(faults)
