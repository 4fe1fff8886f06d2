"""Checks of quantized bases, run inside an environment with bitsandbytes.

    quantized_inside.py WORKERS GRID SCRATCH OUT [PART OF A CHECK'S NAME]

Every function named `check_…` gets a fresh folder and raises where the engine is wrong; OUT gets one line of JSON per
check. The reference is always transformers' own `dequantize()`, then peft's own `merge_and_unload()`.
"""

import json
import os
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import bitsandbytes as bnb
import peft
import torch
import transformers

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from load_inside import load, load_workers  # type: ignore[import-not-found]

WORKERS, GRID, SCRATCH, OUT = sys.argv[1:5]
load_workers(WORKERS)
grid = load("grid_inside", GRID)

from envpin_worker import verbs
from envpin_worker.protocol import KnownError
from envpin_worker.stream import quantized as stream_quantized
from envpin_worker.stream.io.files import WeightFolder
from envpin_worker.stream.io.reader import Reader


def whole_blocks(tied: bool) -> Any:
    """A llama whose every row is a whole number of blocks: others are misread by bitsandbytes' CPU kernel."""
    wanted, config = grid.llama(tied)
    config.intermediate_size = 192
    return wanted, config


def experts_of_whole_blocks(tied: bool) -> Any:
    wanted, config = grid.qwen3_moe(tied)
    config.moe_intermediate_size = config.intermediate_size = 64
    return wanted, config


grid.MODELS["experts"] = (experts_of_whole_blocks, grid.LINEAR, "CAUSAL_LM")
grid.MODELS["whole"] = (whole_blocks, grid.LINEAR, "CAUSAL_LM")

FOUR_BIT: dict[str, dict[str, Any]] = {
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "nf4-double": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "fp4-double": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": True},
    "nf4-storage": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_quant_storage": "bfloat16"},
}
EIGHT_BIT: dict[str, Any] = {"load_in_8bit": True}
DTYPE = next(iter(grid.dtype_auto()))


class Silent:
    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_arguments, **_options: None


class Case:
    """A plain base, the same base quantized, and an adapter trained over the quantized one."""

    def __init__(self, folder: str, quantization: dict[str, Any], dtype: Any = torch.bfloat16, *, kind: str = "lora",
                 model: str = "whole", sharded: bool = True) -> None:  # fmt: skip
        self.folder, self.quantization, self.dtype, self.model = folder, quantization, dtype, model
        self.plain, self.packed, self.adapter = (os.path.join(folder, one) for one in ("plain", "packed", "adapter"))
        self.wanted = grid.MODELS[model][0](False)[0]
        grid.make_base(self.plain, model, dtype, False, sharded)
        whole = self.quantized(self.plain)
        whole.save_pretrained(self.packed, max_shard_size="60KB" if sharded else "10GB")
        grid.make_adapter(
            self.adapter,
            self.plain,
            model,
            grid.adapters("llama" if model in {"whole", "experts"} else model)[kind][0](),
            0,
        )

    def config(self) -> dict[str, Any]:
        """The quantization config as a manifest records it."""
        found: dict[str, Any] = transformers.BitsAndBytesConfig(**self.quantization).to_dict()
        return found

    def quantized(self, base: str) -> Any:
        config = transformers.BitsAndBytesConfig(**self.quantization)
        return self.wanted.from_pretrained(base, quantization_config=config, **{DTYPE: self.dtype})

    def reference(self, base: str) -> dict[str, Any]:
        """What peft's own merge makes of the base that transformers itself dequantized."""
        model = self.quantized(base).dequantize().to(self.dtype)
        merged = peft.PeftModel.from_pretrained(model, self.adapter).merge_and_unload()
        return {name: one for name, one in merged.state_dict().items() if "inv_freq" not in name}

    def merge(self, base: str, *, stored: bool, out: str = "out", **request: Any) -> dict[str, Any]:
        self.out = os.path.join(self.folder, out)
        os.makedirs(self.out)
        quantized = {"policy": "dequantize", "stored": stored, "config": self.config(), "dtype": str(self.dtype)[6:]}
        body = {"base": base, "adapter": self.adapter, "out": self.out, "quantized": quantized, **request}
        result: dict[str, Any] = verbs.answer("stream-merge", body, Silent())
        return result


