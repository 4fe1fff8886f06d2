"""Real training runs under `envpin record`; every field of their manifests against the truth."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.manifest.read import read_manifest
from tests.support import recorded
from tests.support.environments import pinned
from tests.support.recorded import TINY

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.manifest.types import Manifest

TRUTH = """
import importlib.metadata, json, platform, re, sys, torch
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
texts = json.loads(sys.argv[2])
print(json.dumps({
    "distributions": {re.sub("[-_.]+", "-", one.metadata["Name"]).lower(): one.version
                      for one in importlib.metadata.distributions()},
    "python": platform.python_version(), "libc": " ".join(platform.libc_ver()), "machine": platform.machine(),
    "torch": torch.__version__, "length": len(tokenizer), "added": tokenizer.get_added_vocab(),
    "ids": [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts],
}))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("record")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def header(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    found: dict[str, Any] = json.loads(data[8 : 8 + length])
    found.pop("__metadata__", None)
    return found


def truth_of(name: str, folder: Path, manifest: Manifest) -> dict[str, Any]:
    texts = [one.text for one in manifest.tokenizer.samples] if manifest.tokenizer else []
    told = subprocess.run(
        [str(pinned(name).python), "-c", TRUTH, str(folder), json.dumps(texts)],
        env=recorded.variables(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(told.stdout)
    return found


@pytest.mark.xdist_group("record-trainer")
@pytest.mark.parametrize("name", ["peft012", "latest"])
def test_a_trainer_run_with_a_new_token(name: str, place: Path) -> None:
    base = recorded.base("peft012", place)
    out = place / f"out-{name}"
    command: list[str | Path] = [pinned(name).python, TINY, "trainer", base.name, out.name]
    ran = recorded.run(command, cwd=place)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip().endswith("trained 4")
    for folder in ("checkpoint-2", "checkpoint-4"):
        assert f"recorded out-{name}/{folder}/envpin.json\n" in ran.stderr
        assert read_manifest(out / folder).saved is not None
    assert f"recorded out-{name}/envpin.json\n" in ran.stderr
    assert "warning: while recording" not in ran.stderr

    manifest = read_manifest(out)
    truth = truth_of(name, out, manifest)
    assert {one.name: one.version for one in manifest.distributions} == truth["distributions"]
    assert manifest.faults == ()

    assert manifest.run is not None
    assert manifest.run.argv == tuple(str(word) for word in command)
    assert manifest.run.world_size == 1
    assert manifest.run.environment["OMP_NUM_THREADS"] == "1"
    assert manifest.run.seeds == {"torch": 11}
    assert manifest.run.started is not None
    assert manifest.run.saved is not None
    assert manifest.run.started <= manifest.run.saved

    assert manifest.python is not None
    assert manifest.python.version == truth["python"]
    assert manifest.python.libc == truth["libc"]
    assert manifest.python.machine == truth["machine"]
    assert manifest.torch is not None
    assert manifest.torch.version == truth["torch"]

    assert manifest.base is not None
    assert manifest.base.id == base.name
    assert manifest.base.path == str(base)
    assert manifest.base.commit is None
    assert manifest.base.config_sha256 == sha256(base / "config.json")
    assert (manifest.base.model_type, manifest.base.architecture) == ("llama", "LlamaForCausalLM")
    assert manifest.base.embedding_rows == 320
    assert manifest.base.tie_word_embeddings is False
    assert manifest.base.dtype == ("bfloat16" if name == "latest" else "float32")  # v5 keeps the checkpoint's
    assert manifest.base.quantization is None
    assert manifest.base.files == {"model.safetensors": sha256(base / "model.safetensors")}
    assert manifest.base.weights == open_checkpoint(base).samples
    assert manifest.base.stored_quantized is None

    (resize,) = manifest.resizes
    assert (resize.new_num_tokens, resize.rows_before, resize.rows_after) == (321, 320, 321)

    tokenizer = manifest.tokenizer
    assert tokenizer is not None
    assert tokenizer.source == "saved"
    assert tokenizer.length == truth["length"] == 321
    assert tokenizer.added == truth["added"]
    assert tokenizer.added_in_run == ("<|tool|>",)
    assert [list(one.ids) for one in tokenizer.samples] == truth["ids"]
    assert "tokenizer.json" in tokenizer.files
    for file, digest in tokenizer.files.items():
        assert digest == sha256(out / file)
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    assert tokenizer.chat_template_sha256 == hashlib.sha256(template.encode()).hexdigest()

    saved = manifest.saved
    assert saved is not None
    assert saved.kind == "adapter"
    assert saved.config == json.loads((out / "adapter_config.json").read_text())
    assert saved.files == {file: sha256(out / file) for file in ("adapter_config.json", "adapter_model.safetensors")}
    expected = header(out / "adapter_model.safetensors")
    assert {one.name: (list(one.shape), one.dtype) for one in saved.tensors} == {
        tensor: (facts["shape"], facts["dtype"]) for tensor, facts in expected.items()
    }

    trainer = manifest.trainer
    assert trainer is not None
    assert trainer.class_name == "transformers.trainer.Trainer"
    assert (trainer.seed, trainer.data_seed, trainer.global_step) == (11, 12, 4)
    assert trainer.package_version == truth["distributions"]["transformers"]


@pytest.mark.xdist_group("record-peft012")
def test_a_plain_loop_below_a_git_repository(place: Path) -> None:
    base = recorded.base("peft012", place)
    work = place / "repository"
    work.mkdir()
    (work / "train.txt").write_text("one")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], cwd=work, check=True)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=work, capture_output=True, text=True, check=True
    ).stdout.strip()
    (work / "train.txt").write_text("two")
    ran = recorded.run([pinned("peft012").python, TINY, "loop", base, "out"], cwd=work, options=["-o", "copy.json"])
    assert ran.returncode == 0, ran.stderr
    manifest = read_manifest(work / "out")
    assert manifest.run is not None
    assert manifest.run.git is not None
    assert (manifest.run.git.commit, manifest.run.git.dirty) == (commit, True)
    assert manifest.base is not None
    assert manifest.base.id is None, "an absolute path is no name"
    assert manifest.base.path == str(base)
    assert manifest.tokenizer is None, "the run had no tokenizer"
    assert manifest.trainer is None
    assert read_manifest(work / "copy.json") == manifest


