"""Runs inside one environment, one role per process, and prints one JSON line: wall time after imports, CPU, peak RSS.

python merge_inside.py make BASE ADAPTER SIZE [dora]   build a model of about SIZE parameters and a LoRA (DoRA) for it
python merge_inside.py peft|safe BASE ADAPTER OUT [DEVICE]      PEFT: load, merge_and_unload, save_pretrained
python merge_inside.py stream BASE ADAPTER OUT WORKERS [THREADS] [DEVICE]
python merge_inside.py profile …                        as stream, and CPU and wall seconds of each part
python merge_inside.py axolotl BASE ADAPTER OUT         axolotl's own streaming merge
python merge_inside.py copy-range BASE OUT
"""

import importlib.util
import json
import os
import resource
import sys
import time

# name -> layers, width, intermediate width, heads, key-value heads, vocabulary
SIZES = {
    "tiny": (2, 64, 128, 4, 2, 320),
    "0.35": (24, 1024, 2816, 16, 8, 32000),
    "0.3": (12, 1024, 2816, 16, 8, 64000),
    "1.1": (22, 2048, 5632, 32, 4, 32000),
    "4": (36, 2560, 9728, 32, 8, 151936),
    # the layers of 1.1, fewer and more of them
    "0.35@2048": (5, 2048, 5632, 32, 4, 32000),
    "4@2048": (88, 2048, 5632, 32, 4, 32000),
    # what memory depends on at 8 and 70 billion parameters: layers of their shape, but two of them
    "8@4096": (2, 4096, 14336, 32, 8, 128256),
    "70@8192": (2, 8192, 28672, 64, 8, 128256),
}


def main(role, *arguments):
    begin = time.perf_counter()
    timings = {
        "make": make,
        "peft": peft_merge,
        "safe": peft_merge,
        "stream": stream,
        "profile": stream,
        "axolotl": axolotl_merge,
        "copy-range": copy_range,
    }[role](role, *arguments)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "role": role, "total": round(time.perf_counter() - begin, 2), "cpu": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_rss_mb": round(usage.ru_maxrss / 1024), **timings,
    }))  # fmt: skip


