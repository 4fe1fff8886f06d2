"""Staging, companions and the one rename."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from envpin.core.errors import InfrastructureError, InputError, OutputExistsError, RefusedError
from envpin.replay.publish import companions, copy_companions, publish, refuse_existing, staging


def test_an_existing_output_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "merged"
    refuse_existing(out)
    out.mkdir()
    refuse_existing(out)
    (out / "config.json").write_text("{}")
    with pytest.raises(OutputExistsError):
        refuse_existing(out)


def test_a_file_or_a_dangling_link_is_an_existing_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(OutputExistsError):
            refuse_existing(tmp_path / name)


def test_a_missing_parent_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        refuse_existing(tmp_path / "no" / "merged")


def test_staging_is_removed_when_the_merge_fails(tmp_path: Path) -> None:
    out = tmp_path / "merged"
    with pytest.raises(RuntimeError, match="boom"), staging(out, locks=tmp_path / "locks") as staged:
        (staged / "config.json").write_text("{}")
        raise RuntimeError("boom")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks"]


def test_leftovers_of_a_killed_merge_are_removed(tmp_path: Path) -> None:
    out = tmp_path / "merged"
    (tmp_path / ".merged.envpin-staging-dead").mkdir()
    (tmp_path / ".other.envpin-staging-dead").mkdir()
    with staging(out, locks=tmp_path / "locks") as staged:
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {".other.envpin-staging-dead", "locks", staged.name}
        (staged / "a").write_text("a")
        publish(staged, out)
    assert (out / "a").read_text() == "a"


def half_merged(out: Path, locks: Path) -> Path:
    """What a killed merge has left: a journal and a finished shard."""
    with contextlib.suppress(RuntimeError), staging(out, locks=locks) as staged:
        (staged / ".envpin-stream-journal").write_text("{}")
        (staged / "model.safetensors").write_text("own")
        raise RuntimeError("killed")
    return staged


def test_resume_takes_the_folder_of_its_own_killed_merge(tmp_path: Path) -> None:
    out, locks = tmp_path / "merged", tmp_path / "locks"
    left = half_merged(out, locks)
    with staging(out, locks=locks, resume=True) as staged:
        assert staged == left


@pytest.mark.parametrize("how", ["beside", "in its place", "a link", "without any own"])
def test_resume_takes_no_planted_folder(how: str, tmp_path: Path) -> None:
    out, locks = tmp_path / "merged", tmp_path / "locks"
    left = half_merged(out, locks)
    planted = tmp_path / "planted"
    shutil.copytree(left, planted)
    (planted / "model.safetensors").write_text("evil")
    if how != "beside":
        shutil.rmtree(left)
    if how == "a link":
        left.symlink_to(planted)
    else:
        planted.rename(left if how == "in its place" else tmp_path / ".merged.envpin-staging-aaaa")
    with staging(out, locks=locks, resume=True) as staged:
        assert not (staged / "model.safetensors").exists() or (staged / "model.safetensors").read_text() == "own"
        assert [path for path in tmp_path.iterdir() if path.name.startswith(".merged")] == [staged]


@pytest.mark.parametrize("name", ["*", "[a-z]*", "?ther"])
def test_leftovers_of_other_outputs_stay_whatever_the_output_is_called(name: str, tmp_path: Path) -> None:
    (tmp_path / ".other.envpin-staging-dead").mkdir()
    with staging(tmp_path / name, locks=tmp_path / "locks"):
        assert (tmp_path / ".other.envpin-staging-dead").is_dir()


def test_publish_syncs_the_whole_tree_before_the_rename_and_the_name_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    def inodes(*paths: Path) -> set[int]:
        return {path.stat().st_ino for path in paths}

    staged = tmp_path / "staged"
    (staged / "deep").mkdir(parents=True)
    for name in ("config.json", "deep/model.safetensors"):
        (staged / name).write_text(name)
    wanted = inodes(staged, staged / "config.json", staged / "deep" / "model.safetensors")
    rename = Path.rename
    at_the_rename: list[set[int]] = []

    def renaming(self: Path, target: Path) -> Path:
        at_the_rename.append(set(synced))
        return rename(self, target)

    monkeypatch.setattr("os.fsync", noting)
    monkeypatch.setattr(Path, "rename", renaming)
    publish(staged, tmp_path / "merged")
    (before,) = at_the_rename
    assert wanted <= before
    assert synced[-1] in inodes(tmp_path), "the new name is on the disk"


def test_two_merges_into_one_output(tmp_path: Path) -> None:
    out = tmp_path / "merged"
    with (
        staging(out, locks=tmp_path / "locks"),
        pytest.raises(RefusedError, match="another merge"),
        staging(out, locks=tmp_path / "locks"),
    ):
        pass


def test_an_output_that_appeared_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "merged"
    with staging(out, locks=tmp_path / "locks") as staged:
        out.mkdir()
        (out / "theirs").write_text("x")
        with pytest.raises(OutputExistsError):
            publish(staged, out)
    assert [path.name for path in out.iterdir()] == ["theirs"]


def test_a_name_that_cannot_be_given_is_not_said_to_be_taken(tmp_path: Path) -> None:
    (staged := tmp_path / "staged").mkdir()
    with pytest.raises(InfrastructureError, match=r"cannot be named .*gone/merged.*: No such file or directory"):
        publish(staged, tmp_path / "gone" / "merged")
    (tmp_path / "merged").symlink_to("nowhere")
    with pytest.raises(OutputExistsError):
        publish(staged, tmp_path / "merged")


def test_the_adapters_tokenizer_wins_as_a_whole(tmp_path: Path) -> None:
    adapter, base, staged = (tmp_path / name for name in ("adapter", "base", "staged"))
    for folder in (adapter, base, staged):
        folder.mkdir()
    (base / "tokenizer.json").write_text("base")
    (base / "added_tokens.json").write_text("base")
    (base / "preprocessor_config.json").write_text("base")
    (adapter / "tokenizer.json").write_text("adapter")
    (adapter / "generation_config.json").write_text("adapter")
    (adapter / "adapter_config.json").write_text("adapter")
    origin = copy_companions(adapter=adapter, base=base, staged=staged)
    assert origin == {
        "tokenizer.json": "adapter", "preprocessor_config.json": "base", "generation_config.json": "adapter",
    }  # fmt: skip
    assert sorted(path.name for path in staged.iterdir()) == sorted(origin)


def test_without_one_the_bases_tokenizer_and_the_adapters_template(tmp_path: Path) -> None:
    adapter, base, staged = (tmp_path / name for name in ("adapter", "base", "staged"))
    for folder in (adapter, base, staged):
        folder.mkdir()
    (base / "tokenizer.json").write_text("base")
    (base / "chat_template.jinja").write_text("base")
    (adapter / "chat_template.jinja").write_text("adapter")
    assert copy_companions(adapter=adapter, base=base, staged=staged) == {
        "tokenizer.json": "base", "chat_template.jinja": "adapter",
    }  # fmt: skip


def test_a_link_out_of_the_adapter_is_not_followed(tmp_path: Path) -> None:
    adapter, base, staged = (tmp_path / name for name in ("adapter", "base", "staged"))
    for folder in (adapter, base, staged):
        folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (adapter / "tokenizer.json").symlink_to(tmp_path / "secret")
    with pytest.raises(RefusedError, match="outside its folder"):
        copy_companions(adapter=adapter, base=base, staged=staged)
    with pytest.raises(RefusedError, match="outside its folder"):
        companions(adapter=adapter, base=base)  # before the merge
    assert list(staged.iterdir()) == []


def test_a_link_into_the_blobs_of_a_hub_cache_is_followed(tmp_path: Path) -> None:
    repo = tmp_path / "models--org--name"
    snapshot, blobs, staged = repo / "snapshots" / "abc", repo / "blobs", tmp_path / "staged"
    for folder in (snapshot, blobs, staged):
        folder.mkdir(parents=True)
    (blobs / "1234").write_text("tokenizer")
    (snapshot / "tokenizer.json").symlink_to(Path("../../blobs/1234"))
    assert copy_companions(adapter=snapshot, base=staged, staged=staged) == {"tokenizer.json": "adapter"}
    assert (staged / "tokenizer.json").read_text() == "tokenizer"
    assert not (staged / "tokenizer.json").is_symlink()
