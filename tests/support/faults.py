"""Each fault of `faults_inside.py`: which folders show it, what real peft does with them, what `check` says."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from envpin.core import process
from tests.support.environments import pinned

if TYPE_CHECKING:
    from pathlib import Path

Reaction = Literal["raises", "warns", "silent"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`adapter` and `base` are folders; without an adapter the base alone is checked. `old` and `new` are what peft
    0.12.0 on transformers 4.43.1 and peft 0.21.2 on transformers 5.23.0 do with the pair `case`."""

    code: str
    adapter: str | None
    base: str | None = "base"
    severity: str = "blocker"
    old: Reaction | None = None
    new: Reaction | None = None
    case: str = ""
    target: dict[str, str] = field(default_factory=dict)


def own(code: str, old: Reaction, new: Reaction, *, severity: str = "blocker", base: str = "base") -> Fault:
    return Fault(code=code, adapter=code, base=base, severity=severity, old=old, new=new, case=code)


def alone(code: str, old: Reaction, new: Reaction, *, severity: str = "blocker", **target: str) -> Fault:
    return Fault(code=code, adapter=None, base=code, severity=severity, old=old, new=new, case=code, target=target)


FAULTS: tuple[Fault, ...] = (
    own("vocab-grown", "raises", "raises", severity="warning"),
    own("vocab-shrunk-padded", "raises", "raises", severity="warning", base="base448"),
    own("padding-mismatch", "raises", "raises", severity="warning"),
    Fault(code="padding-mismatch", adapter="padding-trap", base="base384", severity="warning", old="raises", new="raises", case="padding-trap"),
    own("vocab-mismatch", "raises", "raises", base="base330"),
    own("vocab-rows-not-saved", "silent", "silent"),
    Fault(code="wrong-base-hidden-size", adapter="healthy", base="wide", old="raises", new="raises", case="wrong-base-hidden-size"),
    Fault(code="wrong-base-layers", adapter="healthy", base="shallow", old="silent", new="silent", case="wrong-base-layers"),
    Fault(code="wrong-base-architecture", adapter="healthy", base="gpt2", old="raises", new="raises", case="wrong-base-architecture"),
    own("rank-mismatch", "raises", "raises"),
    own("empty-tensors-zero3", "raises", "raises"),
    own("unpaired-lora", "silent", "warns"),
    own("unmatched-adapter-keys", "silent", "warns"),
    own("extra-adapter-tensors", "silent", "silent", severity="warning"),
    own("compile-prefix", "silent", "warns"),
    own("fsdp-prefix", "silent", "warns"),
    own("tied-head", "silent", "warns", severity="warning", base="tied"),
    own("adapter-is-noop", "silent", "silent", severity="warning"),
    own("weights-not-finite", "silent", "silent"),
    Fault(code="model-tensors-missing", adapter="healthy", base="model-tensors-missing", old="silent", new="silent", case="model-tensors-missing"),
    own("lfs-pointer", "raises", "raises"),
    own("html-instead-of-weights", "raises", "raises"),
    own("truncated-file", "raises", "raises"),
    own("corrupt-header", "raises", "raises"),
    own("quantization-differs", "silent", "silent", severity="warning"),
    Fault(code="base-not-found", adapter="base-not-found", base=None, severity="warning", old="silent", new="silent", case="base-not-found"),
    Fault(code="quantized-base-packed", adapter="healthy", base="quantized-base-packed", old="raises", new="raises", case="quantized-base-packed"),
    Fault(code="quantized-base-unmergeable", adapter="healthy", base="quantized-base-unmergeable", old="raises", new="raises", case="quantized-base-unmergeable"),
    alone("missing-shard", "raises", "raises"),
    alone("pickle-weights", "silent", "silent", severity="info"),
    alone("architecture-drift", "raises", "raises"),
    alone("dtype-drift", "silent", "silent", severity="info"),
    alone("adapter-files-in-merged", "raises", "raises"),
    alone("remote-code-missing", "silent", "silent", severity="warning"),
    alone("remote-code-needed", "silent", "silent", severity="warning"),
    alone("generation-config-invalid", "raises", "silent", severity="warning"),
    alone("config-needs-newer-transformers", "raises", "silent", transformers="4.43.1"),
    alone("rope-config-unreadable", "silent", "silent", transformers="4.42.4"),
    Fault(code="transformers-api-changed", adapter=None, base="remote-code-needed", target={"transformers": "4.51.3"}),
    Fault(code="torch-too-old-for-bin", adapter=None, base="pickle-weights", target={"transformers": "4.52.4", "torch": "2.5.1"}),
    Fault(code="peft-transformers-incompatible", adapter="healthy", target={"transformers": "5.0.0", "peft": "0.17.1"}),
    Fault(code="torch-companion-mismatch", adapter="healthy", target={"torch": "2.4.0", "torchvision": "0.18.0"}),
    Fault(code="numpy-abi", adapter="healthy", target={"torch": "2.0.1", "numpy": "2.0.0"}),
    Fault(code="config-needs-older-transformers", adapter=None, base="removed", target={"transformers": "5.23.0"}),
)  # fmt: skip
LATEST = {"transformers": "5.23.0", "peft": "0.21.2"}
# Written by transformers 5 and peft 0.21, read by transformers 4.43 and peft 0.12.
CROSSED: tuple[Fault, ...] = (
    Fault(code="adapter-needs-newer-peft", adapter="healthy", old="raises", case="healthy", target={"peft": "0.12.0"}),
    Fault(code="rope-theta-lost", adapter=None, base="theta", target={"transformers": "4.43.1"}),
    Fault(code="tokenizer-needs-newer", adapter="healthy", target={"transformers": "4.43.1"}),
)  # fmt: skip
# Written by transformers 4.43 and peft 0.12, read by transformers 5.23 and peft 0.21.
FORWARD: tuple[Fault, ...] = (
    Fault(code="moe-layout", adapter="moe-layout", base="moe-base", new="warns", case="moe-layout", target=LATEST),
    Fault(code="moe-layout", adapter="moe-silent", base="moe-shared", new="silent", case="moe-silent", target=LATEST),
)


