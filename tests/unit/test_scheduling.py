"""Where each test of a run of two workers goes, and in what order."""

from __future__ import annotations

import pytest

from tests.support.places import ROOT
from tests.support.scheduling import TIERS, group_of, rank


def test_marked_tests_go_by_their_mark_and_those_of_closed_tiers_by_their_file() -> None:
    assert group_of("tests/unit/a/test_b.py::test_c[x]", by_mark="tests/unit/a/test_b.py::test_c[x]") == (
        "tests/unit/a/test_b.py"
    )
    assert group_of("tests/workers/test_b.py::test_c@stream", by_mark="stream") == "stream"
    alone = "tests/cli/test_b.py::test_c"
    assert group_of(alone, by_mark=alone) == alone


def test_every_tier_has_its_place_and_the_closed_ones_are_last() -> None:
    found = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")} - {"support"}
    assert found == {*TIERS}
    nodes = [f"tests/{tier}/test_x.py::test_y" for tier in sorted(TIERS)]
    assert [node.split("/")[1] for node in sorted(nodes, key=rank)][-2:] == ["property", "unit"]


@pytest.mark.xdist_group("scheduling")
def test_a_mark_reaches_the_node(request: pytest.FixtureRequest) -> None:
    """xdist names the group behind an @, and deals by that."""
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@scheduling")


def test_names_of_tests_are_short(request: pytest.FixtureRequest) -> None:
    """Each is sent many times from the worker to the controller."""
    assert [item.nodeid[:200] for item in request.session.items if len(item.nodeid) > 1000] == []
