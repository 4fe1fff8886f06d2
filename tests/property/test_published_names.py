"""Three hundred names under which models are published: most are recognised."""

from __future__ import annotations

from envpin.core.resources import data_path
from envpin.matrix.load import load_matrix
from envpin.matrix.match import match
from envpin.matrix.support import load_support, shipped_path
from tests.support.places import DATA

MATRIX, SUPPORT = load_matrix(data_path("compat_matrix.toml")), load_support(shipped_path())
TABLE = DATA / "names" / "published.tsv"
ROWS = [line.split("\t") for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
CASES = [(name, truth) for truth, names in ROWS for name in names.split()]


def test_most_published_names_are_recognised() -> None:
    """The names are there to be found: a matcher that knew none would pass the other test."""
    recognised = [name for name, _ in CASES if match(None, name, MATRIX, SUPPORT).model_type is not None]
    assert len(CASES) >= 300
    assert len(recognised) >= 0.8 * len(CASES)
