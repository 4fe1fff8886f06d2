"""Texts as people post them: cut at either end and in their paths, with prefixes of ranks, as notebooks show frames."""

from __future__ import annotations

import pytest

from tests.support.logs import SITE, answer, codes

RANK = "[rank0]: "
_COLAB = "/usr/local/lib/python3.12/dist-packages"
_TRAIN = 'Traceback (most recent call last):\n  File "/srv/work/train_vlm.py", line 9, in <module>\n    main()\n'


def _frame(path: str, code: str, function: str = "forward") -> str:
    return f'  File "{path}", line 31, in {function}\n    {code}\n'


def _is_told(text: str, code: str, words: str) -> None:
    named, said = answer(text)
    assert named == [code]
    assert words in said


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        (_frame("/w/unsloth_compiled_cache/unsloth_compiled_module_gemma3.py", "a, b = position_embeddings")
         + "ValueError: not enough values to unpack (expected 2, got 1)\n",
         "transformers-api-changed", "`unsloth_compiled_module_gemma3.py`"),
        (_frame("/w/unsloth_compiled_cache/UnslothDPOTrainer.py", "super().__init__(model=model, tokenizer=tokenizer)")
         + "TypeError: _prepare_inputs() missing 1 required positional argument: 'inputs'\n",
         "library-api-changed", "another trl"),
        ((f"{_COLAB}/unsloth/models/llama.py in _fast_inner_training_loop(self, batch_size, args)\n\n"
         "TypeError: _unsloth_get_batch_samples() takes 3 positional arguments but 4 were given\n"),
         "transformers-api-changed", "unsloth's `llama.py`"),
        ((f"{_COLAB}/unsloth/models/_utils.py in __init__(self, vocab_size, hidden_size)\n\n"
         "NameError: name 'layer_type_validation' is not defined\n"),
         "transformers-api-changed", "`layer_type_validation`"),
        ("usage: trl\nTRL CLI: error: argument command: invalid choice: 'grpo' (choose from 'chat', 'dpo', 'env')\n",
         "library-api-changed", "came with trl 0.14"),
        ("trl: error: argument {dpo,env,grpo}: invalid choice: 'chat' (choose from 'dpo', 'env', 'grpo')\n",
         "library-api-changed", "transformers chat"),
        (_frame(f"{SITE}/swift/cli/main.py", "file_path = find_spec(route_mapping[method_name]).origin", "cli_main")
         + "KeyError: 'kto'\n", "settings-refused", "swift rlhf --rlhf_type kto"),
        (_frame(f"{SITE}/swift/cli/main.py", "file_path = find_spec(ROUTE_MAPPING[method_name]).origin", "cli_main")
         + "KeyError: 'rollout'\n", "library-api-changed", "ms-swift 3.4"),
        ((f'{RANK}  File "/w/src/open_r1/trainer/vlm_trainer.py", line 6, in compute_loss\n'
         f"{RANK}    rewards = rewards.view(-1, self.num_generations)\n"
         f"{RANK}RuntimeError: shape '[-1, 8]' is invalid for input of size 6\n"), "settings-refused",
         "num_generations"),
        (_frame(f"{SITE}/mlx_vlm/trainer/trainer.py", 'at = self.config["image_token_index"]', "__getitem__")
         + "KeyError: 'image_token_index'\n", "model-of-another-kind",
         "`image_token_index` of the model's config.json"),
        (_TRAIN + _frame(f"{SITE}/xtuner/model/llava.py", "assert states.shape[0] == mask.sum()")
         + "AssertionError\n", "inputs-do-not-fit", "`llava.py`"),
        (_frame("[...]site-packages/unsloth_zoo/temporary_patches.py", "text = [x.find(bos) for x in s]", "__call__")
         + "AttributeError: 'list' object has no attribute 'find'\n", "data-not-as-expected", "was given lists"),
        (_frame(f"{SITE}/verl/utils/fsdp_utils.py", "orig = module.FSDPModule", "maybe_patch_fsdp_module")
         + "AttributeError: 'function' object has no attribute 'FSDPModule'\n",
         "library-api-changed", "a function in the torch"),
        (_frame(f"{SITE}/verl/__init__.py", "with open(version) as f:", "<module>")
         + f"FileNotFoundError: [Errno 2] No such file or directory: '{SITE}/verl/version/version'\n",
         "installation-broken", "`version/version`"),
        (_frame("/srv/LLaMA-Factory/src/llamafactory/chat/vllm_engine.py", "from vllm import LLM", "<module>")
         + "ImportError: cannot import name 'LLM' from 'vllm' (unknown location)\n",
         "installation-broken", "folder without its code"),
        (_frame("/srv/asr/run_asr.py", 'model = SomeAsr.from_pretrained("aed", "models/aed")', "main")
         + "TypeError: SomeAsr.from_pretrained() takes 2 positional arguments but 3 were given\n",
         "library-api-changed", "hides the repository's own code"),
        (_frame("/srv/vl/quantize_qwen.py", "model.quantize(calib_data=rows)", "<module>")
         + "AttributeError: 'Qwen2VLForConditionalGeneration' object has no attribute 'quantize'\n",
         "model-of-another-kind", "AutoAWQ"),
        ((f"{RANK}RuntimeError: Error(s) in loading state_dict for Qwen2VLForConditionalGeneration:\n{RANK}\tsize "
         "mismatch for visual.merger.mlp.2.bias: copying a param with shape torch.Size([3584]) from checkpoint, "
         "the shape in current model is torch.Size([1280]).\n"),
         "model-of-another-kind", "Qwen2_5_VLForConditionalGeneration"),
        (_frame("/srv/train_lora.py", "from swift import Swift", "<module>")
         + "ImportError: cannot import name 'Swift' from 'swift' (/usr/lib/python3/dist-packages/swift/__init__.py)\n",
         "package-missing", "ms-swift"),
        (_frame("/srv/LLaVA/llava/model/llava_arch.py", "if self.config.mm_use_im_patch_token:", "prepare")
         + "AttributeError: 'LlamaConfig' object has no attribute 'mm_use_im_patch_token'\n",
         "model-of-another-kind", "LLaVA's training"),
        (_frame(f"{SITE}/trl/trainer/sft_trainer.py", "outputs = model(**inputs)", "compute_loss")
         + "TypeError: MyVisionLM.forward() missing 1 required positional argument: 'data'\n",
         "inputs-do-not-fit", "`forward` of `MyVisionLM`"),
        (_frame("/w/unsloth_compiled_cache/UnslothSFTTrainer.py", "raise TypeError('Unsloth: Model is in float16')")
         + "TypeError: Unsloth: Model is in float16 precision but you want to use bfloat16 precision. Set fp16 to "
         "`True` and bf16 to `False`\n",
         "settings-refused", "UnslothSFTTrainer.py"),
        ("(raylet) Task was killed due to the node running low on memory (name=verlActorRollout, pid=2933).\n",
         "out-of-memory", "main memory"),
        (_TRAIN + "ImportError: Unsloth: Your transformers version of 4.49.0 does not support Qwen3.\n"
         "The minimum required version is 4.50.3.\n", "config-needs-newer-transformers", "'transformers>=4.50.3'"),
    ],
)  # fmt: skip
def test_a_text_of_a_tracker_is_told_its_cause(log: str, code: str, words: str) -> None:
    _is_told(log, code, words)


@pytest.mark.parametrize(
    "log",
    [
        # a repository that lies in a folder called as another program is none of its code
        _frame("/work/verl/my-agents/agents/trainer.py", "if agent.state:", "run")
        + "AttributeError: 'MyAgent' object has no attribute 'state'\n",
        # no release puts this onto a model that was not wrapped
        _frame("/srv/vl/recipes/lora_recipe.py", "if model.peft_config is None:", "convert")
        + "AttributeError: 'LlavaForConditionalGeneration' object has no attribute 'peft_config'\n",
        # a check of another field's code
        _frame("/srv/game/world.py", "assert len(tiles) == width", "forward") + "AssertionError\n",
        _frame("/usr/lib/python3/dist-packages/requests/models.py", "text.find(x)", "__init__")
        + "AttributeError: 'list' object has no attribute 'find'\n",
    ],
)
def test_no_cause_is_told_of_what_is_no_matter_of_releases(log: str) -> None:
    assert codes(log) == []


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
def test_a_text_that_was_cut_is_told_its_cause(text: str, code: str, says: str) -> None:
    _is_told(text, code, says)


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
    _is_told(text, code, says)


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
