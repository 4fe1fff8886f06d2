"""Failures of `failures_inside.py`: in which environment, with which other packages, and the code that they show."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock

from envpin.core import process
from envpin.envs.uv.command import find_uv
from tests.support.environments import PYTHON, pinned, store_root

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SCRIPT = __file__.replace("failures.py", "failures_inside.py")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """`over` are packages that lie over those of the environment, so that one clash needs no environment of its own."""

    name: str
    code: str
    environment: str = "peft012"
    over: tuple[str, ...] = ()


FAILURES: tuple[Failure, ...] = (
    Failure(name="out_of_memory", code="out-of-memory"),
    Failure(name="out_of_memory_of_python", code="out-of-memory"),
    Failure(name="out_of_address_space", code="out-of-memory"),
    Failure(name="meta_offload", code="meta-tensor-offload"),
    Failure(name="meta_copy", code="meta-tensor-offload", environment="latest"),
    # The index has torchvision for CUDA; the environment's torch has none.
    Failure(name="torchvision", code="torch-companion-mismatch", over=("torchvision==0.28.0",)),
    Failure(name="pandas", code="numpy-abi", over=("pandas==1.5.3", "pytz", "python-dateutil", "six")),
    Failure(name="import_peft", code="numpy-abi", over=("transformers==4.42.4",)),
    Failure(name="import_peft", code="peft-transformers-incompatible", over=("peft==0.14.0", "transformers==4.41.2")),
    Failure(name="import_peft", code="peft-transformers-incompatible", environment="latest", over=("peft==0.17.1",)),
    Failure(name="rope", code="rope-config-unreadable", over=("peft==0.14.0", "transformers==4.41.2")),
    Failure(name="unknown_type", code="config-needs-newer-transformers"),
    Failure(name="unknown_type", code="config-needs-newer-transformers", environment="latest"),
    Failure(name="removed_type", code="config-needs-older-transformers", environment="latest"),
    Failure(name="removed_name", code="transformers-api-changed", environment="latest"),
    Failure(name="remote_code", code="remote-code-needed"),
    Failure(name="remote_code", code="remote-code-needed", environment="latest"),
    Failure(name="remote_code_missing", code="remote-code-missing"),
    Failure(name="remote_code_missing", code="remote-code-missing", environment="latest"),
    Failure(name="no_base", code="base-not-found"),
    Failure(name="no_base", code="base-not-found", environment="latest"),
    Failure(name="pair_merges", code="tokenizer-needs-newer"),
    Failure(name="generation", code="generation-config-invalid"),
    Failure(name="generation", code="generation-config-invalid", environment="latest"),
)


def fail(failures: Sequence[Failure], folder: Path) -> dict[str, str]:
    """What each of these failures printed, by name; they share an environment and what lies over it."""
    first = failures[0]
    assert {(one.environment, one.over) for one in failures} == {(first.environment, first.over)}
    folder.mkdir(parents=True)
    # The path of the overlay alone: what a user would have in PYTHONPATH does not belong into this.
    variables = process.scrubbed_environment(set_values={"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
    variables |= {"PYTHONPATH": str(_overlay(first.over))} if first.over else {}
    # A library that something lies over may be the very one that cannot be imported.
    preload = "" if first.over else "+"
    names = [f"{preload}{one.name}" for one in failures]
    command = [str(pinned(first.environment).python), _SCRIPT, str(folder), *names]
    completed = process.run(command, env=variables, timeout=500)
    assert completed.status == 0, completed.stderr
    return {one.name: (folder / f"{one.name}.log").read_text(encoding="utf-8") for one in failures}


def _overlay(packages: tuple[str, ...]) -> Path:
    """A folder of packages without what they require, made once per store."""
    folder = store_root() / "overlays" / "-".join(one.replace("==", "-") for one in packages)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(folder.name + ".lock")):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            command = [str(find_uv().path), "pip", "install", "--quiet", "--no-deps", "--python-version", PYTHON,
                       "--target", str(folder), *packages]  # fmt: skip
            completed = process.run(command, timeout=300)
            assert completed.status == 0, completed.stderr
            (folder / "done").touch()
    return folder
