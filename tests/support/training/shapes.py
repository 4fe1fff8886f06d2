"""A synthetic trainer, installed by real uv: it starts, names its output and saves as one of three real ones, or a loop
by hand.

Its libraries carry the names of transformers and peft and have the doors that the recorder watches; nothing is trained.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from envpin.envs.uv.command import find_uv
from tests.support.wheels import make_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bisecting import World

_UPLOADED = "2024-01-01T00:00:00Z"
_MODELS = """
class Config:
    _name_or_path, model_type = "base", "llama"
class PreTrainedModel:
    config = Config()
    @classmethod
    def from_pretrained(cls, name): return cls()
    def save_pretrained(self, save_directory): pass
    def get_input_embeddings(self): return None
    def modules(self): return []
    def parameters(self): return []
"""
_ARGUMENTS = """
class TrainingArguments:
    def __init__(self, output_dir, max_steps):
        self.output_dir, self.max_steps, self.world_size, self.seed = output_dir, max_steps, 1, 7
        self.__post_init__()
    def __post_init__(self): pass
    def to_dict(self): return dict(self.__dict__)
"""
_TRAINER = """
class State:
    global_step = 0
class Control:
    should_training_stop = False
class Trainer:
    def __init__(self, model, args, train_dataset):
        self.model, self.args, self.train_dataset = model, args, train_dataset
        self.state, self.control, self.optimizer = State(), Control(), None
        self.state.max_steps = args.max_steps
    def training_step(self, model, inputs): return model.step(inputs["text"])
    def log(self, logs): pass
    def train(self): return self._inner_training_loop()
    def _inner_training_loop(self, resume_from_checkpoint=None):
        for step in range(self.args.max_steps):
            loss = self.training_step(self.model, {"text": self.train_dataset[step % len(self.train_dataset)]})
            self.state.global_step += 1
            self.log({"loss": loss})
            if self.control.should_training_stop:
                break
    def save_model(self, output_dir=None): self.model.save_pretrained(output_dir or self.args.output_dir)
"""
_PEFT = """
import hashlib, json, os
class PeftModel:
    peft_config = {"default": None}
    def __init__(self, model): self.model, self.config, self.weight = model, model.config, b""
    def get_base_model(self): return self.model
    def named_parameters(self): return []
    def parameters(self): return iter(())
    def modules(self): return []
    def step(self, text):
        self.weight = hashlib.sha256(self.weight + text.encode()).digest()
        return self.weight[0] / 256
    def save_pretrained(self, save_directory, **_):
        os.makedirs(save_directory, exist_ok=True)
        header = json.dumps({"w": {"dtype": "U8", "shape": [32], "data_offsets": [0, 32]}}).encode()
        with open(os.path.join(save_directory, "adapter_model.safetensors"), "wb") as stream:
            stream.write(len(header).to_bytes(8, "little") + header + self.weight)
        with open(os.path.join(save_directory, "adapter_config.json"), "w") as stream:
            json.dump({"peft_type": "LORA", "base_model_name_or_path": "base"}, stream)
"""
_TRAINED = """
import os
from peft.peft_model import PeftModel
from transformers.modeling_utils import PreTrainedModel
from transformers.trainer import Trainer
from transformers.training_args import TrainingArguments
def train(output, rows, once_more=False):
    with open(rows) as stream:
        texts = stream.read().split()
    args = TrainingArguments(output, 4)
    if once_more:
        args.output_dir = output
    trainer = Trainer(PeftModel(PreTrainedModel.from_pretrained("base")), args, texts)
    trainer.train()
    return trainer
"""
# Each one's way from its command line to the folder of the adapter.
_SHAPES = {
    # LLaMA-Factory: a file of settings, of which the command line changes some.
    "settings": """
import json, sys
from acme.training import train
def main():
    with open(sys.argv[1]) as stream:
        asked = json.load(stream)
    asked.update(word.split("=") for word in sys.argv[2:])
    train(asked["output_dir"], asked["data"]).save_model()
