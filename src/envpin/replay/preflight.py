"""What `check` finds in the parts of a merge, in the light of what a merge needs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from packaging.version import Version

from envpin.core.errors import UsageError
from envpin.core.findings import Evidence
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.check import check
from envpin.replay.adapters import method_packages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from envpin.checkpoint.bases import FoundBase
    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.core.findings import Finding
    from envpin.replay.adapters import WeightedAdapter

_PICKLES = (".bin", ".pt", ".pth")
# Steps of one who is merging already.
_OF_A_MERGE = {
    "base-weights-differ": (
        "name the base that training loaded: --base FOLDER",
        "if it is meant: --force, which the record of the merge keeps",
    ),
    "base-changed-since-training": ("name the base that training loaded, at its recorded commit: --base FOLDER",),
}
_CONVERT = (
    "import sys, torch; from safetensors.torch import save_file; held = torch.load(sys.argv[1], weights_only=True); "
    'save_file({name: one.clone() for name, one in held.items()}, sys.argv[2], metadata={"format": "pt"})'
)


def preflight(given: list[WeightedAdapter], base: FoundBase, target: dict[str, str]) -> tuple[Finding, ...]:
    """The findings of every adapter; where there are several, each message says whose it is."""
    found: list[Finding] = list(_pickles(base.checkpoint))
    for one in given:
        found += _pickles(one.checkpoint)
        for finding_ in check(one.checkpoint, base=base, target=target, reads_model=False).findings:
            if finding_.code == "pickle-weights" and finding_.severity != "blocker":
                continue  # said above
            named = f"{one.path.name}: {finding_.message}" if len(given) > 1 else finding_.message
            # The shapes of a base without weights tell `check` something, and a merge nothing.
            severity = "blocker" if finding_.code == "missing-shard" else finding_.severity
            fix = _OF_A_MERGE.get(finding_.code, finding_.fix)
            found.append(msgspec.structs.replace(finding_, message=named, severity=severity, fix=fix))
    return tuple(sorted(found, key=lambda finding_: finding_.sort_key))


def refuse_incomplete(named: str | None, packages: Mapping[str, str], adapters: Iterable[Checkpoint] = ()) -> None:
    """
    Raises:
        UsageError: the environment that the user named holds no torch, transformers or peft, or nothing of what the
            adapters' methods need.
    """
    if named is not None:
        _refuse_without_method(named, packages, adapters)
    missing = [one for one in ("torch", "transformers", "peft") if one not in packages]
    if named is not None and missing:
        raise UsageError(
            f"the environment `{named}` holds no {' and no '.join(missing)}, and a merge needs torch, transformers and "
            "peft",
            hint="name one that holds them, such as --environment 'transformers==X,peft==Y,torch==Z'",
        )


def _refuse_without_method(named: str, packages: Mapping[str, str], adapters: Iterable[Checkpoint]) -> None:
    for one in adapters:
        missing = [name for name in method_packages([one]) if name not in packages]
        if "scipy" in missing and "peft" in packages and Version(packages["peft"]) >= Version("0.20"):
            missing.remove("scipy")  # since then it computes the quantiles itself
        if missing:
            method = str((one.adapter_config or {}).get("peft_type") or "LORA").upper()
            what = "LoftQ" if "bitsandbytes" in missing or "scipy" in missing else method
            held = (name for name in ("transformers", "peft", "torch") if name in packages)
            asked = ",".join(f"{name}=={packages[name]}" for name in held)
            lacking = " and no ".join(missing)
            raise UsageError(
                f"the environment `{named}` holds no {lacking}, which peft needs to load `{one.path}` ({what})",
                hint=f"name one that holds them, such as --environment '{asked},{','.join(missing)}'",
            )


def _pickles(folder: Checkpoint) -> Iterator[Finding]:
    """`check` can list the tensors of a pickle; a merge would have to open it."""
    names = [name for name in folder.weight_files if name.endswith(_PICKLES)]
    if not names:
        return
    text = f"`{folder.path / names[0]}` is a pickle, which envpin does not open: a merge reads safetensors"
    fix = None
    if len(names) == 1 and folder.is_local:
        old = Path(str(folder.path)) / names[0]
        new = old.with_name("adapter_model.safetensors" if folder.kind == "adapter" else "model.safetensors")
        where = "in an environment with torch and safetensors, convert it once"
        fix = (f"{where}: {shlex.join(['python', '-c', _CONVERT, str(old), str(new)])}",)
    yield finding("pickle-weights", text, [Evidence(file=name) for name in names[:3]], severity="blocker", fix=fix)
