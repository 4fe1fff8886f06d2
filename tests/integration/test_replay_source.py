"""The code of a repeat from a repository, by real git."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from envpin.core import process
from envpin.core.errors import InputError
from envpin.core.files import digest_of_file
from envpin.manifest.training import CodeInfo
from envpin.manifest.types import GitState, RunInfo
from envpin.recording.git import commit_of
from envpin.replay.training.source import prepare_source
from tests.support.training_runs import manifest

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.manifest.types import Manifest


def recorded(place: Path, *, git: bool) -> Manifest:
    """A run of `place` that imported `helper.py`, which git does not track."""
    (place / "sub").mkdir(parents=True)
    for name in ("train.py", "sub/helper.py"):
        (place / name).write_text("then")
    digest = digest_of_file(place / "sub" / "helper.py")
    code = CodeInfo(directory=str(place / "sub"), folder=str(place / "sub"), files={"helper.py": digest})
    state = None
    if git:
        for words in (("init", "-q"), ("add", "train.py"), ("commit", "-qm", "first")):
            who = ("-c", "user.name=me", "-c", "user.email=me@example.org")
            assert process.run(["git", "-C", place, *who, *words]).status == 0
        found = commit_of(place)
        assert found is not None
        state = GitState(commit=found[1], dirty=False, root=str(found[0]))
    return replace(manifest(), run=RunInfo(id="r", argv=("python", "../train.py"), git=state), training=None, code=code)


@pytest.mark.parametrize("git", [True, False])
def test_untracked_code_that_changed_since_ends_the_repeat(tmp_path: Path, *, git: bool) -> None:
    place = tmp_path / "with space ü"
    of = recorded(place, git=git)
    made = prepare_source(of, place / "out", tmp_path / "scratch")
    assert (made.working / "helper.py").read_text() == "then"
    assert (made.working / "../train.py").read_text() == "then"
    assert made.code.startswith("commit" if git else "that of")
    (place / "sub" / "helper.py").write_text("now")
    with pytest.raises(InputError, match=r"helper\.py"):
        prepare_source(of, place / "out", tmp_path / "more")
    made = prepare_source(of, place / "out", tmp_path / "given", source=place / "sub")
    assert (made.working / "helper.py").read_text() == "now"
