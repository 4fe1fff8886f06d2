"""`record --attach`: a manifest for a run that was not recorded, beside one of the same run that was."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from envpin.manifest.read import read_manifest
from tests.support.adapters import copy
from tests.support.command import envpin
from tests.support.environments import pinned
from tests.support.places import DATA

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A real adapter, trained under `record`, with its manifest put aside as `recorded.json`; written just now."""
    folder = copy("grown", tmp_path) / "adapter"
    (folder / "envpin.json").rename(tmp_path / "recorded.json")
    (folder / "adapter_model.safetensors").touch()
    return folder


def test_it_says_what_the_recorded_one_says(adapter: Path, tmp_path: Path) -> None:
    completed = envpin("record", "--attach", adapter, "--python", pinned("peft012").python)
    assert completed.status == 0, completed.stderr
    assert "checked  peft 0.12.0 (README.md)" in completed.stdout
    assert "declared the environment is that of" in completed.stdout
    attached, recorded = read_manifest(adapter), read_manifest(tmp_path / "recorded.json")
    assert attached.distributions == recorded.distributions
    assert attached.python == recorded.python
    assert attached.saved is not None
    assert recorded.saved is not None
    weights = "adapter_model.safetensors"
    assert attached.saved.tensors == recorded.saved.tensors
    assert attached.saved.files[weights] == recorded.saved.files[weights]
    assert attached.torch is not None
    assert recorded.torch is not None
    assert attached.torch.version == recorded.torch.version
    assert attached.base is not None
    assert recorded.base is not None
    same = ("config_sha256", "model_type", "architecture", "embedding_rows", "tie_word_embeddings", "path")
    assert [getattr(attached.base, name) for name in same] == [getattr(recorded.base, name) for name in same]
    assert attached.base.observed == "attached"
    assert attached.tokenizer is not None
    assert recorded.tokenizer is not None
    assert (attached.tokenizer.length, attached.tokenizer.files) == (
        recorded.tokenizer.length, recorded.tokenizer.files
    )  # fmt: skip
    assert attached.attached is not None
    assert attached.attached.checked == ("peft 0.12.0 (README.md)",)
    # A replay takes it as it takes the recorded one: the same environment, which is ready already.
    plan = envpin("replay", "merge", adapter, "-o", tmp_path / "out", "--dry-run", "--json", "--offline")
    assert plan.status == 0, plan.stderr
    assert json.loads(plan.stdout)["plan"]["basis"] == "manifest"


def test_one_that_is_there_is_kept(adapter: Path, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "recorded.json", adapter / "envpin.json")
    before = (adapter / "envpin.json").read_bytes()
    refused = envpin("record", "--attach", adapter, "--python", pinned("peft012").python)
    assert refused.status == 5
    assert (adapter / "envpin.json").read_bytes() == before
    assert envpin("record", "--attach", adapter, "--python", pinned("peft012").python, "--force").status == 0
    assert (adapter / "envpin.json").read_bytes() != before