def peak():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def make(_role, base, adapter, size, kind="lora"):
    import peft
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    layers, width, inner, heads, groups, vocabulary = SIZES[size]
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    if torch.cuda.is_available():
        torch.set_default_device("cuda")  # random numbers for billions of weights
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=groups, torch_dtype="bfloat16", tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.save_pretrained(base, max_shard_size="500MB")
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    adapted = peft.get_peft_model(
        model,
        peft.LoraConfig(r=16, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM", use_dora=kind == "dora"),
    )
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(std=0.02)
    adapted.save_pretrained(adapter)
    return {"parameters": sum(parameter.numel() for parameter in model.parameters())}


def peft_merge(role, base, adapter, out, device="cpu"):
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    imported, ready = time.perf_counter(), peak()
    model = AutoModelForCausalLM.from_pretrained(base, torch_dtype=torch.bfloat16)
    model = model.to(device)
    model = peft.PeftModel.from_pretrained(model, adapter)
    merged = model.merge_and_unload(safe_merge=role == "safe")
    merged.save_pretrained(out)
    return {"wall": round(time.perf_counter() - imported, 2), "imports_rss_mb": ready}


def axolotl_merge(_role, base, adapter, out):
    """What `axolotl merge-lora` calls for a LoRA, loaded from its file: the package itself imports what a CPU lacks."""
    import logging
    import types

    import peft  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401

    names = types.ModuleType("axolotl.utils.logging")
    names.get_logger = logging.getLogger
    for name in ("axolotl", "axolotl.utils"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["axolotl.utils.logging"] = names
    folder = next(one for one in (os.path.join(at, "axolotl") for at in sys.path) if os.path.isdir(one))
    spec = importlib.util.spec_from_file_location("lora_merge", os.path.join(folder, "cli", "utils", "lora_merge.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    imported, ready = time.perf_counter(), peak()
    module.merge_lora_sharded_efficient(base, adapter, out)
    return {"wall": round(time.perf_counter() - imported, 2), "imports_rss_mb": ready}


class Silent:
    def __getattr__(self, _name):
        return lambda *_arguments, **_options: None


def stream(role, base, adapter, out, workers, threads="0", device="cpu"):
    import torch

    torch_only = peak()
    import accelerate  # noqa: F401
    import peft  # noqa: F401
    import transformers  # noqa: F401

    spec = importlib.util.spec_from_file_location(
        "envpin_worker", os.path.join(workers, "__init__.py"), submodule_search_locations=[workers]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["envpin_worker"] = module
    spec.loader.exec_module(module)
    from envpin_worker import verbs

    spent = timed() if role == "profile" else {}
    imported, ready = time.perf_counter(), peak()
    os.makedirs(out, exist_ok=True)
    request = {"base": base, "adapter": adapter, "out": out, "threads": int(threads) or None, "device": device}
    result = verbs.answer("stream-merge", request, Silent())
    wall = time.perf_counter() - imported
    largest = max(size for _, _, _, size in result["tensors"].values())
    return {
        "wall": round(wall, 2), "torch_rss_mb": torch_only, "imports_rss_mb": ready,
        "largest_mb": round(largest / 2**20), "changed": result["changed"], "torch": torch.__version__,
        "calibration": result["verification"]["calibration"], "device": result["device"],
        "recomputed": result["verification"]["recomputed"], "compiler": "torch._dynamo" in sys.modules,
        "spent": {part: [round(figure, 2) for figure in row] for part, row in spent.items()},
    }  # fmt: skip


def timed():
    """Wrap the parts of the engine. Seconds of all threads together, by part: {part: [CPU, wall, calls]}."""
    from envpin_worker.stream import calibration
    from envpin_worker.stream import engine as stream
    from envpin_worker.stream import layers as stream_layers
    from envpin_worker.stream.io import reader as stream_reader
    from envpin_worker.stream.io import write as stream_write
    from envpin_worker.stream.prove import recompute as stream_recompute
    from envpin_worker.stream.prove import verify as stream_verify

    spent = {}

    def wrap(owner, name, label):
        inner = getattr(owner, name)

        def outer(*arguments, **options):
            cpu, wall = time.thread_time(), time.perf_counter()
            try:
                return inner(*arguments, **options)
            finally:
                row = spent.setdefault(label, [0.0, 0.0, 0])
                row[0] += time.thread_time() - cpu
                row[1] += time.perf_counter() - wall
                row[2] += 1

        setattr(owner, name, outer)

    wrap(stream, "build", "model without weights")
    wrap(calibration.Calibration, "run", "calibration")
    wrap(stream_write.Writer, "_operate", "operations: read, merge, write")
    wrap(stream_layers.Merger, "_write_whole", "whole weights: read, merge, write, in their own thread")
    wrap(stream_reader, "read_into", "  of which reading")
    wrap(stream_write, "write_all", "  of which writing")
    wrap(stream_write.Writer, "_copy", "copying")
    wrap(os, "fsync", "fsync")
    wrap(stream_verify.ShardVerifier, "verify", "verification without the digest")
    wrap(stream_verify, "add_blocks", "  of which checksums")
    wrap(stream_verify, "_all_finite", "  of which finite")
    wrap(stream_verify, "read_into", "  of which reading back")
    wrap(stream_recompute.Recomputer, "check", "recomputing rows")
    return spent


def copy_range(_role, base, out):
    os.makedirs(out, exist_ok=True)
    begin = time.perf_counter()
    for name in sorted(os.listdir(base)):
        with open(os.path.join(base, name), "rb") as source, open(os.path.join(out, name), "wb") as target:
            left = os.fstat(source.fileno()).st_size
            while left:
                left -= os.copy_file_range(source.fileno(), target.fileno(), left)
            target.flush()
            os.fsync(target.fileno())
    return {"wall": round(time.perf_counter() - begin, 2)}


if __name__ == "__main__":
    main(*sys.argv[1:])
