"""What took the place of an argument: the name that it has now or had before, or the class that takes it. Pure.

The pairs are those that the deprecation messages of transformers 4.40 to 5.24, trl 0.9 to 1.16 and accelerate name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# By package, old names and new ones of the same meaning.
_RENAMED: Mapping[str, Mapping[str, str]] = {
    "transformers": {
        "evaluation_strategy": "eval_strategy", "tokenizer": "processing_class", "no_cuda": "use_cpu",
        "per_gpu_train_batch_size": "per_device_train_batch_size", "push_to_hub_token": "hub_token",
        "per_gpu_eval_batch_size": "per_device_eval_batch_size", "push_to_hub_model_id": "hub_model_id",
    },
    "trl": {"tokenizer": "processing_class", "max_seq_length": "max_length", "use_liger": "use_liger_kernel",
            "torch_dtype": "dtype"},
    # By their help texts in the wheels on both sides of the change; `neftune_noise_alpha` is of TrainingArguments.
    "llamafactory": {
        "dpo_beta": "pref_beta", "orpo_beta": "pref_beta", "dpo_loss": "pref_loss", "dpo_ftx": "pref_ftx",
        "checkpoint_dir": "adapter_name_or_path", "num_layer_trainable": "freeze_trainable_layers",
        "name_module_trainable": "freeze_trainable_modules", "sft_packing": "packing", "cache_path": "tokenized_path",
        "neft_alpha": "neftune_noise_alpha", "hf_auth_token": "hf_hub_token", "max_source_length": "cutoff_len",
        "ref_model_checkpoint": "ref_model_adapters", "new_special_tokens": "add_special_tokens",
    },
}  # fmt: skip
# What is written otherwise now.
_OTHERWISE: Mapping[str, Mapping[str, str]] = {
    "transformers": {
        "warmup_ratio": "write `warmup_steps` with the same number: below 1 it is a part of all steps",
        "logging_dir": "set it outside: export TENSORBOARD_LOGGING_DIR=FOLDER",
        "adafactor": "write optim=\"adafactor\"",
        "group_by_length": "write train_sampling_strategy=\"group_by_length\"",
        "include_inputs_for_metrics": "write include_for_metrics=[\"inputs\"]",
        "include_tokens_per_second": "write `include_num_input_tokens_seen`",
        "save_safetensors": "leave it out: safetensors are what is written",
        "overwrite_output_dir": "leave it out: the folder is written to as it is",
        "fsdp_transformer_layer_cls_to_wrap": "write it into `fsdp_config`, as `transformer_layer_cls_to_wrap`",
        "fsdp_min_num_params": "write it into `fsdp_config`, as `min_num_params`",
        "dispatch_batches": "write it into `accelerator_config`",
        "split_batches": "write it into `accelerator_config`",
    },
    "llamafactory": {
        "resume_lora_training": "leave it out; `create_new_adapter` says the opposite",
        "image_resolution": "write `image_max_pixels`: the area, not the side",
    },
    "accelerate": dict.fromkeys(
        ("dispatch_batches", "split_batches", "even_batches", "use_seedable_sampler"),
        "give it to `DataLoaderConfiguration`, and that to `Accelerator` as `dataloader_config`",
    ),
}  # fmt: skip
# Of libraries around the stack: what their own messages and notes of release say.
_AROUND: Mapping[str, Mapping[str, str]] = {
    "gradio": {
        "type": "leave `type` out: messages are all it takes from 6.0 on", "retry_btn": "leave it out, it is built in",
        "undo_btn": "leave it out, it is built in", "concurrency_count": "write `default_concurrency_limit`",
        "Box": "write gr.Group()", "inputs": "write gr.Textbox for gr.inputs.Textbox, and so on",
        "outputs": "write gr.Textbox for gr.outputs.Textbox, and so on", "source": "write `sources=[\"upload\"]`",
        "tool": "gr.ImageEditor draws and masks", "allow_flagging": "write `flagging_mode`",
    },
    "pytorch-lightning": {
        "gpus": "write accelerator=\"gpu\", devices=…", "tpu_cores": "write accelerator=\"tpu\", devices=…",
        "progress_bar_refresh_rate": "give TQDMProgressBar(refresh_rate=…) in `callbacks`",
        "checkpoint_callback": "write `enable_checkpointing`", "weights_summary": "write `enable_model_summary`",
        "rank_zero_only": "from pytorch_lightning.utilities import rank_zero_only",
        "resume_from_checkpoint": "give `ckpt_path` to trainer.fit", "auto_select_gpus": "write devices=\"auto\"",
    },
    "torchmetrics": {
        "F1": "write F1Score", "IoU": "write JaccardIndex", "task": "give task=\"multiclass\" and num_classes",
    },
    "scikit-learn": {
        "base_estimator": "write `estimator`", "affinity": "write `metric`", "sparse": "write `sparse_output`",
        "multi_class": "leave it out, or wrap the estimator in OneVsRestClassifier",
        "squared": "root_mean_squared_error", "force_all_finite": "write `ensure_all_finite`",
    },
    "scipy": {"binom_test": "write binomtest", "simps": "write simpson", "cumtrapz": "write cumulative_trapezoid"},
    "jiwer": {"compute_measures": "write process_words, whose result has wer, mer and wil"},
    "streamlit": {
        "experimental_rerun": "write st.rerun", "experimental_memo": "write st.cache_data",
        "experimental_singleton": "write st.cache_resource", "cache": "write st.cache_data or st.cache_resource",
        "experimental_get_query_params": "write st.query_params",
    },
    "matplotlib": {"get_cmap": "write matplotlib.colormaps[NAME]"},
    "datasets": {"load_metric": "take the metric from evaluate: evaluate.load(NAME)"},
    "optuna": {"suggest_loguniform": "write suggest_float(NAME, low, high, log=True)",
               "suggest_uniform": "write suggest_float"},
    "torchaudio": dict.fromkeys(
        ("set_audio_backend", "get_audio_backend", "list_audio_backends", "info", "AudioMetaData"),
        "soundfile reads and writes files",
    ),
    "openai": {"error": "the errors are in openai itself: from openai import RateLimitError"},
    "bitsandbytes": {"matmul_4bit": "it is in bitsandbytes itself"},
    "vllm": {"GuidedDecodingParams": "write StructuredOutputsParams", "guided_decoding": "write `structured_outputs`"},
}  # fmt: skip
# Releases of trl whose trainers handed their settings to their configs.
_HANDED_OVER = frozenset({"0.10", "0.13", "0.14"})
_NO_SETTINGS = frozenset({
    "infinite", "model_init", "config", "policy", "ref_policy", "embedding_func", "embedding_tokenizer",
    "neftune_noise_alpha",
})  # fmt: skip


def instead_of(package: str, owner: str, argument: str, gone: str) -> str | None:
    """What to write where `package` has an argument of `owner` no more, from `gone` on."""
    new = _RENAMED.get(package, {}).get(argument)
    if owner.endswith("Trainer") and gone in _HANDED_OVER and argument not in _NO_SETTINGS and argument != "tokenizer":
        named = f" (`{new}` in newer releases)" if new is not None else ""
        return f"give `{argument}` to `{owner.removesuffix('Trainer')}Config`{named}, and that to the trainer as `args`"
    if new is not None:
        return f"write `{new}` in its place"
    return _OTHERWISE.get(package, {}).get(argument)


def before(package: str, owner: str, argument: str) -> str | None:
    """What an older release calls an argument that it does not have."""
    names = _RENAMED.get(package, {})
    old = next((old for old, new in names.items() if new == argument), None)
    if old is None or (old == "tokenizer") != owner.endswith("Trainer"):
        return None
    return f"or write `{old}`, as older releases call it"


def otherwise_of(package: str, name: str) -> str | None:
    """What is written where a name or argument of a library around the stack stood."""
    return _AROUND.get(package, {}).get(name)