""",
    # ms-swift: a folder named by the time below the output, counted by what is there, and set once more afterwards.
    "times": """
import os, sys, time
from acme.training import train
def main():
    parent = os.path.abspath(sys.argv[sys.argv.index("--output_dir") + 1])
    count = len(os.listdir(parent)) if os.path.isdir(parent) else 0
    folder = os.path.join(parent, "v%d-%s" % (count, time.strftime("%Y%m%d-%H%M%S")))
    trainer = train(folder, "rows.txt", once_more=True)
    trainer.model.save_pretrained(os.path.join(trainer.args.output_dir, "checkpoint-4"))
""",
    # AutoTrain: its parameters written into the project, then a process of its own that reads them.
    "project": """
import json, os, subprocess, sys
from acme.training import train
def main():
    project = sys.argv[sys.argv.index("--project-name") + 1]
    os.makedirs(project, exist_ok=True)
    with open(os.path.join(project, "training_params.json"), "w") as stream:
        json.dump({"project_name": project, "data_path": "rows.txt"}, stream)
    words = [sys.executable, "-m", "acme", os.path.join(project, "training_params.json")]
    sys.exit(subprocess.run(words).returncode)
def child():
    with open(sys.argv[1]) as stream:
        asked = json.load(stream)
    train(asked["project_name"], asked["data_path"]).save_model()
""",
    # A loop by hand: no trainer; it goes elsewhere, saves twice next to its rows, and reads back what it saved.
    "loop": """
import os
from peft.peft_model import PeftModel
from transformers.modeling_utils import PreTrainedModel
def main():
    with open("rows.txt") as stream:
        texts = stream.read().split()
    os.makedirs("saves")
    os.chdir("saves")
    model = PeftModel(PreTrainedModel.from_pretrained("base"))
    for text in texts[:2]:
        model.step(text)
    model.save_pretrained("half")
    for text in texts[2:]:
        model.step(text)
    model.save_pretrained("one")
    assert os.path.isfile("one/adapter_config.json")
""",
}
# Those without a trainer have no trace.
WITHOUT_TRAINER = frozenset({"loop"})
COMMANDS = {
    "settings": ("settings", "settings.json", "output_dir=saves/one"),
    "times": ("times", "sft", "--output_dir", "saves"),
    "project": ("project", "llm", "--train", "--project-name", "mine"),
    "loop": ("loop",),
}


def publish(world: World) -> None:
    """Put the trainer and its libraries on the index of `world`, and as wheels into its folder."""
    wheels = world.folder / "wheels"
    libraries = {
        "transformers": {"__init__": "", "modeling_utils": _MODELS, "training_args": _ARGUMENTS, "trainer": _TRAINER},
        "peft": {"__init__": "", "peft_model": _PEFT},
        "acme": {
            "__init__": "",
            "training": _TRAINED,
            "__main__": "from acme.project import child\nchild()\n",
            **_SHAPES,
        },
    }
    for name, modules in libraries.items():
        files = {f"{name}/{module}.py": code for module, code in modules.items()}
        scripts = {shape: f"acme.{shape}:main" for shape in _SHAPES} if name == "acme" else {}
        wheel = make_wheel(wheels, name, "1.0", files=files, scripts=scripts)
        world.index.add(wheel.name, wheel.read_bytes(), uploaded=_UPLOADED)


def install(world: World, folder: Path, *more: str) -> Path:
    """The scripts of a new environment with the trainer, and with `more` of the wheels in the folder of `world`."""
    uv = str(find_uv().path)
    subprocess.run([uv, "venv", "--quiet", str(folder)], check=True, env=world.variables)
    words = ["--no-index", "--find-links", str(world.folder / "wheels"), "acme", "transformers", "peft", *more]
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *words], check=True,
                   env=world.variables)  # fmt: skip
    return folder / "bin"
