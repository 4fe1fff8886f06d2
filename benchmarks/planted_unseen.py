"""Plant changes of kinds that `planted.py` has none of, whose expectations were written before any of them was run.

    .venv/bin/python benchmarks/planted_unseen.py PYTHON [NAME…]

Some of them change nothing that is computed: there the right answer is `identical`, and the change is still named.
docs/explanation/what-makes-a-fine-tune-repeatable.md says what the first run of this table named, and what later ones.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
from planted import ROUNDING, USUAL, Runs, first_line_apart, make_inputs

from envpin.replay.training.judge import judge

if TYPE_CHECKING:
    from envpin.replay.training.judge import TrainJudgement

SAME = -2  # the run is identical


class Unseen(NamedTuple):
    """A change: at which step it first shows (`SAME`: never), under which cause, and which recorded fact says so."""

    name: str
    against: str
    options: tuple[str, ...]
    step: int
    cause: str | None
    what: str | None
    variables: tuple[tuple[str, str], ...] = ()


TABLE = (
    # Decay and clipping change what a step makes of its gradient: the next loss is the first to show it.
    Unseen("weight decay", "usual", ("--set", "weight_decay=0.1"), 2, "optimizer", "weight_decay"),
    Unseen("gradient clipping", "usual", ("--set", "max_grad_norm=0.05"), 2, "optimizer", "max_grad_norm"),
    Unseen("sgd", "usual", ("--set", 'optim="sgd"'), 2, "optimizer", "optim"),
    Unseen("adam beta2", "usual", ("--set", "adam_beta2=0.9"), ROUNDING, "optimizer", "adam_beta2"),
    Unseen("warm-up", "usual", ("--set", "warmup_steps=2"), 1, "learning rate", "warmup_steps"),
    Unseen("cosine", "usual", ("--set", 'lr_scheduler_type="cosine"'), 2, "learning rate", "lr_scheduler_type"),
    Unseen("label smoothing", "usual", ("--set", "label_smoothing_factor=0.1"), 1, "hyperparameter",
           "label_smoothing_factor"),
    Unseen("noise on embeddings", "usual", ("--set", "neftune_noise_alpha=5"), 1, "hyperparameter",
           "neftune_noise_alpha"),
    Unseen("rows by length", "usual", ("--set", "group_by_length=true"), 1, "data order", "group_by_length"),
    Unseen("truncation", "usual", ("--length", "4"), 1, "data", "contents of the rows"),
    Unseen("padding in front", "usual", ("--pad-left",), 1, "code", "collator"),
    Unseen("last row dropped", "usual", ("--data", "shorter.jsonl"), 1, "data", "rows"),
    Unseen("last row dropped, unread", "in order", ("--data", "shorter.jsonl"), SAME, None, "rows"),
    # The loader of the evaluation draws a seed from torch's generator: the dropout after it is another one.
    Unseen("evaluation", "usual", ("--evaluate",), 5, "hyperparameter", "eval_strategy"),
    Unseen("gradient checkpointing", "usual",
           ("--set", "gradient_checkpointing=true", "--set", 'gradient_checkpointing_kwargs={"use_reentrant": false}'),
           SAME, None, "gradient_checkpointing"),
    Unseen("threads", "usual", ("--threads", "2"), SAME, None, "threads"),
    Unseen("adapter rank", "usual", ("--lora", "r=8"), 0, "adapter config", "adapter r"),
    # An adapter adds nothing at first, whatever its scale: the gradient's norm is the first to show it.
    Unseen("adapter alpha", "usual", ("--lora", "lora_alpha=16"), 1, "adapter config", "adapter lora_alpha"),
    Unseen("adapter targets", "usual", ("--lora", 'target_modules=["q_proj", "k_proj", "v_proj"]'), 0,
           "adapter config", "adapter target_modules"),
    Unseen("adapter init", "usual", ("--lora", 'init_lora_weights="gaussian"'), 0, "adapter config",
           "adapter init_lora_weights"),
    # A variable that the script reads and nothing records: the right answer is that nothing recorded differs.
    Unseen("variable of the script", "usual", (), 1, None, None, (("FINETUNE_SCALE", "1.01"),)),
)  # fmt: skip


def judged(one: Unseen, runs: Runs) -> tuple[TrainJudgement, bool, str]:
    """What is found, whether it is what was expected, and the step that was."""
    before = runs.usual(one.against)
    after = runs.run(one.name, (*USUAL[one.against], *one.options), env=dict(one.variables))
    found = judge(before, after)
    said = {fact.what for fact in (*found.because, *found.also)}
    named = one.what is None or one.what in said
    if one.step == SAME:
        return found, found.verdict == "identical" and named, "identical"
    step = first_line_apart(before, after) if one.step == ROUNDING else one.step
    good = (
        found.first is not None and found.verdict == "diverged" and (found.first.step, found.cause) == (step, one.cause)
    )
    return found, good and named, str(step)


def main(python: str, names: list[str]) -> None:
    right = same = 0
    chosen = [one for one in TABLE if not names or any(one.name.startswith(name) for name in names)]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        make_inputs(place, python)
        lines = (place / "rows.jsonl").read_text().splitlines()
        (place / "shorter.jsonl").write_text("\n".join(lines[:-1]) + "\n")
        runs = Runs(place, python)
        print(f"{'planted':<26} {'verdict':<12} {'first':<22} cause")
        for one in chosen:
            found, good, step = judged(one, runs)
            right += good
            same += one.step != SAME and found.verdict in {"identical", "equivalent"}
            first = f"step {found.first.step}, {found.first.sign}" if found.first is not None else "-"
            wrong = "" if good else f"   expected {step}, {one.cause}, {one.what}"
            because = ", ".join(fact.what for fact in (*found.because, *found.also))
            print(f"{one.name:<26} {found.verdict:<12} {first:<22} {found.cause}: {because}{wrong}", flush=True)
        runs.close()
    print(f"{right} of {len(chosen)} named rightly, {same} changes called the same")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
