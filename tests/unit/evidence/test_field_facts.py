"""Fields of dataclasses read as syntax: inheritance, defaults, what is not saved."""

from __future__ import annotations

from envpin.evidence.collect_fields import _Read, assemble
from envpin.evidence.field_facts import COMPUTED, REQUIRED, read_classes
from envpin.matrix.fields import Fields, encode_fields, load_fields, value_at
from envpin.remote.index.types import Release

SOURCES = {
    "peft/config.py": b"""
from dataclasses import dataclass, field
import os
@dataclass
class Mixin:
    peft_type: str = field(default=None, metadata={"help": "type"})
@dataclass
class Base(Mixin):
    names: list = field(default_factory=list)
    rank: int
    shared: ClassVar[int] = 3
    when = 3
""",
    "peft/lora.py": b"""
@dataclass
class LoraConfig(Base, unknown.Other):
    rank: int = 8
    scale: float = -1.5
    path: str = os.sep
    runtime: dict = field(default_factory=Runtime)
    def __post_init__(self):
        self.peft_type = PeftType.LORA
    def to_dict(self):
        rv = super().to_dict()
        rv.pop("runtime")
        return rv
""",
    "peft/broken.py": b"class (",
}


def test_a_class_has_what_it_inherits_without_what_it_does_not_save() -> None:
    classes = read_classes(SOURCES)
    assert classes.fields("LoraConfig") == {
        "peft_type": "null", "names": "[]", "rank": "8", "scale": "-1.5", "path": COMPUTED,
    }  # fmt: skip
    assert classes.fields("Base")["rank"] == REQUIRED
    assert classes.found["LoraConfig"].kinds == ("LORA",)
    assert classes.fields("Nowhere") == {}


def test_a_class_that_is_its_own_base_ends() -> None:
    assert read_classes({"a.py": b"class A(A):\n    x: int = 1\n"}).fields("A") == {"x": "1"}


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


def test_the_file_is_what_its_writer_writes() -> None:
    fields = load_fields()
    assert fields.packages["peft"].releases[0] == "0.0.1"
    from envpin.matrix.fields import fields_path

    assert encode_fields(fields) == fields_path().read_bytes()
    assert isinstance(fields, Fields)


def test_a_value_holds_from_where_it_stands() -> None:
    assert value_at(((2, "a"), (5, "b")), 1) is None
    assert value_at(((2, "a"), (5, "b")), 4) == "a"
    assert value_at(((2, "a"), (5, "b")), 9) == "b"


def test_the_newest_key_of_each_release_is_the_known_one() -> None:
    """peft's own release notes, by hand, for a sample."""
    first = load_fields().first_releases()
    assert {key: first[key] for key in ("use_dora", "layer_replication", "eva_config", "target_parameters")} == {
        "use_dora": "0.9.0", "layer_replication": "0.10.0", "eva_config": "0.14.0", "target_parameters": "0.17.0",
    }  # fmt: skip
    assert "runtime_config" not in first  # never saved
