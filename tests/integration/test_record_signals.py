"""What the user's signal handlers raise while the recorder works reaches the user, every time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support import recorded

if TYPE_CHECKING:
    from pathlib import Path

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
SCRIPT = """
import json, os, signal, sys, time
from transformers.modeling_utils import PreTrainedModel
class Expired(TimeoutError):
    pass
def expire(number, frame):
    raise Expired()
signal.signal(signal.SIGALRM, expire)
model, caught = PreTrainedModel(), 0
before = time.perf_counter()
model.save_pretrained("warm")
whole = time.perf_counter() - before
for turn in range(int(sys.argv[1])):
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 + whole * turn / int(sys.argv[1]))
        model.save_pretrained("out")
        end = time.monotonic() + 1
        while time.monotonic() < end:
            time.sleep(0.0005)
        break  # it was swallowed
    except Expired:
        caught += 1
        assert signal.getsignal(signal.SIGALRM) is expire
print(json.dumps([caught, sorted(os.listdir("out"))]))
"""


def test_every_timer_aimed_at_a_save_raises_in_the_run(tmp_path: Path) -> None:
    package = tmp_path / "transformers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "modeling_utils.py").write_text(MODELING)
    (tmp_path / "train.py").write_text(SCRIPT)
    ran = recorded.run([recorded.ENVPIN[0], "train.py", "300"], cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    caught, names = json.loads(ran.stdout)
    assert caught == 300, ran.stderr
    assert "envpin.json" in names, "the recorder was at work"
    assert "Expired" not in ran.stderr
    assert not [name for name in names if name.endswith(".tmp")]


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
import json, os, signal, sys, time
from transformers.trainer import Trainer
class Expired(TimeoutError):
    pass
def expire(number, frame):
    raise Expired()
signal.signal(signal.SIGALRM, expire)
trainer, caught = Trainer(), 0
trainer.training_step(None, {})
before = time.perf_counter()
for _ in range(20):
    trainer.state.global_step += 1
    trainer.training_step(None, {})
trainer.log({"loss": 1.0})
whole = time.perf_counter() - before
for turn in range(int(sys.argv[1])):
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 + whole * turn / int(sys.argv[1]))
        end = time.monotonic() + 1
        while time.monotonic() < end:
            trainer.state.global_step += 1
            trainer.training_step(None, {})
            if trainer.state.global_step % 20 == 0:
                trainer.log({"loss": 1.0})
        break  # it was swallowed
    except Expired:
        caught += 1
        assert signal.getsignal(signal.SIGALRM) is expire
trainer.log({"loss": 1.0})
print(json.dumps([caught, trainer.state.global_step]))
"""


def test_every_timer_aimed_at_a_step_raises_in_the_run(tmp_path: Path) -> None:
    package = tmp_path / "transformers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "trainer.py").write_text(TRAINER)
    (tmp_path / "train.py").write_text(STEPS)
    ran = recorded.run([recorded.ENVPIN[0], "train.py", "400"], cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    caught, steps = json.loads(ran.stdout)
    assert caught == 400, ran.stderr
    assert "Expired" not in ran.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "envpin-trace.jsonl").read_text().splitlines()]
    seen = [line["step"] for line in lines if "step" in line]
    assert seen == sorted(set(seen)), "a step that a timer cut is left out, none is told twice"
    assert len(seen) >= min(steps, 10_000) - 400
