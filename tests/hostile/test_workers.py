"""What lies next to a base and an adapter while a worker merges them: pickles, templates and code. None of it runs."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.hostile.situation import MARK, Situation, endure, table
from tests.support.adapters import copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MERGE = "$E replay merge plain/adapter --base plain/base -o out"


class _Evil:
    """Unpickling it runs a command."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        import os

        return os.system, (f"touch {self.mark}",)


def _evil(folder: Path) -> bytes:
    return pickle.dumps(_Evil(str(folder / MARK)))


def with_pickles(folder: Path) -> None:
    """Files that training and other tools leave, and that some loader might unpickle."""
    pair = copy("plain", folder)
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt", "x.pkl"):
        for side in ("adapter", "base"):
            (pair / side / name).write_bytes(_evil(folder))


def with_code(folder: Path) -> None:
    """A module next to the weights, and configs that name it."""
    pair = copy("plain", folder)
    code = f"open({str(folder / MARK)!r}, 'w').close()\n"
    for side in ("adapter", "base"):
        for name in ("modeling_evil.py", "configuration_evil.py", "tokenization_evil.py", "conftest.py", "peft.py",
                     "torch.py", "transformers.py", "sitecustomize.py", "usercustomize.py", "json.py"):  # fmt: skip
            (pair / side / name).write_text(code)
    named = {"auto_map": {"AutoConfig": "configuration_evil.C", "AutoModelForCausalLM": "modeling_evil.M",
                          "AutoTokenizer": ["tokenization_evil.T", None]}}  # fmt: skip
    for side, name in (("base", "tokenizer_config.json"), ("adapter", "tokenizer_config.json")):
        path = pair / side / name
        document = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**document, **named}))


def with_templates(folder: Path) -> None:
    """Chat templates that reach for Python where somebody renders them outside a sandbox."""
    pair = copy("plain", folder)
    reach = "{{ ''.__class__.__mro__[1].__subclasses__() }}{% for one in [].__class__.__base__.__subclasses__() %}"
    reach += "{{ one.__init__.__globals__['os'].system('touch " + str(folder / MARK) + "') }}{% endfor %}"
    for side in ("adapter", "base"):
        (pair / side / "chat_template.jinja").write_text(reach)
        path = pair / side / "tokenizer_config.json"
        document = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**document, "chat_template": reach}))


def with_pickled_adapter(folder: Path) -> None:
    pair = copy("plain", folder)
    (pair / "adapter" / "adapter_model.safetensors").unlink()
    (pair / "adapter" / "adapter_model.bin").write_bytes(_evil(folder))


def with_pickled_base(folder: Path) -> None:
    pair = copy("plain", folder)
    for path in (pair / "base").glob("*.safetensors*"):
        path.unlink()
    (pair / "base" / "pytorch_model.bin").write_bytes(_evil(folder))


def with_endless_loftq(folder: Path) -> None:
    """Loading quantizes every weight as often as the config says."""
    pair = copy("plain", folder)
    path = pair / "adapter" / "adapter_config.json"
    more = {"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4, "loftq_iter": 10**9}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))


def with_initialisation(folder: Path) -> None:
    """A way to initialise an adapter that reads files before training, which loading one has no use for."""
    pair = copy("plain", folder)
    path = pair / "adapter" / "adapter_config.json"
    path.write_text(
        json.dumps(
            {
                **json.loads(path.read_text()),
                "init_lora_weights": "corda",
                "corda_config": {"cache_file": "/dev/zero", "covariance_file": str(folder / "x.pkl")},
            }
        )
    )
    (folder / "x.pkl").write_bytes(_evil(folder))


def _is_merged(work: Path) -> None:
    assert (work / "out" / "envpin-merge.json").is_file()
    shutil.rmtree(work / "out")


ROWS = [
    Situation(name="pickles next to both", command=MERGE, status=0, make=with_pickles, after=_is_merged),
    Situation(name="code next to both", command=MERGE, status=(0, 1, 5), make=with_code),
    Situation(name="chat templates that reach for Python", command=MERGE, status=0, make=with_templates),
    Situation(name="an adapter that is a pickle", command=MERGE, status=(1, 2, 5), make=with_pickled_adapter),
    Situation(name="a base that is a pickle", command=MERGE, status=(1, 2, 5), make=with_pickled_base),
    Situation(name="loftq without end", command=f"{MERGE} --engine peft --force", status=(1, 5),
              make=with_endless_loftq),
    Situation(name="corda", command=MERGE, status=(0, 1, 5), make=with_initialisation),
    Situation(name="corda in memory", command=f"{MERGE} --engine peft", status=(0, 1, 5),
              make=with_initialisation),
    Situation(name="pickles next to both, in memory", command=f"{MERGE} --engine peft", status=0, make=with_pickles),
    Situation(name="code from within the adapter", status=(0, 1, 5), make=with_code,
              command="cd plain/adapter; $E replay merge . --base ../base -o ../../out"),
]  # fmt: skip


# The first worker in an environment compiles torch and transformers.
ROWS = [replace(row, patience=300.0) for row in ROWS]


@table(ROWS, sample=5)
def test_worker_situation(situation: Situation, tmp_path: Path) -> None:
    endure(situation, tmp_path)
