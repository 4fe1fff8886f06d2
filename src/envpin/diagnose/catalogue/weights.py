"""Causes in the weights themselves: shapes, names, vocabulary, quantization."""

from __future__ import annotations

from envpin.diagnose.catalogue.cause import Cause

REPLAY = "envpin replay merge {adapter} -o MERGED --base {base}"

WEIGHTS: tuple[Cause, ...] = (
    Cause(
        "vocab-grown", "warning",
        "Training added tokens, so the adapter's embedding has more rows than the base. Plain peft raises a size mismatch; "
        "the base has to grow to exactly the adapter's rows first.",
        "the rows of the embedding or head in the adapter's header are more than in the base's",
        (REPLAY, "by hand: `model.resize_token_embeddings({rows})` on the base before `PeftModel.from_pretrained`, "
         "without `pad_to_multiple_of`"),
    ),
    Cause(
        "vocab-shrunk-padded", "warning",
        "The base pads its vocabulary, and a trainer cut it to the number of tokens. The adapter's rows belong over the "
        "first rows of the base; the padding carries no token.",
        "the adapter's rows are fewer than the base's, and equal to the number of tokens beside the adapter",
        (REPLAY, "by hand: copy the adapter's rows over the first {rows} rows of the base's embedding, and drop the "
         "tensor from the adapter"),
    ),
    Cause(
        "vocab-mismatch", "blocker",
        "The adapter's embedding has fewer rows than the base, and no tokenizer explains why: another base, or a save "
        "that was cut off.",
        "the adapter's rows are fewer than the base's, and not the number of tokens beside the adapter",
        ("find the base that training loaded: envpin check {adapter} --base OTHER",
         "copy the tokenizer files of the training run beside the adapter, and check again"),
    ),
    Cause(
        "vocab-rows-not-saved", "blocker",
        "The tokenizer has more tokens than the base has rows, and the adapter carries no embedding: the rows of the new "
        "tokens existed in training and were not saved. They cannot be recovered from these files.",
        "the tokenizer beside the adapter is longer than the base's embedding, and the adapter has no embedding rows",
        ("save again from the training process, or from its checkpoint, with `save_embedding_layers=True`",
         "train again with `modules_to_save=[\"embed_tokens\", \"lm_head\"]` or `trainable_token_indices`",
         "only if the new tokens were never used: take the base's own tokenizer"),
    ),
    Cause(
        "padding-mismatch", "warning",
        "The vocabulary was padded (`pad_to_multiple_of`) on one side only, so the rows differ although the tokens are "
        "the same. The adapter's rows are the truth; padding is not.",
        "the rows of adapter and base are the same number of tokens, rounded up differently",
        (REPLAY, "by hand: resize the unpadded base to exactly {rows} rows, without `pad_to_multiple_of`"),
    ),
    Cause(
        "wrong-base-hidden-size", "blocker",
        "The adapter was trained on a base with another hidden size, usually another size of the same family.",
        "the input or output width of several LoRA factors differs from the module that they belong to",
        ("find the base that training loaded: envpin check {adapter} --base OTHER",
         "look at `base_model_name_or_path` in adapter_config.json"),
    ),
    Cause(
        "wrong-base-layers", "blocker",
        "The adapter has factors for layers that this base does not have, or trained fewer layers of all that it targets: "
        "another size of the same family, or a pruned base.",
        "layer numbers in the adapter's tensor names are beyond the last layer of the base",
        ("find the base that training loaded: envpin check {adapter} --base OTHER",),
    ),
    Cause(
        "wrong-base-architecture", "blocker",
        "None of the modules that the adapter changes exist in the base: it is another architecture.",
        "no tensor name of the adapter belongs to a module of the base",
        ("find the base that training loaded: envpin check {adapter} --base OTHER",
         "look at `base_model_name_or_path` in adapter_config.json"),
    ),
    Cause(
        "rank-mismatch", "blocker",
        "adapter_config.json names another LoRA rank than the tensors have: config and weights come from two runs. Plain "
        "peft raises a size mismatch for every module.",
        "the rank in the shapes of the factors is not `r` (nor `rank_pattern`) of the config",
        ("take config and weights of the same checkpoint",
         "only if nothing else changed: set `r` to {rank} in adapter_config.json, and `lora_alpha` to what training used"),
    ),
    Cause(
        "empty-tensors-zero3", "blocker",
        "Tensors of shape [0]: DeepSpeed ZeRO-3 kept the values in shards, and the save did not gather them.",
        "an adapter tensor has no elements",
        ("gather from the ZeRO checkpoint: `python zero_to_fp32.py CHECKPOINT OUT`",
         "next time set `stage3_gather_16bit_weights_on_model_save: true`"),
    ),
    Cause(
        "unpaired-lora", "blocker",
        "A LoRA factor without its pair: the file was filtered or cut. peft fills the other half with fresh values, and "
        "the module's change is lost or noise.",
        "`lora_A` without `lora_B` of the same module, or the other way round",
        ("save the adapter again with `save_pretrained`, or take another checkpoint of the run",),
    ),
    Cause(
        "unmatched-adapter-keys", "blocker",
        "Some factors belong to modules that the base does not have. peft loads without them, at most with a warning.",
        "the module of a factor is not among the base's tensors, and other factors are",
        ("find the base that training loaded: envpin check {adapter} --base OTHER",
         "if the names differ by a prefix, load with the library version that trained: envpin replay merge {adapter} -o OUT"),
    ),
    Cause(
        "extra-adapter-tensors", "warning",
        "The adapter file has whole tensors that its config does not mention. peft says nothing: it lays them over the base "
        "where their name is a parameter of the base, and drops them where it is not.",
        "a tensor of the adapter is no factor, no embedding or head, and not in `modules_to_save`",
        ("add the module to `modules_to_save` in adapter_config.json if it was trained",
         "otherwise drop the tensor"),
    ),
    Cause(
        "compile-prefix", "blocker",
        "`_orig_mod.` in the names: the model was wrapped by torch.compile when it was saved. peft ignores such keys "
        "silently, and the model then behaves like the base.",
        "`_orig_mod` is a part of tensor names",
        ("rename the tensors without `_orig_mod.`", "next time save `model._orig_mod`"),
    ),
    Cause(
        "fsdp-prefix", "blocker",
        "`_fsdp_wrapped_module.` or `module.` in the names: the state dict of the wrapper was saved, not the model's.",
        "`_fsdp_wrapped_module`, `_checkpoint_wrapped_module` or a leading `module` is a part of tensor names",
        ("rename the tensors without the wrapper's prefix", "next time save with `FULL_STATE_DICT`, or unwrap the model first"),
    ),
    Cause(
        "vlm-key-rename", "blocker",
        "transformers 4.52 renamed the language model inside vision-language models. An adapter from before does not "
        "match after it, at best with a warning, and the model then behaves like the base.",
        "the names match once `model.language_model` or `language_model.model` is read the other way",
        ("envpin replay merge {adapter} -o MERGED --base {base}, which uses the versions of the training run",
         "by hand: merge on transformers ≤ 4.51.3, or with peft ≥ 0.16 on 4.52–5.3, or peft ≥ 0.19 on ≥ 5.4"),
    ),
    Cause(
        "moe-layout", "blocker",
        "transformers 5 fuses the experts of a mixture into 3-D parameters; adapters from 4.x name each expert. Across that "
        "line they match only where peft converts: 0.19 and newer, where all parts of the experts were trained, and not for "
        "qwen2_moe. Otherwise they are dropped, with a warning at best.",
        "the adapter names experts one by one and the base holds them fused, or the other way round",
        ("merge on transformers 4.57: envpin replay merge {adapter} -o MERGED --base {base}",),
    ),
    Cause(
        "tied-head", "warning",
        "The base ties head and embedding, and the adapter trained one of them: the merged model must be untied and both "
        "tensors written, or the trained one is lost at the next load. peft ≥ 0.19 does so.",
        "`tie_word_embeddings` is true and the adapter carries a head or an embedding",
        (REPLAY, "by hand: set `tie_word_embeddings` to false before saving, and save both tensors"),
    ),
    Cause(
        "adapter-is-noop", "warning",
        "The adapter changes nothing: every `lora_B` is zero, as it is before the first step. A file without any tensor (an "
        "`adapter_model.bin` of some hundred bytes) is a blocker: an empty state dict was saved.",
        "the bytes of all `lora_B` tensors are zero, or there are no tensors",
        ("check that training took steps and that the right checkpoint was copied",
         "an empty file: save with `model.save_pretrained`, without replacing `state_dict` (as old alpaca-lora scripts do)"),
    ),
    Cause(
        "quantized-base-packed", "blocker",
        "The base's tensors are stored quantized by bitsandbytes (4-bit: `[N, 1]`; 8-bit: `SCB`) or as fp8 with block scales, "
        "so that nothing can be added to them in place.",
        "weights of dtype U8 with one column, bitsandbytes' `quant_state` or `SCB` tensors, or `weight_scale_inv`",
        ("adds the delta to the weights that training saw, dequantized: "
         "envpin replay merge {adapter} -o MERGED --quantized-base dequantize",
         "adds it to the 16-bit original that this base was made from, which differs by the rounding of the "
         "quantization: envpin replay merge {adapter} -o MERGED --base ORIGINAL --quantized-base original"),
    ),
    Cause(
        "quantized-base-unmergeable", "blocker",
        "A GPTQ, AWQ or similar base: its layers cannot take a merge.",
        "`quant_method` in the base's config, or `qweight` tensors",
        ("merge into the unquantized original that it was made from: "
         "envpin replay merge {adapter} -o MERGED --base {original}",
         "know that training saw the quantized one: the merged model differs from it by the rounding of the "
         "quantization; quantize it again if you need to"),
    ),
    Cause(
        "quantization-differs", "warning",
        "Training saw another precision of the base than its files have, as QLoRA does, which quantizes on loading. Which "
        "weights the delta is added to is a choice.",
        "the recorded quantization of training is not that of the base's files",
        ("adds the delta to the 16-bit weights, as most QLoRA merges do: "
         "envpin replay merge {adapter} -o MERGED --base {base} --quantized-base original",
         "adds it to the weights that training saw, quantized and dequantized again, which is nearer to what was trained: "
         "envpin replay merge {adapter} -o MERGED --base {base} --quantized-base dequantize"),
    ),
    Cause(
        "architecture-drift", "warning",
        "The config names another architecture than at training time, or the tensors do not follow the config.",
        "`architectures` or sizes of config.json differ from the tensors' shapes",
        ("take the config.json that belongs to these weights",),
    ),
    Cause(
        "dtype-drift", "info",
        "The weights are stored in another dtype than the config says, so that loading rounds.",
        "the dtype of most tensors is not `torch_dtype` of config.json",
        ("load with an explicit `dtype`",),
    ),
)  # fmt: skip
