"""Runs inside a pinned environment: makes healthy and faulty folders with real transformers and peft, and tries them.

python faults_inside.py make OUT     every folder, written by this environment
python faults_inside.py react OUT    load and merge each pair; what happened, as JSON on stdout
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Callable

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)

LLAMA: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


def model(path: Path, **changes: Any) -> Path:
    torch.manual_seed(0)
    made = transformers.LlamaForCausalLM(transformers.LlamaConfig(**(LLAMA | changes)))
    made.save_pretrained(path)
    return path


def tokenizer(path: Path, size: int, *, own: int = 320) -> None:
    """`size` tokens, of which the model of the tokenizer has `own`, and the others were added."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<unk>": 0, **{f"w{at}": at for at in range(1, own)}}
    raw = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")
    made.add_tokens([f"<new{at}>" for at in range(size - own)])
    assert len(made) == size
    made.save_pretrained(path)


def adapter(
    path: Path,
    base: Path,
    *,
    rows: int | None = None,
    padded: int | None = None,
    train: bool = True,
    tokens: int | None = None,
    **config: Any,
) -> Path:
    torch.manual_seed(1)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(base)
    if rows is not None:
        loaded.resize_token_embeddings(rows, pad_to_multiple_of=padded)
    settings = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"} | config
    lora = get_peft_model(loaded, LoraConfig(**settings))
    if train:
        for name, parameter in lora.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lora.save_pretrained(path, save_embedding_layers=True if rows is not None else "auto")
    if tokens is not None:
        tokenizer(path, tokens)
    return path


def edited(source: Path, target: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """A copy of an adapter with other tensors."""
    shutil.copytree(source, target)
    file = target / "adapter_model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    return target


def with_config(source: Path, target: Path, name: str, **changes: Any) -> Path:
    """A copy of a folder with other values in one JSON file."""
    shutil.copytree(source, target)
    document = json.loads((target / name).read_text())
    document.update(changes)
    (target / name).write_text(json.dumps(document))
    return target


def replaced(source: Path, target: Path, name: str, content: bytes) -> Path:
    shutil.copytree(source, target)
    (target / name).write_bytes(content)
    return target


def make(out: Path) -> None:
    base = model(out / "base")
    good = adapter(out / "healthy", base, tokens=320)
    weights = (good / "adapter_model.safetensors").read_bytes()
    adapter(out / "vocab-grown", base, rows=321, tokens=321)
    adapter(out / "vocab-shrunk-padded", model(out / "base448", vocab_size=448), rows=321, tokens=321)
    adapter(out / "padding-mismatch", base, rows=321, padded=64, tokens=321)
    adapter(out / "vocab-mismatch", model(out / "base330", vocab_size=330), rows=321, tokens=325)
    adapter(out / "vocab-equal", base, rows=320, tokens=320)
    adapter(out / "padding-trap", model(out / "base384", vocab_size=384), rows=321, tokens=321)
    if transformers.__version__ < "5":  # once is enough: 150,000 tokens take their time
        adapter(out / "qwen", model(out / "qwen-base", vocab_size=152_064, hidden_size=8), rows=151_665)
        tokenizer(out / "qwen", 151_665, own=151_643)
    shutil.copytree(good, out / "vocab-rows-not-saved")
    tokenizer(out / "vocab-rows-not-saved", 321)
    model(out / "wide", hidden_size=128)
    model(out / "shallow", num_hidden_layers=1)
    transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=64, n_layer=2, n_head=4, vocab_size=320)
    ).save_pretrained(out / "gpt2")
    with_config(good, out / "rank-mismatch", "adapter_config.json", r=4)
    edited(good, out / "empty-tensors-zero3", lambda all_: {name: torch.zeros(0) for name in all_})
    edited(
        good,
        out / "unpaired-lora",
        lambda all_: {k: v for k, v in all_.items() if "0.self_attn.q_proj.lora_B" not in k},
    )
    edited(
        good,
        out / "unmatched-adapter-keys",
        lambda all_: {k.replace("v_proj", "value_proj"): v for k, v in all_.items()},
    )
    edited(
        good,
        out / "extra-adapter-tensors",
        lambda all_: all_ | {"base_model.model.model.norm.weight": torch.full((64,), 2.0)},
    )
    edited(
        good,
        out / "compile-prefix",
        lambda all_: {k.replace(".model.model", ".model._orig_mod.model"): v for k, v in all_.items()},
    )
    edited(
        good,
        out / "fsdp-prefix",
        lambda all_: {k.replace("self_attn", "_fsdp_wrapped_module.self_attn"): v for k, v in all_.items()},
    )
    adapter(out / "tied-head", model(out / "tied", tie_word_embeddings=True), modules_to_save=["lm_head"])
    adapter(out / "adapter-is-noop", base, train=False)
    edited(
        good,
        out / "weights-not-finite",
        lambda all_: {k: v * float("nan") if "layers.0" in k else v for k, v in all_.items()},
    )
    replaced(
        good,
        out / "lfs-pointer",
        "adapter_model.safetensors",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345678\n",
    )
    replaced(good, out / "html-instead-of-weights", "adapter_model.safetensors", b"<!doctype html><html></html>")
    replaced(good, out / "truncated-file", "adapter_model.safetensors", weights[:-100])
    replaced(good, out / "corrupt-header", "adapter_model.safetensors", weights[:8] + b"x" + weights[9:])
    sharded = transformers.AutoModelForCausalLM.from_pretrained(base)
    sharded.save_pretrained(out / "missing-shard", max_shard_size="100KB")
    next((out / "missing-shard").glob("model-00002-of-*")).unlink()
    pickles(out, base, good)
    if transformers.__version__ < "5":  # 5 has no single experts that could be trained
        experts = transformers.MixtralConfig(**LLAMA, num_local_experts=2, num_experts_per_tok=1)
        transformers.MixtralForCausalLM(experts).save_pretrained(out / "moe-base")
        adapter(out / "moe-layout", out / "moe-base", target_modules=["w1", "w3"])
        adapter(out / "moe-whole", out / "moe-base", target_modules=["w1", "w2", "w3"])
        shared = transformers.Qwen2MoeConfig(
            **LLAMA, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=32, shared_expert_intermediate_size=32
        )
        transformers.Qwen2MoeForCausalLM(shared).save_pretrained(out / "moe-shared")
        adapter(out / "moe-silent", out / "moe-shared", target_modules=["gate_proj", "up_proj", "down_proj"])
    configs(out, base, good)


