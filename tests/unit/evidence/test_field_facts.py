"""Fields of dataclasses read as syntax: inheritance, defaults, what is not saved."""

from __future__ import annotations

from envpin.evidence.field_facts import COMPUTED, REQUIRED, read_classes

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
