"""Adapters of every era, made for real: each release of peft below in an environment of its own time.

    python -m tests.support.eras FOLDER [NAME…]      makes them in FOLDER/NAME
    python -m tests.support.eras --keep FOLDER       keeps their small files in tests/data/eras

Kept are configs, cards, tokenizers, `training_args.bin`, trainer states, and the weights with their data zeroed.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from envpin.core import process
from envpin.core.errors import EnvpinError
from envpin.envs.refs.pins import Resolver
from envpin.envs.store.store import Store
from tests.support.environments import PYTHON, find_links, store_root

# The torch is one that imports beside all of them; its wheel may be one of this machine.
TORCH = "torch==2.13.0"
# peft, transformers, accelerate.
ERAS: dict[str, tuple[str, str, str]] = {
    "peft-0.5": ("0.5.0", "4.32.1", "0.22.0"),
    "peft-0.6": ("0.6.2", "4.35.2", "0.24.1"),
    "peft-0.7": ("0.7.1", "4.36.2", "0.25.0"),
    "peft-0.8": ("0.8.2", "4.37.2", "0.26.1"),
    "peft-0.9": ("0.9.0", "4.38.2", "0.27.2"),
    "peft-0.10": ("0.10.0", "4.39.3", "0.28.0"),
    "peft-0.11": ("0.11.1", "4.41.2", "0.30.1"),
    "peft-0.12": ("0.12.0", "4.43.1", "0.33.0"),
    "peft-0.13": ("0.13.2", "4.45.2", "1.0.1"),
    "peft-0.14": ("0.14.0", "4.47.1", "1.2.1"),
    "peft-0.15": ("0.15.2", "4.51.3", "1.6.0"),
    "peft-0.16": ("0.16.0", "4.53.3", "1.8.1"),
    "peft-0.17": ("0.17.1", "4.56.2", "1.10.1"),
    "peft-0.18": ("0.18.1", "4.57.6", "1.12.0"),
    "peft-0.19": ("0.19.1", "5.5.4", "1.13.0"),
    "peft-0.20": ("0.20.0", "5.18.0", "1.14.0"),
    "peft-0.21": ("0.21.2", "5.23.0", "1.15.0"),
}
DATA = Path(__file__).resolve().parents[1] / "data" / "eras"
_INSIDE = Path(__file__).with_name("era_inside.py")
_DROPPED = (".pt", ".pth", ".log")


def pins(name: str) -> tuple[str, ...]:
    """The requirements of an era's environment."""
    peft, transformers, accelerate = ERAS[name]
    return (
        f"transformers=={transformers}",
        f"peft=={peft}",
        TORCH,
        f"accelerate=={accelerate}",
        "safetensors",
        "numpy",
    )


def make(name: str, root: Path, *, keep_environment: bool = False) -> Path:
    """Make the adapters of an era below `root`; its environment is removed afterwards."""
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    store = Store(store_root() if keep_environment else root / "store")
    spec = Resolver(python=PYTHON, root=store.root).pins(pins(name), era=True, find_links=find_links())
    environment = store.ensure(spec)
    completed = process.run([environment.python, _INSIDE, folder], cwd=folder)
    if completed.status != 0:
        raise RuntimeError(f"{name}: {completed.stderr[-3000:]}")
    if not keep_environment:
        shutil.rmtree(environment.path, ignore_errors=True)
    return folder


def keep(name: str, root: Path) -> None:
    """Copy what is small of an era's adapters into the test data."""
    shutil.rmtree(DATA / name, ignore_errors=True)
    for path in sorted((root / name).rglob("*")):
        relative = path.relative_to(root / name)
        if not path.is_file() or path.suffix in _DROPPED or "runs" in relative.parts:
            continue
        if relative.parts[0] == "configs" or (relative.parts[0] == "base" and relative.name != "config.json"):
            continue
        if "checkpoint-2" in relative.parts and relative.name not in {"README.md", "trainer_state.json"}:
            continue  # the run's own are the same
        target = DATA / name / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes()
        if path.suffix == ".safetensors":
            length = 8 + int.from_bytes(data[:8], "little")
            data = data[:length] + bytes(len(data) - length)
        if path.suffix != ".bin":  # an archive with checksums
            data = data.replace(f"{root}/".encode(), b"/tmp/eras/")
        target.write_bytes(data)

    configs = {
        path.parent.name: json.loads(path.read_text())
        for path in sorted((root / name / "configs").glob("*/adapter_config.json"))
    }
    (DATA / name / "configs.json").write_text(json.dumps(configs, sort_keys=True) + "\n")


def main(argv: list[str]) -> None:
    keeping = "--keep" in argv
    root, *names = [word for word in argv if word != "--keep"]
    for name in names or ERAS:
        if keeping:
            keep(name, Path(root).absolute())
            continue
        try:
            folder = make(name, Path(root).absolute())
        except (RuntimeError, EnvpinError) as error:  # one era that cannot be built must not hide the others
            sys.stdout.write(f"{name}: failed: {error}\n")
        else:
            sys.stdout.write(f"{name}: {json.loads((folder / 'truth.json').read_text())}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