@dataclass(frozen=True, kw_only=True)
class Made:
    """The folders that 0.12 and the latest peft wrote, and what each did with them; `crossed` is what the old one did
    with folders of the new one, `forward` the other way round."""

    old: Path
    new: Path
    old_reactions: dict[str, dict[str, Any]]
    new_reactions: dict[str, dict[str, Any]]
    crossed: dict[str, dict[str, Any]]
    forward: dict[str, dict[str, Any]]


def make_faults(root: Path) -> Made:
    """Write every folder in both environments, and try them there."""
    script = __file__.replace("faults.py", "faults_inside.py")
    reactions: dict[str, dict[str, dict[str, Any]]] = {}
    for name, environment in (("old", "peft012"), ("new", "latest")):
        _inside(environment, script, "make", root / name)
        reactions[name] = json.loads(_inside(environment, script, "react", root / name))
        removed = shutil.copytree(root / name / "base", root / name / "removed")
        config = json.loads((removed / "config.json").read_text())
        (removed / "config.json").write_text(json.dumps(config | {"model_type": "jukebox"}))
    crossed = root / "crossed"
    for name in ("base", "healthy", "theta"):
        shutil.copytree(root / "new" / name, crossed / name)
    reactions["crossed"] = json.loads(_inside("peft012", script, "react", crossed))
    forward = root / "forward"
    for name in ("base", "healthy", "moe-base", "moe-shared", "moe-layout", "moe-whole", "moe-silent"):
        shutil.copytree(root / "old" / name, forward / name)
    reactions["forward"] = json.loads(_inside("latest", script, "react", forward))
    return Made(old=root / "old", new=root / "new", old_reactions=reactions["old"], new_reactions=reactions["new"],
                crossed=reactions["crossed"], forward=reactions["forward"])  # fmt: skip


def _inside(environment: str, script: str, verb: str, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    variables = process.scrubbed_environment(set_values={"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
    completed = process.run([str(pinned(environment).python), script, verb, str(folder)], env=variables, timeout=500)
    assert completed.status == 0, completed.stderr[-3000:]
    return completed.stdout


def reaction_of(result: dict[str, Any], healthy: dict[str, Any]) -> Reaction:
    """What peft did: raise, warn of something that it does not say of a healthy pair, or nothing."""
    if result["raised"]:
        return "raises"
    return "warns" if set(result["warned"]) - set(healthy["warned"]) else "silent"
