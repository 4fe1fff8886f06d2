"""Merging on a GPU: is it bit-identical to PEFT's merge on that GPU, and is it worth it?

    python3 benchmarks/cuda_merge.py [--sizes 1.1 4] [--scratch DIR]

Runs in the Python that it is started with, which needs a CUDA torch, transformers, peft, accelerate and safetensors;
envpin itself need not be installed. Without a GPU every role runs on the CPU. Each role is a process of its own; wall
times are after imports and include the start of CUDA. Compared are every tensor's bits: envpin's against PEFT's on
the same device, and PEFT's on one device against PEFT's on the other.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WORKERS = HERE.parent / "src" / "envpin" / "workers"
# Kinds of adapter that are merged on a tiny model, each on both devices.
KINDS = ("lora", "rslora", "patterns", "dora", "loha", "lokr", "ia3", "oft", "embedding", "save-head", "lora-bias")


def role(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "merge_inside.py"), *map(str, arguments)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        return {"failed": completed.stderr[-1500:]}
    answer: dict[str, Any] = json.loads(completed.stdout.splitlines()[-1])
    return answer


def load(name: str, path: Path) -> Any:
    places = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=places)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def differing(one: Path, other: Path) -> str:
    """How many tensors of two folders differ in their bits, and how many elements of those."""
    import torch
    from safetensors.torch import load_file

    mine = {name: tensor for path in one.glob("*.safetensors") for name, tensor in load_file(path).items()}
    theirs = {name: tensor for path in other.glob("*.safetensors") for name, tensor in load_file(path).items()}
    if mine.keys() != theirs.keys():
        return f"names differ: {sorted(mine.keys() ^ theirs.keys())[:3]}"
    bad = [name for name in mine if not torch.equal(mine[name].view(torch.uint8), theirs[name].view(torch.uint8))]
    elements = sum(int((mine[name] != theirs[name]).sum()) for name in bad)
    total = sum(mine[name].numel() for name in mine)
    return f"{len(bad)} of {len(mine)} tensors, {elements} of {total} elements"


def large(size: str, scratch: Path, device: str) -> None:
    base, adapter = scratch / "base", scratch / "adapter"
    made = role("make", base, adapter, size)
    print(f"## {size} B parameters: {made}", flush=True)
    outputs: dict[str, Path] = {}
    roles: dict[str, tuple[object, ...]] = {
        "PEFT, cpu": ("peft", "cpu"),
        f"PEFT, {device}": ("peft", device),
        "stream, cpu": ("profile", WORKERS, 0, "cpu"),
        f"stream, {device}": ("profile", WORKERS, 0, device),
    }
    for name, (verb, *rest) in roles.items():
        outputs[name] = scratch / name.replace(", ", "-").replace(" ", "-")
        print(json.dumps({"name": name, **role(verb, base, adapter, outputs[name], *rest)}), flush=True)
    for one, other in (("stream, cpu", "PEFT, cpu"), (f"stream, {device}", f"PEFT, {device}"),
                       ("PEFT, cpu", f"PEFT, {device}")):  # fmt: skip
        print(f"{one} against {other}: {differing(outputs[one], outputs[other])}", flush=True)
    for path in (base, adapter, *outputs.values()):
        shutil.rmtree(path, ignore_errors=True)


def small(scratch: Path, device: str) -> None:
    """Every kind of adapter on a tiny model: both engines on the device against plain PEFT there."""
    load("envpin_worker", WORKERS / "__init__.py")
    grid = load("grid_inside", HERE / "grid_inside.py")
    import torch
    import transformers
    from envpin_worker import verbs
    from envpin_worker.runtime import several

    known = grid.adapters("llama")
    for number, kind in enumerate(kind for kind in KINDS if kind in known):
        folder = scratch / f"tiny-{number}"
        base, adapter = folder / "base", folder / "adapter"
        outs = {name: folder / name for name in ("wanted", "stream", "peft")}
        for path in outs.values():
            path.mkdir(parents=True)
        try:
            grid.make_base(str(base), "llama", torch.bfloat16, tied=False, sharded=True)
            grid.make_adapter(str(adapter), str(base), "llama", known[kind][0](), 0)
            model = transformers.LlamaForCausalLM.from_pretrained(base, **grid.dtype_auto()).to(device)
            request = {"base": str(base), "adapter": str(adapter), "device": device}
            from envpin_worker.runtime import loading

            with torch.no_grad():
                merged = loading.load_adapters(
                    model, [several.Source(str(adapter), 1.0, "default", "")]
                ).merge_and_unload()
                merged.to(torch.bfloat16).save_pretrained(outs["wanted"])
            streamed = verbs.answer("stream-merge", {**request, "out": str(outs["stream"])}, grid.Quiet())
            body = {**request, "staging": str(outs["peft"]), "answers": str(folder / "answers.safetensors")}
            verbs.answer("merge", body, grid.Quiet())
            print(
                f"{kind} on {streamed['device']['kind']}: stream {differing(outs['stream'], outs['wanted'])}; "
                f"engine peft {differing(outs['peft'], outs['wanted'])}; "
                f"worst {streamed['verification']['recomputed']['worst']:.3g}",
                flush=True,
            )
        except Exception as error:  # noqa: BLE001  a kind that fails must not end the others
            print(f"{kind}: {type(error).__name__}: {str(error)[:300]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", choices=("0.3", "1.1", "4"), default=["1.1"])
    parser.add_argument("--no-kinds", action="store_true", help="leave out the kinds of adapter on a tiny model")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "envpin-cuda")
    args = parser.parse_args()
    import peft
    import torch
    import transformers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    label = torch.cuda.get_device_name(0) if device == "cuda" else "no GPU"
    print(f"{label}, torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")
    if not args.no_kinds:
        small(args.scratch, device)
    for size in args.sizes:
        large(size, args.scratch, device)
    shutil.rmtree(args.scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