@pytest.mark.xdist_group("record-peft012")
def test_a_plain_loop_in_another_era(place: Path) -> None:
    base = recorded.base("peft012", place)
    ran = recorded.run([pinned("vlm").python, TINY, "loop", base.name, "out-vlm"], cwd=place)
    assert ran.returncode == 0, ran.stderr
    manifest = read_manifest(place / "out-vlm")
    assert (manifest.version_of("transformers"), manifest.version_of("peft")) == ("4.51.3", "0.15.2")
    assert manifest.base is not None
    assert (manifest.base.id, manifest.base.embedding_rows) == (base.name, 320)
    assert manifest.saved is not None
    assert len(manifest.saved.tensors) == 8


@pytest.mark.xdist_group("record-peft012")
def test_the_commit_of_a_hub_cache_is_the_one_whose_files_were_opened(place: Path) -> None:
    """A cache as huggingface_hub lays it out: `main` has moved on, the run asked for an older commit."""
    base = recorded.base("peft012", place)
    old, new = "a" * 40, "b" * 40
    repository = place / "hub" / "models--tiny--llama"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(new)
    (repository / "blobs").mkdir()
    for commit in (old, new):
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for file in base.iterdir():
            blob = repository / "blobs" / sha256(file)
            blob.write_bytes(file.read_bytes())
            (snapshot / file.name).symlink_to(blob)
    for name, revision, expected in (("peft012", "main", new), ("peft012", old, old), ("latest", "main", new)):
        out = place / f"out-hub-{name}-{revision[:4]}"
        script = (
            "import sys; from transformers import AutoModelForCausalLM; from peft import LoraConfig, get_peft_model;"
            "m = AutoModelForCausalLM.from_pretrained('tiny/llama', revision=sys.argv[2]);"
            "get_peft_model(m, LoraConfig(target_modules=['q_proj'])).save_pretrained(sys.argv[1])"
        )
        ran = recorded.run(
            [pinned(name).python, "-c", script, out, revision], cwd=place, env={"HF_HUB_CACHE": str(place / "hub")}
        )
        assert ran.returncode == 0, ran.stderr
        manifest = read_manifest(out)
        assert manifest.base is not None
        assert manifest.base.id == "tiny/llama"
        assert manifest.base.commit == expected
        assert manifest.base.revision == (None if revision == "main" else revision)
        assert manifest.base.files == {"model.safetensors": sha256(base / "model.safetensors")}
        assert manifest.base.config_sha256 == sha256(base / "config.json")


