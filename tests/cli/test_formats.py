"""`--format` for CI, on a repository with three adapters: one sound, one broken, one whose base is nowhere."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.command import envpin
from tests.support.sarif import faults


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    write_model(root / "base", llama_shapes())
    write_adapter(root / "good", lora_shapes(llama_shapes()), base="base")
    broken = write_adapter(root / "broken", lora_shapes(llama_shapes(hidden=32)), base="base")
    config = json.loads((broken / "adapter_config.json").read_text())
    (broken / "adapter_config.json").write_text(json.dumps(config, indent=2))
    write_adapter(root / "alone", lora_shapes(llama_shapes()), base="someone/nowhere")
    return root


def printed(repository: Path, *words: object, status: int) -> str:
    completed = envpin(*words, cwd=repository)
    assert completed.status == status, completed.stderr
    return completed.stdout


def test_scan_as_sarif_names_the_broken_adapter_and_leaves_the_uncompared_open(repository: Path) -> None:
    log = json.loads(printed(repository, "scan", ".", "--format", "sarif", status=1))
    (run,) = log["runs"]
    assert (log["version"], run["tool"]["driver"]["name"]) == ("2.1.0", "envpin")
    results = run["results"]
    assert {one["ruleId"] for one in results} == {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    places = {
        (one["level"], one["kind"], one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
        for one in results
    }
    assert ("error", "fail", "broken/adapter_config.json") in places
    assert ("none", "open", "alone/adapter_config.json") in places
    assert not [one for one in places if one[0] == "error" and not one[2].startswith("broken/")]


@pytest.mark.parametrize(
    ("words", "status"),
    [(["scan", "."], 1), (["check", "broken", "--offline"], 1), (["check", "alone", "--offline"], 0)],
)
def test_sarif_is_valid_by_the_schema_of_the_standard(repository: Path, words: list[str], status: int) -> None:
    log = json.loads(printed(repository, *words, "--format", "sarif", status=status))
    assert faults(log) == []
    assert log["runs"][0]["results"]


def test_scan_as_github_annotates_lines_of_the_config(repository: Path) -> None:
    lines = printed(repository, "scan", ".", "--format", "github", status=1).splitlines()
    assert all(line.startswith(("::error file=", "::warning file=", "::notice file=")) for line in lines)
    assert any(line.startswith("::error file=broken/adapter_config.json,line=") for line in lines)
    (left,) = [line for line in lines if "title=envpin not-compared::" in line]
    assert left.startswith("::notice file=alone/adapter_config.json,line=1,")


def test_scan_as_junit_fails_one_and_skips_what_was_not_compared(repository: Path) -> None:
    suite = ET.fromstring(printed(repository, "scan", ".", "--format=junit", status=1))[0]  # noqa: S314  our own output
    states = {Path(case.attrib["name"]).name: {child.tag for child in case} for case in suite}
    assert (suite.attrib["failures"], suite.attrib["skipped"]) == ("1", "1")
    assert "failure" in states["broken"]
    assert "skipped" in states["alone"]
    assert not states["good"] & {"failure", "skipped"}


@pytest.mark.parametrize("name", ["good", "alone"])
def test_check_without_a_blocker_ends_with_0_in_every_format(repository: Path, name: str) -> None:
    for form in ("text", "json", "sarif", "github", "junit"):
        printed(repository, "check", name, "--offline", "--format", form, status=0)


def test_format_json_is_what_json_is(repository: Path) -> None:
    by_format = printed(repository, "check", "broken", "--format", "json", status=1)
    assert by_format == printed(repository, "check", "broken", "--json", status=1)
    assert json.loads(by_format)["blockers"]


def test_errors_are_documents_with_format_json(repository: Path) -> None:
    assert json.loads(printed(repository, "check", "gone", "--format=json", status=2))["error"]["exit_code"] == 2


def test_json_and_another_format_exclude_each_other(repository: Path) -> None:
    assert envpin("scan", ".", "--json", "--format", "sarif", cwd=repository).status == 2


def test_lock_takes_a_format_only_with_check(repository: Path) -> None:
    completed = envpin("lock", "llama3.1", "--format", "sarif", cwd=repository)
    assert completed.status == 2
    assert "--check" in completed.stderr
