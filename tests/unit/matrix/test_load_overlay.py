"""A user's own matrix on top of the one that travels with envpin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError
from envpin.core.resources import config_path
from envpin.matrix.load import load_matrix
from envpin.matrix.where import overlay_path

if TYPE_CHECKING:
    from pathlib import Path

OWN = """schema = 1
[families.qwen2]
title = "Ours"
unpinnable = "an example"
breaks = ["llama3-rope-scaling", "ours"]
[families.in-house]
title = "In-house"
unpinnable = "an example"
[breaks.ours]
package = "torch"
versions = "<2.6"
title = "t"
affects = ["load"]
ways_out = ["newer"]
source = "s"
silent = true
[[relations]]
package = "torch"
versions = "<2"
other = "numpy"
needs = "<2"
reason = "r"
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    monkeypatch.setenv("ENVPIN_MATRIX", str(path))
    return path


def test_it_adds_and_overrides(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = load_matrix()
    assert (matrix.families["qwen2"].title, matrix.families["in-house"].id) == ("Ours", "in-house")
    assert (matrix.overlay, matrix.overlaid) == (str(own), ("qwen2", "in-house"))
    monkeypatch.setenv("ENVPIN_MATRIX", "")
    plain = load_matrix()
    assert plain.overlay is None
    assert plain.families["qwen2"].title != "Ours"
    assert len(matrix.relations) == len(plain.relations) + 1
    assert [*matrix.families][: len(plain.families)] == [*plain.families]


def test_a_named_matrix_stands_alone(own: Path) -> None:
    matrix = load_matrix(own.parent / "other.toml") if (own.parent / "other.toml").exists() else None
    assert matrix is None
    (own.parent / "other.toml").write_text("schema = 1\n")
    assert load_matrix(own.parent / "other.toml").families == {}


def test_faults_name_the_overlay_and_their_place(own: Path) -> None:
    own.write_text(OWN.replace('"ours"]', '"nowhere"]').replace('needs = "<2"', 'needs = "two"'))
    with pytest.raises(InputError) as caught:
        load_matrix()
    assert str(own) in caught.value.message
    assert caught.value.problems == (
        "families.qwen2.breaks[1]: there is no break `nowhere`",
        "relations[0].needs: 'two' is not a version specifier",
    )


def test_what_reading_fills_in_cannot_be_written(own: Path) -> None:
    own.write_text('schema = 1\noverlay = "x"\n[families.a]\nid = "b"\ntitle = "A"\nunpinnable = "y"\n')
    with pytest.raises(InputError) as caught:
        load_matrix()
    starts = [line.partition(":")[0] for line in caught.value.problems]
    assert starts == ["overlay", "families.a.id"]


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENVPIN_MATRIX", raising=False)
    monkeypatch.setenv("ENVPIN_HOME", str(tmp_path))
    assert config_path() == tmp_path
    assert overlay_path() is None
    (tmp_path / "matrix.toml").write_text("schema = 1\n")
    assert overlay_path() == tmp_path / "matrix.toml"
    monkeypatch.setenv("ENVPIN_MATRIX", str(tmp_path / "missing.toml"))
    with pytest.raises(InputError):
        load_matrix()