@pytest.mark.xdist_group("record-peft012")
def test_two_ranks_leave_one_manifest(place: Path) -> None:
    """Rank 0 saves first, as with `is_main_process`; then the other one saves to the same folder as well."""
    base = recorded.base("peft012", place)
    torchrun = pinned("peft012").python.parent / "torchrun"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ran = recorded.run(
        [torchrun, "--nproc_per_node", "2", "--master_port", str(port), TINY, "ranks", base.name, "out"], cwd=place
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("recorded ") == 1
    assert [str(path.relative_to(place)) for path in (place / "out").rglob("envpin.json")] == ["out/envpin.json"]
    manifest = read_manifest(place / "out")
    assert manifest.run is not None
    assert manifest.run.world_size == 2
    assert manifest.run.argv[0] == str(torchrun)
    assert str(TINY) in manifest.run.process_argv
    assert not list((place / "out").glob(".envpin*"))


@pytest.mark.xdist_group("record-peft012")
def test_accelerate_launch(place: Path) -> None:
    base = recorded.base("peft012", place)
    accelerate = pinned("peft012").python.parent / "accelerate"
    ran = recorded.run(
        [accelerate, "launch", "--cpu", "--num_processes", "1", TINY, "loop", base.name, "out-accelerate"], cwd=place
    )
    assert ran.returncode == 0, ran.stderr
    manifest = read_manifest(place / "out-accelerate")
    assert manifest.run is not None
    assert manifest.run.argv[1:3] == ("launch", "--cpu")


@pytest.mark.xdist_group("record-peft012")
def test_the_api_without_the_command(place: Path) -> None:
    """`envpin.record` and `envpin.watch` inside a training environment that has envpin's sources and nothing else."""
    base = recorded.base("peft012", place)
    source = TINY.parents[3] / "src"
    script = f"""
import sys
sys.path.insert(0, {str(source)!r})
import envpin
if sys.argv[2] == "watch":
    envpin.watch()
if sys.argv[2] == "accelerate":
    from accelerate import Accelerator
    accelerator = Accelerator(cpu=True, log_with=[envpin.accelerate_tracker()])
    accelerator.init_trackers("run", config={{"x": 1}})
    accelerator.log({{"loss": 1.0}}, step=1)
    accelerator.end_training()
from transformers import AutoModelForCausalLM, AutoTokenizer
from peft import LoraConfig, get_peft_model
tokenizer = AutoTokenizer.from_pretrained({str(base)!r})
tokenizer.add_tokens(["<|x|>"])
model = AutoModelForCausalLM.from_pretrained({str(base)!r})
model.resize_token_embeddings(321)
model = get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
model.save_pretrained(sys.argv[1])
if sys.argv[2] == "record":
    print(envpin.record(model, tokenizer, sys.argv[1]))
    print(envpin.record(model, tokenizer, sys.argv[1] + "/nowhere"))
assert not any(name.startswith("msgspec") for name in sys.modules)
"""
    for how in ("record", "watch", "accelerate"):
        out = place / f"out-api-{how}"
        ran = recorded.run([pinned("peft012").python, "-c", script, out, how], cwd=place, recorded=False)
        assert ran.returncode == 0, ran.stderr
        manifest = read_manifest(out)
        assert manifest.tokenizer is not None
        assert manifest.tokenizer.length == 321
        assert manifest.base is not None
        if how == "record":
            assert ran.stdout == f"{out / 'envpin.json'}\nNone\n"
            assert "RecordingWarning: " in ran.stderr
            assert manifest.base.observed == "at-save", (
                "loading went on before anybody watched, and the manifest says so"
            )
        else:
            assert manifest.base.embedding_rows == 320
            assert manifest.tokenizer.added_in_run == ("<|x|>",)
            assert [(one.rows_before, one.rows_after) for one in manifest.resizes] == [(320, 321)]


@pytest.mark.xdist_group("record-peft012")
def test_the_trainer_callback(place: Path) -> None:
    base = recorded.base("peft012", place)
    script = TINY.read_text().replace(
        "train_dataset=rows, ", "train_dataset=rows, callbacks=[envpin.TrainerCallback()], "
    )
    source = TINY.parents[3] / "src"
    (place / "with_callback.py").write_text(
        f"import sys; sys.path.insert(0, {str(source)!r})\nimport envpin\n" + script
    )
    command: list[str | Path] = [pinned("peft012").python, "with_callback.py", "trainer", base.name, "out-callback"]
    ran = recorded.run(command, cwd=place, recorded=False)
    assert ran.returncode == 0, ran.stderr
    found = sorted(str(path.parent.relative_to(place)) for path in (place / "out-callback").rglob("envpin.json"))
    assert found == ["out-callback", "out-callback/checkpoint-2", "out-callback/checkpoint-4"]
    manifest = read_manifest(place / "out-callback")
    assert manifest.trainer is not None
    assert (manifest.trainer.seed, manifest.trainer.global_step) == (11, 4)
