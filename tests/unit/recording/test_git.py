"""The commit of a working tree, read without running git."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.recording.git import commit_of

if TYPE_CHECKING:
    from pathlib import Path


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
