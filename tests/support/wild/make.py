"""Run trainers for real and keep what they leave.

    python -m tests.support.wild.make [NAME…] [--into tests/data/wild] [--work FOLDER]

Each gets an environment of its own (uv, the user's index and `UV_FIND_LINKS`): 1 to 3 GB with a CPU build of torch.
Optimizer states, images and data sets are left out of what is kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core import process
from envpin.envs.uv.command import find_uv
from tests.support.environments import find_links
from tests.support.wild.trainers import TORCH, TRAINERS, Trainer

if TYPE_CHECKING:
    from collections.abc import Sequence

INPUTS = Path(__file__).parent / "inputs"
KEPT = Path(__file__).resolve().parents[2] / "data" / "wild"
_LEFT_OUT = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "*.png", "images", "runs", "autotrain-data", "*.arrow",
             "last-checkpoint", "checkpoint-6", "checkpoint-9", "checkpoint-18", "checkpoint-27")  # fmt: skip


def install(trainer: Trainer, folder: Path) -> Path:
    """The interpreter of a new environment with a trainer in it."""
    folder.mkdir(parents=True, exist_ok=True)
    uv = find_uv()
    wanted, overrides = folder / "requirements.txt", folder / "overrides.txt"
    wanted.write_text("\n".join((*trainer.requirements, TORCH)) + "\n")
    # An impossible marker is uv's way to leave out a dependency of a dependency.
    overrides.write_text("".join(f"{name} ; python_version < '3'\n" for name in trainer.without))
    env = {**os.environ, **({"UV_FIND_LINKS": ",".join(find_links())} if find_links() else {})}
    python = folder / "env" / "bin" / "python"
    for words in (
        ("venv", "--quiet", "--python", "3.11", str(folder / "env")),
        ("pip", "install", "--quiet", "--python", str(python), "--overrides", str(overrides), "-r", str(wanted)),
    ):
        done = process.run([str(uv.path), *words], env=env)
        if done.status:
            raise SystemExit(f"uv {words[0]} of {', '.join(trainer.requirements)} failed:\n{done.stderr[-2000:]}")
    site = next((folder / "env" / "lib").glob("python*/site-packages"))
    for name in trainer.stubs:
        (site / f"{name}.py").write_text("")
    return python


def prepare(python: Path, folder: Path) -> None:
    """The base and the data sets, made with the environment's own transformers."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "base").exists():
        run_in(python, folder, [str(INPUTS / "base.py"), str(folder)])


def run_in(python: Path, folder: Path, arguments: Sequence[str]) -> None:
    """Run a script with the trainer's interpreter, in `folder`."""
    _run([str(python), *arguments], python, folder)


def train(trainer: Trainer, python: Path, folder: Path, before: Sequence[str] = ()) -> process.Completed:
    """Run a trainer in `folder`, where `prepare` was; `before` is put in front of its command (`envpin record --`)."""
    command = [word.format(inputs=INPUTS) for word in trainer.command]
    return _run([*before, *command], python, folder)


def _run(command: Sequence[str], python: Path, folder: Path) -> process.Completed:
    fixed = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "WANDB_DISABLED": "true", "CUDA_VISIBLE_DEVICES": ""}
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])
    done = process.run(list(command), env={**os.environ, **fixed, "PATH": path}, cwd=folder)
    if done.status:
        raise SystemExit(
            f"{' '.join(command)} ended with status {done.status}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
        )
    return done


def keep(left: Path, into: Path) -> None:
    """A copy without what is large and tells nothing, and without this machine's paths."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(left, into, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    here = str(left.resolve().parent)
    for path in [one for one in into.rglob("*") if one.is_file()]:
        data = path.read_bytes()
        if here.encode() not in data:
            continue
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            path.unlink()  # a pickle cannot be edited; what others of its kind hold is the same
        else:
            path.write_text(text.replace(here, "/home/user/run"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(TRAINERS), metavar="NAME")
    parser.add_argument("--into", type=Path, default=KEPT)
    parser.add_argument("--work", type=Path, default=Path("/tmp/envpin-wild"))
    args = parser.parse_args()
    for name in args.names:
        trainer = TRAINERS[name]
        python = install(trainer, args.work / name)
        folder = args.work / "runs"
        prepare(python, folder)
        train(trainer, python, folder)
        keep(folder / trainer.leaves, args.into / name)
        keep(folder / "base", args.into / "base")
        shutil.rmtree(args.work / name)
        sys.stdout.write(f"{name}: {', '.join(trainer.requirements)}\n")


if __name__ == "__main__":
    main()
