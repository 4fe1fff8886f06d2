"""What the run did with its models."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from envpin.recording.injected import hook

if TYPE_CHECKING:
    import pytest

observed = hook("observed")


class Model:
    def __init__(self, *parts: Model) -> None:
        self.parts = parts

    def modules(self) -> list[Model]:
        return [self, *(inner for part in self.parts for inner in part.modules())]


class Adapted(Model):
    def get_base_model(self) -> Model:
        return self.parts[0]


class Trainer:
    def __init__(self, model: Model) -> None:
        self.model = model


def test_a_trainer_is_that_of_the_models_that_it_holds_and_of_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    bare, other = Model(), Model()
    adapted, wrapper = Adapted(bare), Model(Adapted(other))
    trainers = [Trainer(adapted), Trainer(wrapper)]
    monkeypatch.setattr(observed, "trainers", [weakref.ref(one) for one in trainers])
    assert observed.trainer_of(adapted) is trainers[0]
    assert observed.trainer_of(bare) is trainers[0]  # merged and unloaded
    assert observed.trainer_of(other) is trainers[1]
    assert observed.trainer_of(Model(adapted)) is trainers[0]
    assert observed.trainer_of(Model()) is None
    assert observed.trainer_of(Adapted(Model())) is None
