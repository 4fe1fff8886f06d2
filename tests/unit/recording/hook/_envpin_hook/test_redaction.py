"""The parts of the recorder that need no model: redaction, distributions, git, files of a save."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envpin.recording.git import commit_of
from envpin.recording.injected import HOOK, hook

if TYPE_CHECKING:
    from pathlib import Path

redaction = hook("redaction")
artefacts = hook("artefacts")
surroundings = hook("surroundings")
SECRET = "zKq93hXw71LmPq0sVbT2"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--hf_token", SECRET], ["--hf_token", "[redacted]"]),
        (["--token", SECRET], ["--token", "[redacted]"]),
        (["--hub-token=" + SECRET], ["--hub-token=[redacted]"]),
        (["--password", "a b"], ["--password", "[redacted]"]),
        (["--wandb_api_key", SECRET], ["--wandb_api_key", "[redacted]"]),
        (["--apiKey=" + SECRET], ["--apiKey=[redacted]"]),
        (["AWS_SECRET_ACCESS_KEY=" + SECRET, "python"], ["AWS_SECRET_ACCESS_KEY=[redacted]", "python"]),
        (["WANDB_API_KEY=" + SECRET], ["WANDB_API_KEY=[redacted]"]),
        (["--secret", "-x"], ["--secret", "[redacted]"]),
        (["run", "hf_" + "A" * 34], ["run", "[redacted]"]),
        (["--notes", "see sk-" + "a" * 30 + " there"], ["--notes", "see [redacted] there"]),
        (["ghp_" + "a" * 36], ["[redacted]"]),
        (["AKIA" + "A" * 16], ["[redacted]"]),
        (["--data", "https://me:pw@host/x?y=1"], ["--data", "https://[redacted]@host/x?y=1"]),
        (["s3://host/a?X-Amz-Signature=abc&b=2"], ["s3://host/a?X-Amz-Signature=[redacted]&b=2"]),
        (["git+https://tok@github.com/a/b"], ["git+https://[redacted]@github.com/a/b"]),
        (["0123456789" * 4], ["[redacted]"]),
        # What is no secret stays, or the manifest would lose what a rerun needs.
        (["--tokenizer", "meta-llama/Llama-3.1-8B"], ["--tokenizer", "meta-llama/Llama-3.1-8B"]),
        (["--max_tokens", "512", "--num-tokens=3"], ["--max_tokens", "512", "--num-tokens=3"]),
        (["--tokenizer_path", "x", "--use_auth", "--lr", "1"], ["--tokenizer_path", "x", "--use_auth", "--lr", "1"]),
        (["--add_tokens", "a,b", "--key", "v"], ["--add_tokens", "a,b", "--key", "v"]),
        (["--revision", "0123456789" * 4], ["--revision", "0123456789" * 4]),
        (["--revision=" + "0123456789" * 4], ["--revision=" + "0123456789" * 4]),
        (["user@host:path", "a@b"], ["user@host:path", "a@b"]),
        (["--keys", "layer.0", "--author", "ada"], ["--keys", "layer.0", "--author", "ada"]),
    ],
)
def test_redaction(argv: list[str], expected: list[str]) -> None:
    assert redaction.arguments(argv) == expected


@given(st.lists(st.text(max_size=40), max_size=6))
def test_redaction_keeps_length_and_settles(argv: list[str]) -> None:
    once = redaction.arguments(argv)
    assert len(once) == len(argv)
    assert redaction.arguments(once) == once


names = st.sampled_from(["token", "hf_token", "hub-token", "password", "api_key", "openai-api-key", "secret", "passwd"])


@given(
    names, st.text("abcdefXYZ0123456789", min_size=12, max_size=40), st.booleans(), st.lists(st.just("x"), max_size=3)
)
def test_a_secret_option_never_shows_its_value(name: str, value: str, joined: bool, more: list[str]) -> None:
    argv = [*more, *([f"--{name}={value}"] if joined else [f"--{name}", value]), *more]
    assert value not in " ".join(redaction.arguments(argv))


def test_distributions_are_those_of_importlib() -> None:
    expected = {
        re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one.version for one in importlib.metadata.distributions()
    }
    found = {one["name"]: one for one in surroundings.distributions()}
    assert {name: one["version"] for name, one in found.items()} == expected
    assert found["envpin"]["editable"] is True
    assert found["envpin"]["direct_url"].startswith("file://")


def test_distributions_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def distribution(folder: str, **files: str) -> None:
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name.replace("_json", ".json")).write_text(text)

    distribution("Fancy_Name.x-1.0+cu121.dist-info")
    vcs = {"url": "https://me:pw@host/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    distribution("from_git-2.0.dist-info", direct_url_json=json.dumps(vcs))
    archive = {"url": "https://host/x.whl", "archive_info": {"hashes": {"sha256": "aa"}}}
    distribution("archive-3.dist-info", direct_url_json=json.dumps(archive))
    distribution("odd.dist-info", METADATA="Metadata-Version: 2.1\nName: odd\nVersion: 4\n\nName: body\n")
    distribution("old-5.egg-info", **{"PKG-INFO": "Name: old\nVersion: 5\n"})
    distribution("broken-6.dist-info", direct_url_json="{")
    monkeypatch.setattr("sys.path", [str(tmp_path), str(tmp_path / "absent")])
    monkeypatch.setattr(surroundings, "_cache", {})
    monkeypatch.setattr(hook(), "faults", [])
    found = {one["name"]: (one["version"], one.get("direct_url")) for one in surroundings.distributions()}
    assert found == {
        "fancy-name-x": ("1.0+cu121", None),
        "from-git": ("2.0", "git+https://[redacted]@host/r.git@abc"),
        "archive": ("3", "https://host/x.whl#sha256=aa"),
        "odd": ("4", None),
        "old": ("5", None),
    }
    assert len(hook().faults) == 1
    assert "broken-6" in hook().faults[0]


def test_the_files_of_a_save(tmp_path: Path) -> None:
    header = json.dumps({"b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"format": "pt"}})
    weights = struct.pack("<Q", len(header)) + header.encode() + bytes(8)
    (tmp_path / "adapter_model.safetensors").write_bytes(weights)
    (tmp_path / "adapter_config.json").write_text('{"r": 4}')
    saved = artefacts.saved(str(tmp_path), "adapter", None)
    assert saved["config"] == {"r": 4}
    assert saved["tensors"] == [{"name": "b", "shape": [2], "dtype": "F32"}]
    assert saved["files"]["adapter_model.safetensors"] == hashlib.sha256(weights).hexdigest()
    limited = artefacts.saved(str(tmp_path), "adapter", 10)
    assert set(limited["files"]) == {"adapter_config.json"}
    assert set(limited["undigested"]) == {"adapter_model.safetensors"}
    (tmp_path / "adapter_model.safetensors").write_bytes(struct.pack("<Q", 2**40))
    with pytest.raises(ValueError, match="header of"):
        artefacts.saved(str(tmp_path), "adapter", None)


def test_the_commit_is_read_without_git(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None or tmp_path not in commit_of(tmp_path)  # type: ignore[operator]
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert commit_of(deep) is None, "no commit yet"
    (git / "packed-refs").write_text(f"# pack-refs\n{'a' * 40} refs/heads/main\n^{'c' * 40}\n")
    assert commit_of(deep) == (tmp_path, "a" * 40)
    (git / "refs" / "heads" / "main").write_text("b" * 40 + "\n")
    assert commit_of(deep) == (tmp_path, "b" * 40)
    (git / "HEAD").write_text("d" * 40 + "\n")
    assert commit_of(deep) == (tmp_path, "d" * 40)
    tree = tmp_path / "tree"
    tree.mkdir()
    own = git / "worktrees" / "tree"
    own.mkdir(parents=True)
    (tree / ".git").write_text(f"gitdir: {own}\n")
    (own / "HEAD").write_text("ref: refs/heads/main\n")
    (own / "commondir").write_text("../..\n")
    assert commit_of(tree) == (tree, "b" * 40)
    (git / "HEAD").write_bytes(b"\xff\xfe")
    assert commit_of(deep) is None


def test_the_start_of_the_hook_is_syntax_of_every_python() -> None:
    """A Python 2.7 of the run must read it without a word: no annotations, f-strings or keyword-only arguments."""
    source = (HOOK / "sitecustomize.py").read_text(encoding="utf-8")
    assert not re.search(r"->|\bf\"|\bf'|, \*,|nonlocal|:=", source)
    source.encode("ascii")
