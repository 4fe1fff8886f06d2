"""Train several times, plain or under envpin's hook, each in a fork, and time what the hook itself takes.

    record_steps_inside.py HOOK TURNS FOLDER STEPS HIDDEN LAYERS LENGTH RANK

In a training environment. HOOK is the folder of the hook; TURNS has a letter for each training, `p`lain or `r`ecorded.
The base is made in FOLDER, HIDDEN wide with LAYERS layers; LENGTH is the number of tokens of a row, RANK the adapter's.
Prints a JSON array with what each training told.
"""

import functools
import json
import os
import shutil
import sys
import time
import traceback
from typing import Any, Callable, Dict, List, Optional

BATCH = 2


class Clock:
    """Seconds, of wall time and of this thread's CPU, inside the outermost of its calls, by the name of what it was."""

    def __init__(self) -> None:
        self.wall: Dict[str, List[float]] = {}
        self.cpu: Dict[str, List[float]] = {}
        self._open = False

    def timed(self, name: str, action: Callable[..., Any], *args: object) -> Any:
        if self._open:
            return action(*args)
        self._open = True
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return action(*args)
        finally:
            self.cpu.setdefault(name, []).append(time.thread_time() - cpu)
            self.wall.setdefault(name, []).append(time.perf_counter() - wall)
            self._open = False

    def seconds(self) -> float:
        return sum(sum(times) for times in self.cpu.values())


def hooked(hook: str, run_folder: str) -> "tuple[Clock, Clock]":
    """Install the hook as `envpin record` does, with a clock around each of its doors, and one around its hashing."""
    sys.path.append(hook)
    import _envpin_hook

    doors, hashing = Clock(), Clock()
    for door in ("guarded", "lightly"):
        own = getattr(_envpin_hook, door)
        setattr(_envpin_hook, door, functools.partial(_timed, doors, own))
    from _envpin_hook import artefacts, contents

    for owner, name in ((artefacts, "sha256"), (artefacts, "sample"), (contents, "adapter")):
        setattr(owner, name, functools.partial(hashing.timed, name, getattr(owner, name)))
    os.makedirs(run_folder, exist_ok=True)
    _envpin_hook.install(run_folder)
    sys.path.remove(hook)
    return doors, hashing


def _timed(doors: Clock, door: Callable[..., Any], where: str, *args: Any) -> Any:
    return doors.timed(where, door, where, *args)


def make(folder: str, hidden: int, layers: int) -> Dict[str, Any]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=320, hidden_size=hidden, intermediate_size=3 * hidden, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return {}


def train(base: str, output: str, steps: int, length: int, rank: int, saved: Callable[[], float]) -> Dict[str, Any]:
    """Wall and CPU seconds of the training, and what `saved` says after each of some saves."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments, set_seed

    set_seed(7)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    rows_of_embedding = model.get_input_embeddings().weight.shape[0]
    ids = torch.randint(0, rows_of_embedding, (64, length)).tolist()
    rows = [{"input_ids": one, "attention_mask": [1] * length, "labels": one} for one in ids]
    arguments = TrainingArguments(
        output_dir=output, max_steps=steps, per_device_train_batch_size=BATCH, logging_steps=10, save_strategy="no",
        report_to=[], use_cpu=True, disable_tqdm=True, seed=7,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    wall, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    took = time.perf_counter() - wall, time.process_time() - cpu
    hashing = [saved()]
    for turn in range(5):
        model.save_pretrained(os.path.join(output, "save-%d" % turn))
        hashing.append(saved())
    each = [after - before for before, after in zip(hashing, hashing[1:])]  # noqa: B905  Python 3.8
    size = sum(one.numel() * one.element_size() for one in model.parameters() if one.requires_grad)
    return {"wall": took[0], "cpu": took[1], "saves_hashing": each, "adapter_mb": size / 1e6}


def forked(action: Callable[[], Dict[str, Any]]) -> Dict[str, Any]:
    """What `action` returns in a fork of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = json.dumps(action()).encode()
            os.write(writing, told)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        told = stream.read()
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(1)
    found: Dict[str, Any] = json.loads(told)
    return found


def turn(hook: Optional[str], base: str, output: str, steps: int, length: int, rank: int) -> Dict[str, Any]:
    clocks = hooked(hook, output + "-run") if hook is not None else None
    found = train(base, output, steps, length, rank, clocks[1].seconds if clocks is not None else lambda: 0.0)
    if clocks is not None:
        found.update(doors=clocks[0].wall, doors_cpu=clocks[0].cpu)
    return found


def main(hook: str, turns: str, folder: str, steps: str, hidden: str, layers: str, length: str, rank: str) -> None:
    base, output, told = os.path.join(folder, "base"), os.path.join(folder, "out"), []
    forked(lambda: make(base, int(hidden), int(layers)))  # this process starts no threads
    import peft  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401
    from transformers import AutoModelForCausalLM, Trainer  # noqa: F401

    for letter in turns:
        own = hook if letter == "r" else None
        told.append(forked(lambda: turn(own, base, output, int(steps), int(length), int(rank))))  # noqa: B023  at once
        shutil.rmtree(output, ignore_errors=True)
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