def tensors(folder: str) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            found.update(load_file(os.path.join(folder, name)))
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert set(one) == set(other), set(one) ^ set(other)
    for name in one:
        assert one[name].dtype == other[name].dtype, (name, one[name].dtype, other[name].dtype)
        assert torch.equal(one[name].cpu(), other[name].cpu()), name


# bitsandbytes, stored ------------------------------------------------------------------------------------------------


def check_stored_4bit_is_dequantized_and_merged_to_the_bits_of_transformers_and_peft(folder: str) -> None:
    for name, quantization in FOUR_BIT.items():
        # transformers 4 casts what is packed into bfloat16 when it loads in float16, and so destroys it.
        for dtype in (torch.bfloat16, torch.float16)[: 1 if name == "nf4-storage" else 2]:
            case = Case(os.path.join(folder, name + str(dtype)), quantization, dtype)
            result = case.merge(case.packed, stored=True)
            same(case.reference(case.packed), tensors(case.out))
            said = result["quantized"]
            assert said["tensors"] == 14, said
            assert said["classes"] == said["equal_to_library"] > 2, said
            assert result["verification"]["recomputed"]["worst"] <= 1.0


def check_stored_8bit_is_dequantized_and_merged_to_the_bits_of_transformers_and_peft(folder: str) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        case = Case(os.path.join(folder, str(dtype)), EIGHT_BIT, dtype)
        result = case.merge(case.packed, stored=True)
        same(case.reference(case.packed), tensors(case.out))
        assert result["quantized"]["kinds"] == {"bitsandbytes-int8": 14}
        assert result["quantized"]["classes"] == result["quantized"]["equal_to_library"] > 2


def check_rows_of_any_run_are_those_of_the_whole(folder: str) -> None:
    for name, quantization in {**FOUR_BIT, "int8": EIGHT_BIT}.items():
        case = Case(os.path.join(folder, name), quantization, model="llama")
        base = WeightFolder(case.packed)
        stream_quantized.unpack(base, case.config())
        reader = Reader()
        stored = base.tensors["model.layers.0.mlp.down_proj.weight"]  # 176 columns: blocks of 64 run over row ends
        assert stored.shape == (64, 176)
        whole = reader.whole(stored)
        for first, last in ((0, 1), (1, 2), (3, 17), (5, 64), (63, 64)):
            assert torch.equal(reader.rows(stored, first, last), whole[first:last]), (name, first, last)
        reader.close()


def check_weights_with_other_adapters_and_a_model_of_experts(folder: str) -> None:
    for model, kind in (("whole", "dora"), ("whole", "save-both"), ("experts", "lora")):
        case = Case(os.path.join(folder, model + kind), FOUR_BIT["nf4-double"], model=model, kind=kind)
        case.merge(case.packed, stored=True)
        wanted, _ = grid.MODELS[model][0](False)
        loaded = wanted.from_pretrained(write_config(case.packed, case.out), **grid.dtype_auto())
        reference = case.reference(case.packed)
        same(reference, {name: one for name, one in loaded.state_dict().items() if "inv_freq" not in name})


def write_config(base: str, out: str) -> str:
    with open(os.path.join(base, "config.json"), encoding="utf-8") as source:
        config = json.load(source)
    config.pop("quantization_config", None)
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as target:
        json.dump(config, target)
    return out


def check_rows_that_are_no_whole_number_of_blocks(folder: str) -> None:
    """bitsandbytes' CPU kernel misreads them. The truth is near the plain weights, and the record says so."""
    case = Case(folder, FOUR_BIT["nf4"], model="llama")
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
    grid.make_adapter(case.adapter, case.plain, "llama", config, 0)
    result = case.merge(case.packed, stored=True)
    name = "model.layers.1.mlp.down_proj.weight"
    before, after = tensors(case.plain)[name].float(), tensors(case.out)[name].float()
    blocks = before.reshape(-1, 64)
    assert ((after.reshape(-1, 64) - blocks).abs() <= 0.16 * blocks.abs().amax(1, keepdim=True)).all()
    assert result["quantized"]["classes"] == result["quantized"]["equal_to_library"]
    library = case.quantized(case.packed).dequantize().state_dict()[name]
    assert result["quantized"]["misread_by_library"] == (not torch.equal(library.float().cpu(), after))


# bitsandbytes on loading ---------------------------------------------------------------------------------------------


