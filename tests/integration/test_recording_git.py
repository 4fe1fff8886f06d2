"""What git says of a repository, with real git: and that nothing which the repository names is run for it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from envpin.recording.git import Status, commit_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def git(folder: Path, *arguments: str) -> str:
    command = [
        "git",
        "-c",
        "user.name=n",
        "-c",
        "user.email=e@example.org",
        "-c",
        "protocol.file.allow=always",
        "-C",
        str(folder),
    ]
    return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def repository(folder: Path) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "train.py").write_text("one\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    return folder


def dirty(root: Path, folder: Path) -> bool | None:
    return Status(root, folder / "status.txt").dirty(patience=20)


def test_commit_of_reads_branches_packed_refs_detached_heads_and_worktrees(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo")
    commit = git(root, "rev-parse", "HEAD")
    deep = root / "a" / "b"
    deep.mkdir(parents=True)
    assert commit_of(root) == commit_of(deep) == (root, commit)
    git(root, "pack-refs", "--all")
    assert commit_of(root) == (root, commit)
    git(root, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    assert commit_of(tmp_path / "tree") == (tmp_path / "tree", commit)
    (root / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert commit_of(root) is None


def test_commit_of_is_none_without_repository_or_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert commit_of(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert commit_of(tmp_path) is None


def test_commit_of_is_none_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path / "repo")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(root) is None
    assert dirty(root, tmp_path) is None


def test_status_sees_changes_of_tracked_files_only(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo")
    (root / "new.py").write_text("x\n")
    assert dirty(root, tmp_path) is False
    (root / "train.py").write_text("two\n")
    assert dirty(root, tmp_path) is True


def test_nothing_that_a_repository_names_is_run(tmp_path: Path) -> None:
    """The same configuration does run each of these when git is asked the plain way: else the test shows nothing."""
    root = hostile(tmp_path)
    git(root, "status", "--porcelain")
    ran = {one.name for one in tmp_path.glob("ran-*")}
    assert ran >= {"ran-fsmonitor", "ran-clean", "ran-inner-fsmonitor"}
    for one in tmp_path.glob("ran-*"):
        one.unlink()
    assert commit_of(root) is not None
    assert dirty(root, tmp_path) is True
    assert not list(tmp_path.glob("ran-*"))


def test_status_is_not_asked_where_a_filter_cannot_be_turned_off(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo")
    git(root, "config", "filter.odd.clean", f"touch {tmp_path}/ran-clean; cat")
    config = root / ".git" / "config"
    config.write_text(config.read_text().replace('"odd"', '"a=b"'))
    (root / ".gitattributes").write_text("*.py filter=a=b\n")
    (root / "train.py").write_text("two\n")
    assert dirty(root, tmp_path) is None
    assert not (tmp_path / "ran-clean").exists()


def hostile(tmp_path: Path) -> Path:
    """A repository whose configuration, and whose submodule's, name programs that leave a file behind."""

    def leaves(name: str) -> str:
        script = tmp_path / f"{name}.sh"
        script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran-{name}\ncat\n")
        script.chmod(0o755)
        return str(script)

    root = repository(tmp_path / "repo")
    inner = repository(tmp_path / "inner")
    git(root, "submodule", "--quiet", "add", str(inner), "sub")
    (root / ".gitattributes").write_text("*.py filter=Odd.Name diff=odd\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "two")
    for folder, name in ((root, "fsmonitor"), (root / "sub", "inner-fsmonitor")):
        git(folder, "config", "core.fsmonitor", leaves(name))
    git(root, "config", "filter.Odd.Name.clean", leaves("clean"))
    git(root, "config", "filter.Odd.Name.required", "true")
    git(root, "config", "diff.external", leaves("diff"))
    git(root, "config", "core.pager", leaves("pager"))
    git(root, "config", "pager.status", "true")
    hook = root / ".git" / "hooks" / "post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran-hook\n")
    hook.chmod(0o755)
    (root / "train.py").write_text("two\n")
    return root
