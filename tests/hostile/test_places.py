"""Stores, homes and folders that are gone, closed, full, somebody else's or not what they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hostile.situation import Situation, endure, table
from tests.hostile.test_inputs import plain

if TYPE_CHECKING:
    from pathlib import Path

_HOMES = {
    "the store is a file": "touch f; export ENVPIN_HOME=$PWD/f",
    "the store is a device": "export ENVPIN_HOME=/dev/null",
    "the store is where nobody writes": "export ENVPIN_HOME=/proc/envpin",
    "the store is a loop": "ln -s l l; export ENVPIN_HOME=$PWD/l",
    "the store is a link to nowhere": "ln -s nowhere l; export ENVPIN_HOME=$PWD/l",
    "the store has a name with a newline": "export ENVPIN_HOME=$PWD/$'a\\nb'",
    "the store has a name that is no text": "export ENVPIN_HOME=$PWD/$'\\xff'",
    "the store holds a pipe": "mkdir -p s/environments; mkfifo s/environments/p s/locks; export ENVPIN_HOME=$PWD/s",
    "the store holds a loop": "mkdir -p s/environments; ln -s x s/environments/x; export ENVPIN_HOME=$PWD/s",
    "an environment without a receipt": "mkdir -p s/environments/aaaa; export ENVPIN_HOME=$PWD/s",
    "a receipt that is a pipe": "mkdir -p s/environments/aaaa; mkfifo s/environments/aaaa/envpin-receipt.json;"
    " export ENVPIN_HOME=$PWD/s",
    "a receipt of nonsense": "mkdir -p s/environments/aaaa; echo '[' >s/environments/aaaa/envpin-receipt.json;"
    " export ENVPIN_HOME=$PWD/s",
    "a receipt of a later envpin": "mkdir -p s/environments/aaaa; echo '{\"schema\": 999}'"
    " >s/environments/aaaa/envpin-receipt.json; export ENVPIN_HOME=$PWD/s",
    "no HOME": "unset HOME ENVPIN_HOME XDG_DATA_HOME; export XDG_DATA_HOME=$PWD/d",
    "HOME is a file": "touch h; export HOME=$PWD/h ENVPIN_HOME=$PWD/h/store",
    "the working folder is gone": "mkdir gone; cd gone; rmdir ../gone; export ENVPIN_HOME=/proc/none",
}
_COMMANDS = {
    "list": "env list", "prune": "env prune", "path": "env path transformers==4.43.1",
    "check": "check ../adapter",
    "create": "env create transformers==0.0.1 --offline", "run": "run transformers==0.0.1 --offline -- true",
    "lock": "lock transformers==0.0.1 --offline", "resolve": "matrix resolve adapter", "scan": "scan .",
}  # fmt: skip
_OUTPUTS: dict[str, tuple[str, int | tuple[int, ...]]] = {
    "in the adapter": ("adapter/out", 5), "in the base": ("base/out", 5), "the adapter": ("adapter", 5),
    "a file": ("adapter/adapter_config.json", 5), "in a file": ("adapter/adapter_config.json/x", 2),
    "where nobody writes": ("/proc/x", (0, 2, 4, 5)), "in no folder": ("no/such/out", 2), "a device": ("/dev/null", 5),
    "a loop": ("loop", 5), "too long": ("x" * 300, (2, 5)), "in a link to the base": ("linked/out", 5),
}  # fmt: skip

ROWS = [
    *(
        Situation(name=f"{what}: {verb}", command=f"{setup}; $E {command}", status=(0, 1, 2, 3, 4, 5), make=plain)
        for what, setup in _HOMES.items()
        for verb, command in _COMMANDS.items()
    ),
    *(
        Situation(name=f"merge into what is {what}", status=status, make=plain, command=(
            "ln -s loop loop; ln -s base linked; "
            f"$E replay merge adapter --base base -o '{out}' --dry-run --offline --environment llama3.1; s=$?; "
            "[ -e adapter/out ] || [ -e base/out ] && exit 99; exit $s"))
        for what, (out, status) in _OUTPUTS.items()
        if what not in {"in the adapter", "in the base", "in a link to the base"}
    ),
    *(
        Situation(name=f"{option} on a full disk", command=f"$E {command}", status=4, make=plain)
        for option, command in {"matrix": "matrix list >/dev/full", "scan": "scan adapter >/dev/full"}.items()
    ),
]  # fmt: skip


@table(ROWS, sample=12)
def test_place_situation(situation: Situation, tmp_path: Path) -> None:
    endure(situation, tmp_path)
