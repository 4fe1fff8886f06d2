"""What the user's signal handlers raise while the recorder works reaches the user, every time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support import recorded

if TYPE_CHECKING:
    from pathlib import Path

# A run with a timer that goes off at each of so many points of what it does: a `work` of the time that one takes.
TIMED = """
import json, signal, sys, time
class Expired(TimeoutError):
    pass
def expire(number, frame):
    raise Expired()
signal.signal(signal.SIGALRM, expire)
turns, caught = int(sys.argv[1]), 0
work()
before = time.perf_counter()
work()
whole = time.perf_counter() - before
for turn in range(turns):
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 + whole * turn / turns)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            work()
        break  # it was swallowed
    except Expired:
        caught += 1
        assert signal.getsignal(signal.SIGALRM) is expire
print(json.dumps([caught, done()]))
"""
# A `transformers` with a save, so that the recorder does all that it does after one.
MODELING = """
import json, os
class PreTrainedModel:
    class config:
        _name_or_path = "base"
    def save_pretrained(self, save_directory):
        os.makedirs(save_directory, exist_ok=True)
        for number in range(20):
            with open(os.path.join(save_directory, "model-%d.safetensors" % number), "wb") as stream:
                header = json.dumps({"w": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}).encode()
                stream.write(len(header).to_bytes(8, "little") + header)
        with open(os.path.join(save_directory, "config.json"), "w") as stream:
            json.dump({"model_type": "llama", "text": "x" * 200_000}, stream)
"""
SAVES = """
import os
from transformers.modeling_utils import PreTrainedModel
model = PreTrainedModel()
def work():
    model.save_pretrained("out")
def done():
    return sorted(os.listdir("out"))
"""
# A `transformers` with a trainer whose steps cost nothing, so that a timer mostly finds the recorder at work.
TRAINER = """
class Loss(float):
    pass
class State:
    global_step, max_steps = 0, 1000
class Arguments:
    output_dir, world_size = "out", 1
class Model:
    def named_parameters(self):
        return []
class Trainer:
    def __init__(self):
        self.state, self.args, self.train_dataset, self.model, self.optimizer = State(), Arguments(), [], Model(), None
    def training_step(self, model, inputs):
        return Loss(0.5)
    def log(self, logs):
        pass
    def _inner_training_loop(self):
        pass
"""
STEPS = """
from transformers.trainer import Trainer
trainer = Trainer()
def work():
    for _ in range(20):
        trainer.state.global_step += 1
        trainer.training_step(None, {})
    trainer.log({"loss": 1.0})
def done():
    trainer.log({"loss": 1.0})
    return trainer.state.global_step
"""


def timed(folder: Path, module: str, source: str, script: str, *, turns: int) -> Any:
    """What the run has done in the end; each of its timers must have raised in it."""
    package = folder / "transformers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / f"{module}.py").write_text(source)
    (folder / "train.py").write_text(script + TIMED)
    ran = recorded.run([recorded.ENVPIN[0], "train.py", str(turns)], cwd=folder)
    assert ran.returncode == 0, ran.stderr
    caught, done = json.loads(ran.stdout)
    assert caught == turns, ran.stderr
    assert "Expired" not in ran.stderr
    return done


def test_every_timer_aimed_at_a_save_raises_in_the_run(tmp_path: Path) -> None:
    names = timed(tmp_path, "modeling_utils", MODELING, SAVES, turns=300)
    assert "envpin.json" in names, "the recorder was at work"
    assert not [name for name in names if name.endswith(".tmp")]


def test_every_timer_aimed_at_a_step_raises_in_the_run(tmp_path: Path) -> None:
    steps = timed(tmp_path, "trainer", TRAINER, STEPS, turns=400)
    lines = [json.loads(line) for line in (tmp_path / "out" / "envpin-trace.jsonl").read_text().splitlines()]
    seen = [line["step"] for line in lines if "step" in line]
    assert seen == sorted(set(seen)), "a step that a timer cut is left out, none is told twice"
    assert len(seen) >= min(steps, 10_000) - 400