def check_a_plain_base_is_quantized_and_dequantized_as_training_loaded_it(folder: str) -> None:
    for name, quantization in {**FOUR_BIT, "int8": EIGHT_BIT}.items():
        for dtype in (torch.bfloat16, torch.float16):
            case = Case(os.path.join(folder, name + str(dtype)), quantization, dtype)
            result = case.merge(case.plain, stored=False)
            same(case.reference(case.plain), tensors(case.out))
            assert result["quantized"]["tensors"] == 14


def check_only_what_training_quantized_is_touched(folder: str) -> None:
    skipped = {**FOUR_BIT["nf4"], "llm_int8_skip_modules": ["lm_head", "down_proj"]}
    case = Case(folder, skipped)
    result = case.merge(case.plain, stored=False)
    assert result["quantized"]["tensors"] == 12
    same(case.reference(case.plain), tensors(case.out))
    before, after = tensors(case.plain), tensors(case.out)
    for name in ("lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"):
        assert torch.equal(before[name], after[name]), name


def check_modules_that_only_the_base_quantizes_change_too(folder: str) -> None:
    """LoRA on the attention only: the rest is what training saw as well."""
    case = Case(folder, FOUR_BIT["nf4-double"])
    shutil.rmtree(case.adapter)
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
    grid.make_adapter(case.adapter, case.plain, "llama", config, 0)
    result = case.merge(case.plain, stored=False)
    same(case.reference(case.plain), tensors(case.out))
    assert result["verification"]["changed"] == 2
    assert result["verification"]["dequantized"] == 12
    assert result["untouched"] == len(tensors(case.plain)) - 14


def check_original_adds_the_delta_to_the_plain_weights(folder: str) -> None:
    case = Case(folder, FOUR_BIT["nf4"])
    quantized = {"policy": "original", "stored": False, "config": case.config(), "dtype": None}
    case.merge(case.plain, stored=False, quantized=quantized)
    whole = case.wanted.from_pretrained(case.plain, **grid.dtype_auto())
    merged = peft.PeftModel.from_pretrained(whole, case.adapter).merge_and_unload()
    same({name: one for name, one in merged.state_dict().items() if "inv_freq" not in name}, tensors(case.out))


# answers -------------------------------------------------------------------------------------------------------------


def check_answers_are_those_of_the_adapter_on_the_quantized_base(folder: str) -> None:
    for name, quantization, limit in (
        ("nf4", {**FOUR_BIT["nf4-double"], "bnb_4bit_compute_dtype": torch.bfloat16}, 0.05),
        ("int8", EIGHT_BIT, 0.3),
    ):
        case = Case(os.path.join(folder, name), quantization)
        for base, stored in ((case.packed, True), (case.plain, False)):
            out = "out-%s" % stored
            case.merge(base, stored=stored, out=out)
            write_config(base, case.out)
            quantized = {"policy": "dequantize", "stored": stored, "config": case.config(), "dtype": "bfloat16"}
            body: dict[str, Any] = {"base": base, "adapter": case.adapter, "merged": case.out, "scratch": folder,
                    "architecture": None, "extra_tokens": [], "quantized": quantized}  # fmt: skip
            answer = verbs.answer("stream-answers", body, Silent())
            assert answer["probe"] is not None, answer
            assert answer["probe"]["ratio"] < limit, answer
            assert answer["asked"] == "quantized", answer
            again = verbs.answer("stream-answers", {**body, "misread": True}, Silent())
            assert again["asked"] == "dequantized", again
            assert again["probe"]["ratio"] < 0.05, again


# fp8 -----------------------------------------------------------------------------------------------------------------


