"""What a manifest of schema 2 and the trace say of a real training run, and that neither harms it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from envpin.manifest.read import read_manifest
from envpin.manifest.trace import TRACE_NAME, read_trace
from envpin.recording.injected import HOOK
from tests.support import recorded
from tests.support.environments import pinned
from tests.support.recorded import FINETUNE
from tests.support.training import finetune

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = "qlora"
SECRET = "hf_" + "aB3dE5gH7jK9mN1pQ3sT5vW7"
pytestmark = pytest.mark.xdist_group("record-training")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the script, changed since its commit; a base and rows that git does not know."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "train.py").write_text(FINETUNE.read_text())
    (folder / ".gitignore").write_text("base-*\nout*\nrows.jsonl\n")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "one"]):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", *identity, "-C", str(folder), *words], check=True)
    with (folder / "train.py").open("a") as script:
        script.write(f"# once more\nTOKEN = '{SECRET}'\n")
    recorded.base("peft012", folder)
    finetune.write_rows(str(folder / "rows.jsonl"))
    return folder


def train(place: Path, out: str, *more: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return run_script(place, "train.py", out, *more, options=options)


def run_script(
    place: Path, script: str, out: str, *more: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    inputs = ("--base", "base-peft012", "--data", "rows.jsonl", "--output", out)
    return recorded.run([pinned(ENVIRONMENT).python, script, *inputs, *more], cwd=place, options=options)


def test_manifest_and_trace_say_what_the_run_did(place: Path) -> None:
    ended = train(place, "out", "--accumulation", "2", "--save-every", "4")
    assert ended.returncode == 0, ended.stderr
    assert "warning: while recording" not in ended.stderr
    manifest = read_manifest(place / "out")
    assert (manifest.schema, manifest.faults) == (2, ())
    training, code = manifest.training, manifest.code
    assert training is not None
    assert code is not None
    assert code.script == str(place / "train.py")
    assert code.sha256 == hashlib.sha256((place / "train.py").read_bytes()).hexdigest()
    assert (training.steps, training.first_step, training.max_steps) == (8, 1, 8)
    assert (training.world_size, training.accumulation, training.batch_size) == (1, 2, 2)
    assert training.arguments["learning_rate"] == 5e-3
    assert training.kernels["attention"] == "sdpa"
    assert training.kernels["dropout"] == {"0.1": 4}
    assert training.optimizer["groups"][0]["betas"] == [0.9, 0.999]
    assert training.initial is not None
    assert training.initial.made is not None
    assert training.initial.made.seed == 7

    trace = read_trace(place / "out", manifest.run.id if manifest.run else None)
    assert trace is not None
    assert [one.step for one in trace.steps] == list(range(1, 9))
    assert trace.initial == training.initial
    assert trace.final == training.final
    assert trace.final is not None
    assert trace.initial.adapter is not None
    assert trace.final.digest != trace.initial.adapter.digest
    assert all(one.batch is not None and (one.batch.micro, len(one.batch.rows)) == (2, 4) for one in trace.steps)
    # The trainer printed what it logged: the mean loss of two steps, the norm of the last, the rate after it.
    printed = [line for line in ended.stdout.splitlines() if "'grad_norm'" in line]
    logged = [one for one in trace.logs if "grad_norm" in one]
    assert [str(one["loss"]) for one in logged] == [line.split("'loss': ")[1].split(",")[0] for line in printed]
    for one in logged:
        own, before = (trace.at()[int(one["step"]) - back] for back in (0, 1))
        assert own.grad_norm == one["grad_norm"]
        assert isinstance(own.loss, float)
        assert isinstance(before.loss, float)
        assert (own.loss + before.loss) / 2 == pytest.approx(float(one["loss"]), abs=1e-4)

    early = read_manifest(place / "out" / "checkpoint-4")
    assert early.training is not None
    assert (early.training.steps, early.training.final) == (4, None)
    prefix = read_trace(place / "out" / "checkpoint-4")
    assert prefix is not None
    assert prefix.steps == trace.steps[:4]

    # The diff of tracked files, without the secret in it.
    assert manifest.run is not None
    assert manifest.run.git is not None
    patch = manifest.run.git.patch
    assert patch is not None
    assert patch.redacted
    text = (place / "out" / "envpin.patch").read_text()
    assert "+# once more" in text
    assert SECRET not in text
    assert patch.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_no_diff_and_a_killed_run_keep_the_trace_to_its_last_log(place: Path) -> None:
    kill = "\nimport os, signal\nfrom transformers import TrainerCallback\n"
    killer = (place / "train.py").read_text().replace("    made.train(", kill.replace("\n", "\n    ") + """
    class Kill(TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            if state.global_step == 7: os.kill(os.getpid(), signal.SIGKILL)
    made.add_callback(Kill())
    made.train(""")  # fmt: skip
    (place / "killed.py").write_text(killer)
    ended = run_script(place, "killed.py", "out-killed", "--save-every", "4", options=("--no-diff",))
    assert ended.returncode == 137
    trace = read_trace(place / "out-killed")
    assert trace is not None
    assert [one.step for one in trace.steps][:6] == [1, 2, 3, 4, 5, 6]
    assert [one["step"] for one in trace.logs] == [2, 4, 6]
    manifest = read_manifest(place / "out-killed" / "checkpoint-4")
    assert manifest.run is not None
    assert manifest.run.git is not None
    assert manifest.run.git.dirty is True
    assert manifest.run.git.patch is None
    assert not (place / "out-killed" / "checkpoint-4" / "envpin.patch").exists()


def test_a_trace_that_cannot_be_written_is_told_and_harms_nothing(place: Path) -> None:
    (place / "out-full" / TRACE_NAME).mkdir(parents=True)
    ended = train(place, "out-full")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("while recording: ") == 1
    assert "IsADirectoryError" in ended.stderr
    manifest = read_manifest(place / "out-full")
    assert manifest.training is not None
    assert manifest.training.trace is None
    assert manifest.training.final is not None
    assert json.loads((place / "out-full" / "envpin.json").read_text())["schema"] == 2


def test_what_spoils_a_repeat_is_told_when_the_training_begins(place: Path) -> None:
    (place / "slow.py").write_text(
        "import runpy, sys, time\n"
        "runpy.run_path('train.py', run_name='__main__')\n"
        "time.sleep(2)\n"
        "sys.stderr.write('the script is over\\n')\n"
    )
    ended = run_script(place, "slow.py", "out-late", "--late-seed")
    assert ended.returncode == 0, ended.stderr
    line = "a repeat of this run may differ: adapter-before-seed"
    assert ended.stderr.count(line) == 1
    assert ended.stderr.index(line) < ended.stderr.index("the script is over") < ended.stderr.index("recorded out-late")


ROWS = """
import json, sys
sys.path.insert(0, sys.argv[1])
import torch
from _envpin_hook import contents

def rows(*masks, **changed):
    ids = torch.arange(12, dtype=torch.int64).repeat(len(masks), 1)
    mask = torch.tensor(masks)
    batch = {"input_ids": ids.masked_fill(mask == 0, 99), "labels": ids * mask, "attention_mask": mask, **changed}
    digest = contents.BatchDigest()
    digest.add(batch)
    return digest.described()["rows"]

whole, left, right, hole = [1] * 12, [0] * 3 + [1] * 9, [1] * 9 + [0] * 3, [1, 1, 0] * 4
large = contents.BatchDigest()
large.add({"pixel_values": torch.zeros(2, 3, 1000, 1000)})
print(json.dumps({
    "alone": [rows(one)[0] for one in (whole, left, right, hole)],
    "together": rows(whole, left, right, hole),
    "bool": rows(whole, left, right, hole, attention_mask=torch.tensor([whole, left, right, hole]).bool()),
    "general": rows(whole, left, right, hole, attention_mask=torch.tensor([whole, left, right, hole]).float()),
    "padding": rows(left, input_ids=torch.tensor([[7, 8, 9, *range(3, 12)]])),
    "token": rows(left, input_ids=torch.tensor([[99, 99, 99, 4, *range(4, 12)]])),
    "sampled": large.described().get("sampled"),
}))
"""


def test_rows_of_a_batch_are_known_without_their_padding(tmp_path: Path) -> None:
    (tmp_path / "rows.py").write_text(ROWS)
    words = [str(pinned(ENVIRONMENT).python), "rows.py", str(HOOK)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True, env=recorded.variables())
    found = json.loads(done.stdout)
    assert found["alone"] == found["together"] == found["bool"] == found["general"]
    assert len(set(found["alone"])) == 4
    assert found["padding"] == [found["alone"][1]]
    assert found["token"] != [found["alone"][1]]
    assert found["sampled"] is True
