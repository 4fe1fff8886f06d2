"""`envpin infer` as a user runs it: what it prints, its document, its exit codes."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.command import answer, envpin
from tests.support.eras import DATA
from tests.support.hub_simulator import HubSimulator
from tests.support.simple_index import SimpleIndex, wheel_bytes

if TYPE_CHECKING:
    from pathlib import Path


def test_a_table_of_signals_and_then_the_answer() -> None:
    completed = envpin("infer", DATA / "peft-0.9" / "run")
    assert completed.status == 0, completed.stderr
    lines = completed.stdout.splitlines()
    assert any(line.startswith("trainer") and line.endswith("HF Trainer") for line in lines)
    assert any(line.split() == ["peft", "0.9.0", "(stated:", "a", "file", "says", "so)"] for line in lines)
    assert any(line.startswith("most likely") and "transformers 4.38.2, peft 0.9.0" in line for line in lines)
    assert lines[-1].startswith("  envpin env create transformers==4.38.2,peft==0.9.0,")
    everything = envpin("infer", DATA / "peft-0.9" / "run", "--all").stdout
    assert "has `use_dora`" in everything
    assert len(everything.splitlines()) > len(lines)


def test_the_document_holds_every_signal(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(DATA / "peft-0.14" / "run", adapter)
    (adapter / "README.md").write_text("- PEFT 0.6.0\n")
    found = answer("infer", adapter, "--base", DATA / "peft-0.14" / "base")
    assert found["schema"] == 1
    assert found["packages"]["peft"]["versions"] == ["0.14.0"]
    assert found["packages"]["transformers"]["confidence"] == "moderate"
    assert [one["says"] for one in found["signals"] if one["contradicted"]] == ["peft 0.6.0"]
    assert {one["strength"] for one in found["signals"]} == {"hard", "strong", "weak"}
    assert found["candidates"][0]["pins"]["peft"] == "0.14.0"
    assert found["lock"] is None


def test_a_disagreement_is_shown(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(DATA / "peft-0.14" / "plain", adapter)
    (adapter / "README.md").write_text("- PEFT 0.6.0\n")
    completed = envpin("infer", adapter)
    assert "✗ 0.6.0" in completed.stdout
    assert "the files disagree" in completed.stdout


def test_what_stops_the_adapter_in_every_environment_is_said_below_the_first(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(DATA / "peft-0.14" / "plain", adapter)
    assert answer("infer", adapter)["in_the_way"] == []
    assert "as it is" not in envpin("infer", adapter).stdout
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "alpha_pattern": -1}))
    completed = envpin("infer", adapter)
    assert completed.status == 0
    assert "would not load and merge there:\n              `alpha_pattern` is -1" in completed.stdout
    assert completed.stdout.splitlines()[-1].startswith("  envpin check ")
    (stopping,) = answer("infer", adapter)["in_the_way"]
    assert (stopping["code"], stopping["severity"]) == ("corrupt-header", "blocker")


def test_saying_nothing_is_said_and_is_exit_status_1(tmp_path: Path) -> None:
    config = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj"], "peft_type": "LORA"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    completed = envpin("infer", tmp_path)
    assert completed.status == 1
    assert "no file says anything about peft or transformers" in completed.stdout
    assert "another program wrote it" in completed.stdout


def test_no_candidate_takes_packages_of_a_day_to_come(tmp_path: Path) -> None:
    config = {"peft_type": "LORA", "base_model_name_or_path": "mistralai/Mistral-7B-v0.1"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    document = json.loads(envpin("infer", tmp_path, "--json").stdout)
    newest = max(one["exclude_newer"] for one in document["candidates"])
    assert "2024" < newest <= dt.datetime.now(dt.UTC).date().isoformat()


def test_a_name_that_no_lock_may_have_is_refused_before_anything_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    refused = envpin("infer", tmp_path, "--lock", tmp_path / "lock.toml")
    assert refused.status == 2
    assert refused.stderr.startswith("error: `lock.toml` is not the name of a lock")


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"peft_type": "LORA"'])
def test_what_cannot_be_read_is_exit_status_2(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "adapter_config.json").write_text(content)
    completed = envpin("infer", tmp_path)
    assert completed.status == 2, completed.stdout
    assert completed.stderr.startswith("error: ")
    assert "Traceback" not in completed.stderr


def test_an_adapter_on_the_hub_is_inferred_from_its_small_files(tmp_path: Path) -> None:
    served = tmp_path / "served"
    shutil.copytree(DATA / "peft-0.15" / "run", served)
    config = json.loads((served / "adapter_config.json").read_text())
    (served / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "user/base"}))
    with (served / "optimizer.pt").open("wb") as stream:
        stream.truncate(5_000_000)
    with HubSimulator() as hub:
        hub.add("user/adapter", served)
        hub.add("user/base", DATA / "peft-0.15" / "base")
        found = answer("infer", "user/adapter", env=hub.variables(tmp_path / "home"), cwd=tmp_path)
        assert hub.bytes_sent < 1_000_000
    assert found["packages"]["peft"]["versions"] == ["0.15.2"]
    assert found["packages"]["transformers"]["versions"] == ["4.51.3"]
    assert found["trainer"]["id"] == "transformers"
    assert found["base"] == "user/base"


def test_a_release_newer_than_what_was_collected_is_asked_of_the_index(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(DATA / "peft-0.21" / "plain", adapter)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "peft_version": "7.1.0"}))
    (adapter / "README.md").unlink()
    with SimpleIndex() as index:
        index.add("peft-7.1.0-py3-none-any.whl", wheel_bytes({}), uploaded="2031-01-01T00:00:00Z")
        variables = {
            "UV_DEFAULT_INDEX": index.url,
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "ENVPIN_HOME": str(tmp_path),
        }
        found = answer("infer", adapter, env=variables)
        assert found["packages"]["peft"]["versions"] == ["7.1.0"]
        # A release that no index lists is a claim that fits nothing, and is called so.
        (adapter / "adapter_config.json").write_text(json.dumps({**config, "peft_version": "7.2.0"}))
        found = answer("infer", adapter, env=variables)
    assert found["packages"]["peft"]["versions"] != ["7.2.0"]
    assert [one["says"] for one in found["signals"] if one["contradicted"]] == [
        "peft_version 7.2.0, which is no release that is known"
    ]