def test_an_environment_that_the_keys_refute_is_refused(adapter: Path) -> None:
    """peft 0.12.0 does not write `corda_config`, and no file has to name a version for that."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "corda_config": None}))
    refused = envpin("record", "--attach", adapter, "--python", pinned("peft012").python)
    assert refused.status == 1
    assert "corda_config" in refused.stderr
    assert not (adapter / "envpin.json").exists()


def test_an_adapter_of_another_tool_gets_no_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "adapters"
    shutil.copytree(DATA / "cases" / "check" / "mlx-adapter" / "adapters", folder)
    refused = envpin("record", "--attach", folder, "--python", pinned("peft012").python)
    assert refused.status == 2
    assert "MLX LM" in refused.stderr
    assert not (folder / "envpin.json").exists()


def test_a_policy_of_lerobot_gets_no_pins_of_peft(tmp_path: Path) -> None:
    folder = tmp_path / "pretrained_model"
    folder.mkdir()
    (folder / "config.json").write_text('{"type": "act", "input_features": {}, "output_features": {}}')
    (folder / "model.safetensors").write_bytes(b"")
    refused = envpin("record", "--attach", folder, "--python", pinned("peft012").python)
    assert (refused.status, "is a policy of LeRobot (`act`)" in refused.stderr) == (2, True)
    assert not (folder / "envpin.json").exists()


def test_a_key_of_a_later_peft_refutes_an_environment(adapter: Path) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "peft_version": "0.18.1"}))
    refused = envpin("record", "--attach", adapter, "--python", pinned("peft012").python)
    assert refused.status == 1
    assert "adapter_config.json has `peft_version`: peft ≥ 0.18.0" in refused.stderr
    assert not (adapter / "envpin.json").exists()


def test_versions_that_files_state_are_warnings_by_signal_file_and_version(adapter: Path) -> None:
    """A program wrote them, but it may have been another one, or the file a copy: strong signals, none of them hard."""
    (adapter / "README.md").write_text("### Framework versions\n\n- PEFT 0.11.1\n- TRL: 0.9.6\n")
    (adapter / "config.json").write_text(json.dumps({"model_type": "llama", "transformers_version": "4.99.0"}))
    run = adapter / "wandb" / "run-20240902_101112-b2" / "files"
    run.mkdir(parents=True)
    (run / "wandb-metadata.json").write_text('{"python": "CPython 3.8.19", "startedAt": "2024-09-02T10:11:12Z"}')
    done = envpin("record", "--attach", adapter, "--python", pinned("peft012").python, "--json")
    assert done.status == 0, done.stderr
    warnings = json.loads(done.stdout)["warnings"]
    for said in (
        "README.md says peft 0.11.1, the environment has 0.12.0",
        "README.md says trl 0.9.6, the environment has ",
        "config.json says transformers_version 4.99.0, which is no release that is known, the environment has ",
        "wandb/run-20240902_101112-b2/files/wandb-metadata.json says python CPython 3.8.19, the environment has 3.",
    ):
        assert any(line.startswith(said) for line in warnings), (said, warnings)
    assert read_manifest(adapter).attached is not None


def test_what_cannot_be_read_is_named_and_gets_no_manifest(adapter: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    weights.write_text("Entry not found")
    refused = envpin("record", "--attach", adapter, "--python", pinned("peft012").python)
    assert (refused.status, "a text, not weights: `Entry not found`" in refused.stderr) == (2, True)
    weights.unlink()
    refused = envpin("record", "--attach", adapter, "--python", pinned("peft012").python)
    assert (refused.status, "holds no adapter_model.safetensors" in refused.stderr) == (2, True)
    (adapter / "adapter_config.json").write_text("version https://git-lfs.github.com/spec/v1\nsize 902\n")
    refused = envpin("record", "--attach", adapter, "--python", pinned("peft012").python)
    assert (refused.status, "a git-lfs pointer" in refused.stderr) == (2, True)
    assert not (adapter / "envpin.json").exists()


def test_lists_and_the_family_of_the_base_are_doubts_by_name(adapter: Path) -> None:
    (adapter / "README.md").unlink()
    (adapter / "requirements.txt").write_text("transformers==4.30.2\n")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "google/gemma-4-4b"}))
    done = envpin("record", "--attach", adapter, "--python", pinned("peft012").python)
    assert done.status == 0, done.stderr
    said = " ".join(f"{done.stdout} {done.stderr}".split())
    assert "requirements.txt says transformers 4.30.2" in said
    assert "only requirements.txt names versions" in said
    assert "which needs transformers" in said


def test_a_floor_of_a_card_refutes_no_environment_and_another_line_end_hides_no_version(adapter: Path) -> None:
    """`0.11+` is what a reader needs; a version that a program wrote on Windows is one."""
    (adapter / "README.md").write_text("# adapter\n\n- PEFT 0.11+\n- Transformers >= 4.41\n")
    floor = envpin("record", "--attach", adapter, "--python", pinned("peft012").python)
    assert floor.status == 0, floor.stderr
    (adapter / "README.md").write_bytes("- PEFT 0.11.1\r\n".encode("utf-16"))
    exact = envpin("record", "--attach", adapter, "--python", pinned("peft012").python, "--force")
    said = " ".join(f"{exact.stdout} {exact.stderr}".split())
    assert (exact.status, "README.md says peft 0.11.1, the environment has 0.12.0" in said) == (0, True)


def test_the_active_environment_is_taken_and_none_is_an_error(adapter: Path) -> None:
    environment = pinned("peft012")
    none = envpin("record", "--attach", adapter, env={"VIRTUAL_ENV": "", "CONDA_PREFIX": ""})
    assert (none.status, "no environment is active" in none.stderr) == (2, True)
    assert envpin("record", "--attach", adapter, env={"VIRTUAL_ENV": str(environment.path)}).status == 0


def test_what_was_installed_later_is_told(adapter: Path) -> None:
    import os

    old = time.time() - 3 * 86_400
    os.utime(adapter / "adapter_model.safetensors", (old, old))
    completed = envpin("record", "--attach", adapter, "--python", pinned("peft012").python, "--json")
    assert completed.status == 0, completed.stderr
    warnings = json.loads(completed.stdout)["warnings"]
    assert any("the weights are 3 days old" in line for line in warnings)
    assert any(line.startswith("peft was installed after the weights were written") for line in warnings)


@pytest.mark.parametrize(
    "words", [("--python", "/nowhere/python"), ("--python", "/etc/passwd"), ("--base", "/nowhere")]
)
def test_bad_input(adapter: Path, words: tuple[str, ...]) -> None:
    more = () if words[0] == "--python" else ("--python", pinned("peft012").python)
    completed = envpin("record", "--attach", adapter, *words, *more)
    assert completed.status == 2, completed.stderr
    assert completed.stderr.count("error: ") == 1
    assert not (adapter / "envpin.json").exists()


def test_no_folder_no_adapter_and_a_command_besides(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "absent", tmp_path / "empty"):
        assert envpin("record", "--attach", folder, "--python", pinned("peft012").python).status == 2
    assert envpin("record", "--attach", adapter, "--", "true").status == 2
    assert envpin("record", "--force", "--", "true").status == 2
