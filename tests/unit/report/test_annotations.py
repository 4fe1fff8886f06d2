"""Findings as SARIF, workflow commands and JUnit: where each is shown, and that hostile text stays data."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from envpin.core.findings import Evidence, Finding, Severity
from envpin.report.annotations import Subject, anchor_of, github, junit, render, sarif

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "a%b\r\n::error::x <&\"'>\x00\x1b ]]>"


def finding(message: str = "it differs", severity: Severity = "blocker", **seen: object) -> Finding:
    evidence = (Evidence(**seen),) if seen else ()  # type: ignore[arg-type]
    return Finding(code="a-code", severity=severity, message=message, evidence=evidence)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "my adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{\n  "r": 8,\n  "base_model_name_or_path": "base"\n}\n')
    return folder


@pytest.mark.parametrize(
    ("one", "file", "line"),
    [
        (finding(file="adapter_config.json", line=2), "adapter_config.json", 2),
        (finding("`base_model_name_or_path` is no model"), "adapter_config.json", 3),
        (finding("rank", file="adapter_model.safetensors"), "adapter_config.json", 1),
        (None, "adapter_config.json", 1),
    ],
)
def test_anchor_is_the_line_of_the_config(adapter: Path, one: Finding | None, file: str, line: int) -> None:
    anchor = anchor_of(Subject(path=str(adapter)), one, adapter.parent)
    assert (anchor.file, anchor.line) == (f"my adapter/{file}", line)


def test_anchor_of_a_lock_is_the_lock(tmp_path: Path) -> None:
    assert anchor_of(Subject(path=str(tmp_path / "pylock.toml")), finding(), tmp_path).file == "pylock.toml"


@pytest.mark.parametrize(("severity", "level"), [("blocker", "error"), ("warning", "warning"), ("info", "note")])
def test_sarif_has_the_level_of_the_severity(adapter: Path, severity: Severity, level: str) -> None:
    log = sarif([Subject(path=str(adapter), findings=(finding(severity=severity),))], version="1", root=adapter.parent)
    (result,) = log["runs"][0]["results"]
    assert (result["level"], result["kind"], result["ruleId"]) == (level, "fail", "a-code")
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "my%20adapter/adapter_config.json"}, "region": {"startLine": 1}}


def test_what_was_not_compared_is_no_pass_in_any_format(adapter: Path) -> None:
    subject = Subject(path=str(adapter), not_compared="no base found")
    (result,) = sarif([subject], version="1", root=adapter.parent)["runs"][0]["results"]
    assert (result["kind"], result["level"]) == ("open", "none")
    (line,) = github([subject], root=adapter.parent)
    assert line.startswith("::notice ")
    assert ET.fromstring(junit([subject], command="check")).find(".//skipped") is not None  # noqa: S314


def test_what_cannot_be_read_fails(adapter: Path) -> None:
    (line,) = github([Subject(path=str(adapter), problem="truncated")], root=adapter.parent)
    assert line.startswith("::error ")
    assert line.endswith("::truncated")


def test_hostile_text_stays_one_command_and_well_formed(adapter: Path) -> None:
    subject = Subject(path=f"{adapter}\n::error::", findings=(finding(HOSTILE),), not_compared=HOSTILE)
    lines = list(github([subject], root=adapter.parent))
    assert len(lines) == 2
    assert not [line for line in lines if "\n" in line or "\r" in line]
    tree = ET.fromstring(junit([subject], command="check"))  # noqa: S314
    failure = tree.find(".//failure")
    assert failure is not None
    assert "::error::x <&" in failure.attrib["message"]
    text = render([subject], "sarif", command="check", version="1", root=adapter.parent)
    assert json.loads(text)["runs"][0]["results"][0]["message"]["text"].startswith(HOSTILE)


def test_the_same_finding_has_the_same_fingerprint(adapter: Path) -> None:
    def prints(message: str) -> object:
        subject = Subject(path=str(adapter), findings=(finding(message),))
        return sarif([subject], version="1", root=adapter.parent)["runs"][0]["results"][0]["partialFingerprints"]

    assert prints("a") == prints("a") != prints("b")
