"""Texts as people post them: cut at either end, without frames, with the quote that ends a message left behind."""

from __future__ import annotations

import pytest

from tests.support.logs import SITE, answer

_CUT_QUOTE = (
    '  File "/usr/bin/convert_hf_to_gguf.py", line 19, in <module>\n    from transformers import AutoConfig\n'
    "ModuleNotFoundError: No module named 'transformers"
)
_KEY = (
    f'  File "{SITE}/{{server}}/models/qwen9.py", line 33, in load_weights\n    param = params_dict[name]\n'
    "KeyError: 'model.layers.0.self_attn.{name}'\n"
)
_IMPORT = (
    "RuntimeError: Failed to import diffusers.loaders.peft because of the following error (look up to see its "
    "traceback):\n"
)
_FLATTEN = "ValueError: Must flatten tensors with uniform dtype but got torch.bfloat16 and torch.{other}\n"


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (_CUT_QUOTE, "package-missing", "`transformers` is not installed"),
        (f"{_IMPORT}No module named 'accelerate'\n\nPrompt executed in 8.4 s", "package-missing", "`accelerate`"),
        (f"{_IMPORT}No module named 'torchaudio'\n", "package-missing", "`torchaudio` is not installed"),
        (_KEY.format(server="vllm/model_executor", name="k_scale"), "serving-limit", "k_scale"),
        (_KEY.format(server="sglang/srt", name="k_proj.zero_point"), "serving-limit", "zero_point"),
        (_KEY.format(server="sglang/srt", name="qkv_proj.absmax"), "settings-refused", "absmax"),
        (_FLATTEN.format(other="uint8"), "settings-refused", "this base is quantized"),
        (_FLATTEN.format(other="float32"), "dtype-drift", "another dtype than the base"),
        ("lora key not loaded lora_unet_down_blocks_0_proj.alpha\n" * 3, "unmatched-adapter-keys", ""),
    ],
)  # fmt: skip
def test_a_text_of_a_tracker_is_named(text: str, code: str, says: str) -> None:
    found, words = answer(text)
    assert found == [code]
    assert says in words


def test_a_key_that_other_code_does_not_find_is_not_a_servers() -> None:
    found, _ = answer("    param = params_dict[name]\nKeyError: 'model.layers.0.weight'\n")
    assert "serving-limit" not in found


_COMFY = '  File "/srv/ComfyUI/comfy/ldm/modules/attention.py", line 641, in forward\n    k = self.to_k(context)\n'
_MERGE = (
    '  File "/srv/sd-scripts/networks/flux_merge_lora.py", line 422, in merge_lora_models\n'
    "    base_alpha = base_alphas[lora_module_name]\nKeyError: 'transformer.single_transformer_blocks.0.attn.to_k.'\n"
)
_COLUMN = (
    f'  File "{SITE}/trl/trainer/utils.py", line 446, in <lambda>\n'
    "    self.formatting_func = lambda x: x[dataset_text_field]\nKeyError: 'prompt_text'\n"
)
_CRASHED = (
    "subprocess.CalledProcessError: Command '['C:/venv/Scripts/python.exe', 'C:/kohya_ss/train_network.py']' "
    "returned non-zero exit status 3221225477.\n"
)
_SHAPE = "tensor '{name}.weight' has wrong shape; expected  4096, 32000, got  4096, 32002,     1,     1"


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (f"{_COMFY}RuntimeError: mat1 and mat2 shapes cannot be multiplied (77x2048 and 768x320)\n",
         "inputs-do-not-fit", "2048 wide, and the model takes 768"),
        (_MERGE, "foreign-format", "single_transformer_blocks.0.attn.to_k"),
        (_COLUMN, "data-not-as-expected", "prompt_text"),
        (f"llama_model_load: error loading model: check_tensor_dims: {_SHAPE.format(name='token_embd')}\n",
         "vocab-mismatch", "32000 tokens in its vocabulary and 32002 rows"),
        (f"llama_model_load: error loading model: check_tensor_dims: {_SHAPE.format(name='blk.0.ffn_up')}\n",
         "serving-limit", "blk.0.ffn_up"),
        (_CRASHED, "installation-broken", "memory that ran out"),
    ],
)  # fmt: skip
def test_image_models_and_their_trainers_are_of_the_field(text: str, code: str, says: str) -> None:
    found, words = answer(text)
    assert found == [code]
    assert says in words


_SIZE = (
    "size mismatch for lora_unet_down_blocks_1_proj_in.lora_{part}.weight: copying a param with shape "
    "torch.Size([{found}]) from checkpoint, the shape in current model is torch.Size([{here}]).\n"
)


def test_the_rank_of_a_network_of_sd_scripts_is_told_by_its_own_option() -> None:
    lines = _SIZE.format(part="down", found="32, 640", here="16, 640") + _SIZE.format(
        part="up", found="640, 32", here="640, 16"
    )
    found, words = answer(f"RuntimeError: Error(s) in loading state_dict for LoRANetwork:\n\t{lines}")
    assert found == ["rank-mismatch"]
    assert "--network_dim 32" in words
    assert "adapter_config" not in words


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("transformers>=4.57.0, but current transformers version is 4.55.4 ", "pip install 'transformers>=4.57.0'"),
        ("triton>=3.0.0, but triton not installed.", "triton here: not installed"),
    ],
)  # fmt: skip
def test_what_a_quantizer_asks_of_other_packages_is_named_with_its_release(text: str, says: str) -> None:
    asks = "<class 'gptqmodel.models.definitions.qwen9.Qwen9QModel'> requires version"
    found, words = answer(f"ValueError: {asks} {text}\n")
    assert found == ["torch-companion-mismatch"]
    assert says in words
