"""What is collected of each release, put together and taken apart."""

from __future__ import annotations

from envpin.evidence.collect_fields import _Read, assemble
from envpin.remote.index.types import Release


def test_releases_are_turned_round_and_come_back() -> None:
    releases = [
        Release(version=f"1.{at}", uploaded=None, yanked=at == 1, yanked_reason=None, requires_python=None, files=())
        for at in range(4)
    ]
    read = [
        _Read(classes={"A": {"x": "1"}}, pins={"peft": "0.1"}),
        _Read(classes={"A": {"x": "2", "y": "null"}}, names=frozenset({"m.C"}), pins={"peft": "0.1"}),
        _Read(classes={"A": {"x": "2"}}, pins={}),
        _Read(classes={"A": {"x": "2", "y": "null"}, "B": {}}, pins={"peft": "0.2"}),
    ]
    facts = assemble(releases, read)
    assert facts.classes["A"].fields["x"].defaults == ((0, "1"), (1, "2"))
    assert facts.classes["A"].fields["y"].spans == ((1, 1), (3, 3))
    assert facts.classes["B"].spans == ((3, 3),)
    assert facts.names == {"m.C": ((1, 1),)}
    assert [facts.pinned(at) for at in range(4)] == [{"peft": "0.1"}, {"peft": "0.1"}, {}, {"peft": "0.2"}]
    assert facts.yanked == ("1.1",)
