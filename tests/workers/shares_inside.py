"""Products that a BLAS cuts for its threads, run like the checks of stream_inside.py, whose tools they use.

test_stream.py starts this with the AVX2 kernels of MKL: there the bits of a product depend on the number of threads.
"""

import os
import sys
import warnings
from typing import Any

import peft
import torch
import transformers

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream_inside as tools  # type: ignore[import-not-found]
from envpin_worker.stream import blocks

_HIDDEN, _INNER = 896, 2432  # with AVX2, two threads round eight columns or sixteen of these otherwise than one


def _llama() -> Any:
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            hidden_size=_HIDDEN, intermediate_size=_INNER, num_hidden_layers=1, num_attention_heads=14,
            num_key_value_heads=2, vocab_size=64,
        )
    )  # fmt: skip


def _gpt2() -> Any:
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=_HIDDEN, n_layer=1, n_head=14, vocab_size=64))


def _merged_both_ways(folder: str, made: Any, targets: list[str]) -> dict[str, Any]:
    """Merge with two threads as peft does and as envpin does: the same bits, and what was calibrated."""
    base, adapter, out = (os.path.join(folder, name) for name in ("base", "adapter", "out"))
    os.makedirs(out)
    torch.manual_seed(1)
    made.to(torch.bfloat16).save_pretrained(base)
    load = type(made).from_pretrained
    adapted = peft.get_peft_model(load(base, **tools.grid.dtype_auto()), peft.LoraConfig(r=16, target_modules=targets))
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn(parameter.shape).to(parameter.dtype) * 0.05
    adapted.save_pretrained(adapter)
    torch.set_num_threads(2)
    whole = peft.PeftModel.from_pretrained(load(base, **tools.grid.dtype_auto()), adapter).merge_and_unload()
    wanted = {name: one for name, one in whole.state_dict().items() if name in tools.tensors(base)}
    result: dict[str, Any] = tools.verbs.answer(
        "stream-merge", {"base": base, "adapter": adapter, "out": out}, tools.Silent()
    )
    torch.set_num_threads(2)
    tools.same(wanted, tools.tensors(out))
    found: dict[str, Any] = result["verification"]["calibration"]
    return found


def check_linear_layers_are_merged_in_the_shares_of_two_threads(folder: str) -> None:
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    calibration = _merged_both_ways(folder, _llama(), targets)
    assert calibration["classes"] == 4, calibration
    assert calibration["blockwise"] == 4, calibration


def check_transposed_layers_are_merged_in_the_shares_of_two_threads(folder: str) -> None:
    calibration = _merged_both_ways(folder, _gpt2(), ["c_attn", "c_fc", "c_proj"])
    assert calibration["classes"] == 4, calibration


def check_runs_of_columns_cover_a_weight(_folder: str) -> None:
    for width in (1, 2, 3, 64, 896, 2432, 14_336):
        for parts in (1, 2, 3, 4, 8, 16):
            runs = blocks.columns_of(width, parts)
            assert runs[0][0] == 0
            assert runs[-1][1] == width
            assert [last for _, last in runs[:-1]] == [first for first, _ in runs[1:]]
            assert len(runs) <= parts
            assert all(first < last for first, last in runs)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    tools.run_checks({name: one for name, one in globals().items() if name.startswith("check_")})
