"""A kept answer is read with the digest that lies next to it, which is believed of that very text only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.envs.locks.compile import remember, remembered
from envpin.envs.locks.lock import digest, parse_lock

if TYPE_CHECKING:
    from pathlib import Path

TEXT = f"""lock-version = "1.0"
created-by = "uv"

[[packages]]
name = "six"
version = "1.0"
wheels = [{{ url = "https://files.example/six-1.0-py3-none-any.whl", hashes = {{ sha256 = "{"a" * 64}" }} }}]
"""


def test_the_digest_of_a_kept_answer_is_computed_once(tmp_path: Path) -> None:
    path = tmp_path / "answer.toml"
    assert remembered(path, own=True) is None
    remember(path, parse_lock(TEXT))
    assert remembered(path, own=False) is not None
    assert not path.with_suffix(".digest").exists(), "nothing is written into a store of others"
    first = remembered(path, own=True)
    assert first is not None
    assert (first.known_digest, first.digest) == (None, digest(TEXT))
    again = remembered(path, own=True)
    assert again is not None
    assert (again.known_digest, again) == (digest(TEXT), first)


def test_a_digest_of_another_text_or_of_no_form_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "answer.toml"
    remember(path, parse_lock(TEXT))
    remembered(path, own=True)
    other = TEXT.replace("1.0-py3", "1.1-py3")
    path.write_text(other, encoding="utf-8")
    found = remembered(path, own=True)
    assert found is not None
    assert found.digest == digest(other) != digest(TEXT)
    for note in ("", "nonsense", f"{'0' * 64} {'1' * 64}\n", "\udcff"):
        path.with_suffix(".digest").write_text(note, encoding="utf-8", errors="surrogateescape")
        found = remembered(path, own=True)
        assert found is not None
        assert found.digest == digest(other)
