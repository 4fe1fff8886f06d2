"""`envpin card` and `envpin push` as a user runs them, against a simulated Hub that takes uploads."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import RefusedError
from envpin.core.events import ignore
from envpin.remote.hub.upload import UploadFile, upload
from tests.support.command import answer, arguments, envpin, variables
from tests.support.hub_simulator import HubSimulator
from tests.support.merge_records import DRIFT, VERIFICATION, write_merged
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpin.core.process import Completed

NAME = "ada/merged"
WRITER = "hf_writer"
UPLOADED = ["README.md", "config.json", "envpin-merge.json", "model.safetensors", "tokenizer_config.json"]


@pytest.fixture
def hub() -> Iterator[HubSimulator]:
    with HubSimulator() as simulator:
        yield simulator


def push(hub: HubSimulator, merged: Path, home: Path, *words: str, token: str = WRITER) -> Completed:
    return envpin("push", merged, NAME, *words, env=hub.variables(home, HF_TOKEN=token))


def flip(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x01")


def test_card_is_written_once_and_then_unchanged(tmp_path: Path) -> None:
    merged = write_merged(tmp_path / "my model")
    (merged / "README.md").write_text("---\nlicense: mit # mine\n---\n\n# Mine\n\nhello\n")
    first = answer("card", merged)
    text = (merged / "README.md").read_text()
    assert first["changed"]
    assert text.startswith("---\nlicense: mit # mine\nbase_model: org/base\n")
    assert "# Mine\n\nhello\n" in text
    second = envpin("card", merged)
    assert second.stdout.startswith("unchanged: ")
    assert (merged / "README.md").read_text() == text
    assert envpin("verify", merged).status == 0, "a card is no part of what was proved"


def test_card_of_changed_bytes_is_refused(tmp_path: Path) -> None:
    merged = write_merged(tmp_path / "m")
    flip(merged / "model.safetensors")
    completed = envpin("card", merged)
    assert completed.status == 5
    assert "is not what its merge proved" in completed.stderr
    assert not (merged / "README.md").exists()


def test_push_uploads_what_was_proved_with_card_and_proof_and_nothing_else(hub: HubSimulator, tmp_path: Path) -> None:
    merged = write_merged(tmp_path / "m", notes=["read /home/ada/base"])
    (merged / "notes.md").write_text("private")
    completed = push(hub, merged, tmp_path / "home", "--private")
    assert completed.status == 0, completed.stderr
    repo = hub.repos[NAME]
    files = repo.commits[repo.refs["main"]]
    assert sorted(files) == UPLOADED
    assert files["model.safetensors"].path.read_bytes() == (merged / "model.safetensors").read_bytes()
    record = files["envpin-merge.json"].path.read_text()
    assert "/home/ada" not in record
    assert json.loads(record)["base"]["path"] == "base"
    assert "## How this model was merged" in files["README.md"].path.read_text()
    assert not (merged / "README.md").exists(), "the folder itself is left alone"
    assert repo.private == "hf_writer"
    assert f"{hub.url}/{NAME}/commit/" in completed.stdout
    assert not [one for one in hub.requests if one.path.startswith("/lfs/") and one.authorization]


def test_push_to_a_branch_leaves_main_alone(hub: HubSimulator, tmp_path: Path) -> None:
    merged = write_merged(tmp_path / "m")
    completed = push(hub, merged, tmp_path / "home", "--revision", "v2", "--message", "Second")
    assert completed.status == 0, completed.stderr
    repo = hub.repos[NAME]
    assert repo.commits[repo.refs["main"]] == {}
    assert "model.safetensors" in repo.commits[repo.refs["v2"]]


def test_push_of_a_changed_byte_is_refused_before_anything_is_asked(hub: HubSimulator, tmp_path: Path) -> None:
    merged = write_merged(tmp_path / "m")
    flip(merged / "model.safetensors")
    completed = push(hub, merged, tmp_path / "home")
    assert completed.status == 5
    assert "changed: model.safetensors" in completed.stderr
    assert hub.requests == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "mismatch", "differences": [DRIFT]}, "was forced"),
        ({"verification": {**VERIFICATION, "probe": {"moved": 0.5, "noise": 0.4, "ratio": 0.8}}}, "was forced"),
        ({"verification": {**VERIFICATION, "probe": {"moved": 0.0, "noise": 0.0, "ratio": None}}}, "was forced"),
    ],
)
def test_push_of_a_forced_merge_is_refused(
    hub: HubSimulator, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    completed = push(hub, write_merged(tmp_path / "m", **changes), tmp_path / "home")
    assert (completed.status, said in completed.stderr) == (5, True), completed.stderr
    assert hub.requests == []


@pytest.mark.parametrize("what", ["unproved", "foreign file", "missing"])
def test_push_of_what_was_not_proved_is_refused(hub: HubSimulator, tmp_path: Path, what: str) -> None:
    merged = write_merged(tmp_path / "m")
    if what == "unproved":
        (merged / "envpin-merge.json").unlink()
    elif what == "missing":
        (merged / "config.json").unlink()
    else:
        (merged / "adapter_model.safetensors").write_bytes(b"x")
    completed = push(hub, merged, tmp_path / "home")
    assert completed.status == 5, completed.stderr
    assert hub.requests == []


@pytest.mark.parametrize(("token", "status"), [("hf_reader", 2), ("", 2)])
def test_push_without_the_right_to_write_says_so(hub: HubSimulator, tmp_path: Path, token: str, status: int) -> None:
    completed = push(hub, write_merged(tmp_path / "m"), tmp_path / "home", token=token)
    assert completed.status == status
    assert "token" in completed.stderr
    assert "hf_reader" not in completed.stderr
    assert hub.repos == {}


def test_push_offline_and_dry_run_ask_for_nothing(hub: HubSimulator, tmp_path: Path) -> None:
    merged = write_merged(tmp_path / "m")
    offline = envpin("push", merged, NAME, env=hub.variables(tmp_path, HF_TOKEN="hf_writer", HF_HUB_OFFLINE="1"))
    assert offline.status == 4
    dry = push(hub, merged, tmp_path / "home", "--dry-run")
    assert dry.status == 0
    assert "would upload 5 files to ada/merged" in dry.stdout
    assert hub.requests == []
    assert envpin("push", merged, "no-slash", env=hub.variables(tmp_path, HF_TOKEN="x")).status == 2


def test_the_answer_comes_when_nothing_is_drawn_any_more(tmp_path: Path) -> None:
    merged = write_merged(tmp_path / "m")
    with Terminal(arguments("verify", merged), env=variables(), columns=80) as terminal:
        assert terminal.wait() == 0
    drawn, _, answered = terminal.screen.partition("\x1b[?25h")  # the cursor is shown again
    assert "✓ read" in drawn
    assert "intact: " in answered
    assert " back" not in answered


@pytest.mark.parametrize("words", [("verify", "m"), ("card", "m"), ("push", "m", "a/x"), ("report", "m")], ids=" ".join)
def test_a_folder_that_is_not_there_is_said_not_to_be_there(tmp_path: Path, words: tuple[str, ...]) -> None:
    completed = envpin(*words, cwd=tmp_path)
    assert completed.status == 2
    assert completed.stderr.startswith("error: `m` does not exist\n")


def test_push_reads_nothing_for_a_name_that_no_repository_has(tmp_path: Path) -> None:
    completed = envpin("push", write_merged(tmp_path / "m"), "merged", "--dry-run")
    assert completed.status == 2
    assert completed.stderr == "error: `merged` is not a repository of the Hub\n\nhint: give user/name\n"


def test_upload_refuses_what_changed_since_it_was_looked_at(hub: HubSimulator, tmp_path: Path) -> None:
    (weights := tmp_path / "model.safetensors").write_bytes(b"other bytes")
    file = UploadFile(weights.name, weights, hashlib.sha256(b"what was proved").hexdigest())
    with pytest.raises(RefusedError, match="has changed since it was looked at"):
        upload(NAME, [file], message="m", private=False, revision=None, listener=ignore)
    assert not hub.requests