def make_fp8(plain: str, out: str, block: int) -> None:
    """A base as DeepSeek-V3 and Qwen3-FP8 are stored: linear layers in float8_e4m3fn, a scale for each block."""
    from safetensors.torch import save_file

    shutil.copytree(plain, out, ignore=shutil.ignore_patterns("*.safetensors*"))
    stored = {}
    for name, one in tensors(plain).items():
        if one.dim() != 2 or "embed" in name or "lm_head" in name:
            stored[name] = one
            continue
        rows, columns = (-(-extent // block) for extent in one.shape)
        padded = torch.zeros(rows * block, columns * block)
        padded[: one.shape[0], : one.shape[1]] = one.float()
        blocks = padded.reshape(rows, block, columns, block)
        scale = blocks.abs().amax(dim=(1, 3)) / 448.0
        packed = (blocks / scale[:, None, :, None]).reshape(padded.shape)[: one.shape[0], : one.shape[1]]
        stored[name] = packed.to(torch.float8_e4m3fn).contiguous()
        stored[name + "_scale_inv"] = scale
    save_file(stored, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(out, "config.json"), encoding="utf-8") as source:
        config = json.load(source)
    config["quantization_config"] = {
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [block, block],
    }  # fmt: skip
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as target:
        json.dump(config, target)


def check_fp8_with_block_scales(folder: str) -> None:
    plain, packed, adapter, out = (os.path.join(folder, one) for one in ("plain", "fp8", "adapter", "out"))
    for block in (128, 32):  # 176 columns: the last block is cut off
        shutil.rmtree(folder)
        grid.make_base(plain, "llama", torch.bfloat16, False, False)
        make_fp8(plain, packed, block)
        grid.make_adapter(adapter, plain, "llama", grid.adapters("llama")["lora"][0](), 0)
        os.makedirs(out)
        with open(os.path.join(packed, "config.json"), encoding="utf-8") as source:
            config = json.load(source)["quantization_config"]
        quantized = {"policy": "dequantize", "stored": True, "config": config, "dtype": None}
        result = verbs.answer(
            "stream-merge", {"base": packed, "adapter": adapter, "out": out, "quantized": quantized}, Silent()
        )
        assert result["quantized"]["kinds"] == {"fp8": 14}
        stored = tensors(packed)
        state = {}
        for name, one in stored.items():
            if name + "_scale_inv" in stored:
                scale = stored[name + "_scale_inv"]
                grown = torch.kron(scale, torch.ones(block, block))[: one.shape[0], : one.shape[1]]
                state[name] = (one.float() * grown).to(torch.bfloat16)
            elif not name.endswith("_scale_inv"):
                state[name] = one
        whole = transformers.LlamaForCausalLM.from_pretrained(plain, **grid.dtype_auto())
        whole.load_state_dict(state, strict=False)
        merged = peft.PeftModel.from_pretrained(whole, adapter).merge_and_unload()
        same({name: one for name, one in merged.state_dict().items() if "inv_freq" not in name}, tensors(out))
        write_config(packed, out)
        body: dict[str, Any] = {"base": packed, "adapter": adapter, "merged": out, "scratch": folder,
                "architecture": None, "extra_tokens": [], "quantized": quantized}  # fmt: skip
        answer = verbs.answer("stream-answers", body, Silent())
        assert answer["probe"]["ratio"] < 0.05, answer


# refused -------------------------------------------------------------------------------------------------------------


def check_unknown_packing_and_no_policy_are_refused(folder: str) -> None:
    case = Case(folder, FOUR_BIT["nf4"])
    body: dict[str, Any] = {"base": case.packed, "adapter": case.adapter, "out": os.path.join(folder, "out")}
    os.makedirs(body["out"])
    for extra in ({}, {"quantized": {"policy": "original", "stored": True, "config": case.config(), "dtype": None}}):
        try:
            verbs.answer("stream-merge", {**body, **extra}, Silent())
        except KnownError as error:
            assert error.kind == "quantized-base", error.kind
            assert not os.listdir(body["out"])
        else:
            raise AssertionError("a packed base was merged into without a policy")


def check_a_changed_code_is_seen(folder: str) -> None:
    """The decoder is held against bitsandbytes: another table of codes is not let through."""
    case = Case(folder, FOUR_BIT["nf4"], sharded=False)
    from safetensors.torch import load_file, save_file

    path = os.path.join(case.packed, "model.safetensors")
    state = load_file(path)
    for name in state:
        if name.endswith("quant_map"):
            state[name] = state[name] * 1.5
    save_file(state, path, metadata={"format": "pt"})
    try:
        case.merge(case.packed, stored=True)
    except KnownError as error:
        assert error.kind == "verification-failed", error.message
    else:
        raise AssertionError("bitsandbytes decodes otherwise, and nobody noticed")


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    with open(OUT, "w", encoding="utf-8") as target:
        for name, check in sorted(globals().items()):
            if not name.startswith("check_") or (len(sys.argv) > 5 and sys.argv[5] not in name):
                continue
            folder = os.path.join(SCRATCH, name)
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            trouble = ""
            try:
                check(folder)
            except BaseException:
                trouble = traceback.format_exc()[-2500:]
            target.write(json.dumps({"check": name, "trouble": trouble, "bitsandbytes": bnb.__version__}) + "\n")
            target.flush()
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