def pickles(out: Path, base: Path, good: Path) -> None:
    """transformers 5 no longer writes pickles: the file is written as 4.x wrote it."""
    tensors = load_file(base / "model.safetensors")
    for name, new in (("pickle-weights", True), ("legacy-bin", False)):
        shutil.copytree(base, out / name)
        (out / name / "model.safetensors").unlink()
        torch.save(tensors, out / name / "pytorch_model.bin", _use_new_zipfile_serialization=new)
    shutil.copytree(out / "pickle-weights", out / "sharded-bin")
    (out / "sharded-bin" / "pytorch_model.bin").unlink()
    names = list(tensors)
    halves = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for file, some in halves.items():
        torch.save({one: tensors[one] for one in some}, out / "sharded-bin" / file)
    index = {"metadata": {}, "weight_map": {one: file for file, some in halves.items() for one in some}}
    (out / "sharded-bin" / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    copy = shutil.copytree(good, out / "pickled-adapter")
    torch.save(load_file(copy / "adapter_model.safetensors"), copy / "adapter_model.bin")
    (copy / "adapter_model.safetensors").unlink()


def configs(out: Path, base: Path, good: Path) -> None:
    with_config(base, out / "architecture-drift", "config.json", intermediate_size=256)
    transformers.AutoModelForCausalLM.from_pretrained(base, torch_dtype=torch.bfloat16).save_pretrained(out / "half")
    with_config(out / "half", out / "dtype-drift", "config.json", torch_dtype="float32", dtype="float32")
    quantized = {"quant_method": "gptq", "bits": 4}
    with_config(base, out / "quantized-base-unmergeable", "config.json", quantization_config=quantized)
    lacking = shutil.copytree(base, out / "model-tensors-missing")
    held = load_file(lacking / "model.safetensors")
    del held["model.layers.1.mlp.up_proj.weight"]
    save_file(held, lacking / "model.safetensors", metadata={"format": "pt"})
    packed = shutil.copytree(base, out / "quantized-base-packed")
    tensors = load_file(packed / "model.safetensors")
    tensors = {k: torch.zeros(v.numel() // 2, 1, dtype=torch.uint8) if "_proj" in k else v for k, v in tensors.items()}
    save_file(tensors, packed / "model.safetensors", metadata={"format": "pt"})
    with_config(
        good, out / "quantization-differs", "adapter_config.json", base_model_name_or_path="nowhere/base-bnb-4bit"
    )
    with_config(good, out / "base-not-found", "adapter_config.json", base_model_name_or_path="nowhere/else")
    both = shutil.copytree(base, out / "adapter-files-in-merged")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(good / name, both / name)
    remote = {"AutoModelForCausalLM": "modeling_own.OwnModel"}
    with_config(base, out / "remote-code-missing", "config.json", auto_map=remote)
    with_config(base, out / "remote-code-needed", "config.json", auto_map=remote)
    code = "from transformers.models.llama.modeling_llama import LlamaFlashAttention2\n"
    (out / "remote-code-needed" / "modeling_own.py").write_text(code)
    with_config(base, out / "generation-config-invalid", "generation_config.json", do_sample=False, temperature=0.5)
    llama3 = {
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 64,
        "rope_type": "llama3",
    }
    with_config(base, out / "rope-config-unreadable", "config.json", rope_scaling=llama3)
    with_config(base, out / "config-needs-newer-transformers", "config.json", model_type="qwen3")
    model(out / "theta", rope_theta=500000.0) if transformers.__version__ < "5" else model(
        out / "theta", rope_parameters={"rope_type": "default", "rope_theta": 500000.0}
    )


PAIRS = {
    "wrong-base-hidden-size": ("healthy", "wide"),
    "wrong-base-layers": ("healthy", "shallow"),
    "wrong-base-architecture": ("healthy", "gpt2"),
    "vocab-shrunk-padded": (None, "base448"),
    "vocab-mismatch": (None, "base330"),
    "tied-head": (None, "tied"),
    "quantized-base-packed": ("healthy", None),
    "quantized-base-unmergeable": ("healthy", None),
    "pickle-weights": ("healthy", None),
    "legacy-bin": ("healthy", None),
    "sharded-bin": ("healthy", None),
    "missing-shard": ("healthy", None),
    "model-tensors-missing": ("healthy", None),
    "architecture-drift": ("healthy", None),
    "dtype-drift": ("healthy", None),
    "adapter-files-in-merged": ("healthy", None),
    "remote-code-missing": ("healthy", None),
    "remote-code-needed": ("healthy", None),
    "rope-config-unreadable": ("healthy", None),
    "config-needs-newer-transformers": ("healthy", None),
    "generation-config-invalid": ("healthy", None),
    "theta": ("healthy", None),
    "padding-trap": (None, "base384"),
    "qwen": (None, "qwen-base"),
    "moe-layout": (None, "moe-base"),
    "moe-whole": (None, "moe-base"),
    "moe-silent": (None, "moe-shared"),
}


def react(out: Path) -> dict[str, dict[str, Any]]:
    names = sorted({path.name for path in out.iterdir() if path.is_dir()} | PAIRS.keys())
    skipped = {
        "base384",
        "qwen-base",
        "moe-base",
        "moe-shared",
        "base",
        "base448",
        "base330",
        "wide",
        "shallow",
        "gpt2",
        "tied",
        "half",
    }
    there = [name for name in names if all((out / folder).is_dir() for folder in pair_of(name))]
    return {name: attempt(out, name) for name in there if name not in skipped}


def pair_of(name: str) -> tuple[str, str]:
    """The folders of adapter and base of a case."""
    own_adapter, own_base = PAIRS.get(name, (name, "base"))
    return own_adapter or name, own_base or name


def attempt(out: Path, name: str) -> dict[str, Any]:
    """Load the pair, merge it and save: what it raised, what it warned of, and whether the adapter did anything."""
    path, base = (out / folder for folder in pair_of(name))
    result: dict[str, Any] = {"raised": None, "warned": [], "effect": None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loaded = transformers.AutoModelForCausalLM.from_pretrained(base)
            result["theta"] = getattr(loaded.config, "rope_theta", None) or getattr(
                loaded.config, "rope_parameters", {}
            ).get("rope_theta")
            before = {k: v.clone() for k, v in loaded.state_dict().items()}
            merged = PeftModel.from_pretrained(loaded, path).merge_and_unload()
            after = merged.state_dict()
            result["effect"] = sum(not torch.equal(before[k], after[k]) for k in before if k in after)
            result["experts"] = sum(
                not torch.equal(before[k], after[k]) for k in before if k in after and ".experts." in k
            )
            merged.save_pretrained(out.parent / f"{out.name}-merged" / name)
        except Exception as error:  # noqa: BLE001  what it raises is the answer
            result["raised"] = f"{type(error).__name__}: {error}"[:1500]
    if (path / "tokenizer.json").exists():
        try:
            transformers.AutoTokenizer.from_pretrained(path)
        except Exception as error:  # noqa: BLE001
            result["tokenizer"] = f"{type(error).__name__}: {error}"[:300]
    result["warned"] = sorted({str(one.message)[:300] for one in caught if issubclass(one.category, UserWarning)})
    return result


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        sys.stdout.write(json.dumps(react(Path(sys.argv[2]))))
