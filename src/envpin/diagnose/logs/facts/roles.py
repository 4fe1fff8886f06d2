"""Of what an error speaks that a library raises itself: told by where it stands, its class and its words. Pure.

A library that finds something wrong says so with `raise`, at a place that has a task: reading arguments, preparing
rows, placing a LoRA in a server. The task and the words tell the kind of cause, whichever message it is. Used on what
`scripts/collect_raised.py` reads from wheels, and on the frames of a log.
"""

from __future__ import annotations

import re

SERVERS = frozenset({"vllm", "sglang", "lmdeploy", "mlx-lm", "mlx-vlm", "gguf", "optimum"})
# What a message says of its cause it says at its beginning.
_READ = 800
# Words of which one tells that a library of this field speaks.
OF_THE_FIELD = re.compile(
    r"(?i)\b(?:q?lora|dora|peft|liger|flash[_ -]?att\w*|deepspeed|zero-?[23]|fsdp\w*|bitsandbytes|\w*quantiz\w*|bf16|"
    r"fp16|fp8|bfloat16|vllm|sglang|unsloth|grpo|dpo|kto|orpo|sft|rlhf|tokenizers?|chat[_ ]template|lm_head|lora_\w+|"
    r"tensor[_ ]parallel\w*|gradient_checkpointing|attn_implementation|num_generations|torch_dtype|device_map|"
    r"max_(?:seq|prompt|completion)_length|qwen[\w.]*|llama[\w.]*|gemma[\w.]*|mistral|gguf|embed_tokens|pad_token\w*|"
    r"eos_token\w*|target_modules|flashinfer|nvcc|ninja|triton|reward[_ ]model|ref_model|per_device_\w+|safetensors)\b"
)
_NOT_AN_ERROR = frozenset({"KeyboardInterrupt", "SystemExit", "StopIteration", "HTTPException", "Exit",
                           "CalledProcessError", "ChildFailedError"})  # fmt: skip
_VERSION = re.compile(r"\b(?:version|upgrade|update|newer|older|too old|outdated|latest|incompatible with)\b|[<>]=|==")
_VERSIONED = re.compile(
    r"\b(?:transformers|torch|trl|peft|unsloth\w*|vllm|accelerate|deepspeed|triton|datasets|tokenizers|bitsandbytes|"
    r"diffusers|flash.attn\w*|xformers|liger.kernel|pip install|python)\b"
)
# The first that fits: what the words name outright, wherever it is raised.
_WORDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (code, re.compile("|".join(patterns)))
    for code, *patterns in (
        ("chat-template-missing", r"chat.?template"),
        ("compiler-missing", r"\bninja\b.*(?:not found|required|install)", r"failed to (?:jit-?)?compile",
         r"\b(?:nvcc|gcc|cl\.exe)\b.*not found"),
        ("package-missing", r"not installed", r"(?:library|package)s? installed", r"make sure to install",
         r"pip install(?! -u| --upgrade)", r"please install", r"needs? to install",
         r"could not import", r"requires? (?:the )?`?[\w.\-\[\]]+`? (?:library|package)",
         r"is not available\. (?:please|install)", r"requires? .{1,40} to be installed"),
        ("adapter-not-found",
         r"\b(?:can.t|cannot|could not|no|not) (?:find|found|locate)?.{0,20}\badapter[ _](?:model|path|file)",
         r"\b(?:can.t|cannot|could not|no|not) (?:find|found|locate)?.{0,20}\badapter[ _](?:weights|config)",
         r"adapter_config\S* (?:not found|is missing|does not exist)"),
        ("quantized-base-unmergeable", r"(?:merge|merging|unload)\b.*(?:gptq|awq|aqlm|eetq|hqq|quantized|8-bit|4-bit)",
         r"(?:gptq|awq|quantized)\b.*\bmerg"),
        ("method-cannot-merge",
         r"(?:cannot|can't|can not|unable|does not support|not supported|only)\b.{0,60}\bmerg(?:e|ing)\b"),
        ("target-module-unsupported", r"target.?modules?\b.{0,60}(?:not (?:support|found|match)|unsupported)",
         r"no modules? .*(?:match|found|target)"),
        ("loss-not-finite", r"\bnans?\b", r"not finite", r"(?:loss|grad\w*|prob\w*) .*\binf\b"),
        ("empty-tensors-zero3", r"zero.?3.*gather"),
        ("meta-tensor-offload", r"meta (?:device|tensor)", r"offload(?:ed|ing)? .*(?:cpu|disk|weights|model)"),
        ("out-of-memory", r"(?:not enough|out of|insufficient|no available) .{0,20}memory",
         r"kv.?cache.*(?:is larger|memory|blocks)"),
        ("gpu-not-supported", r"compute capability", r"\bsm_?\d\d", r"\bampere\b",
         r"only (?:supported|available|works?) on .*(?:gpu|cuda|hopper|ampere)",
         r"(?:requires?|needs?|without|no) (?:an? |any )?(?:nvidia |cuda |amd )*(?:gpus?|cuda|accelerator)\b",
         r"\b(?:cuda|gpus?)\b(?: devices?| support)? (?:is|are) (?:required|needed|necessary)\b"),
        ("missing-shard", r"(?:no|not|missing|cannot|can't) .{0,40}(?:safetensors|\.bin\b|weight files?|model weights)",
         r"(?:no|not|missing|cannot|can't) .{0,40}(?:shards?|pytorch_model|index\.json)"),
        ("unmatched-adapter-keys", r"state_dict\W.*(?:should be empty|unexpected|not expected|left over)"),
        ("data-not-as-expected", r"must contain an? .{1,40} (?:column|field|key)\b",
         r"columns? .{1,60}not (?:found |present )?in the (?:dataset|data)\b",
         r"(?:dataset|data|row)\w* (?:to have|must (?:have|contain)|is missing|has no)\b.{0,40}\bcolumns?\b"),
        ("devices-differ", r"(?:same|different|multiple) devices?\b"),
    )
)  # fmt: skip
_SHAPES = re.compile(
    r"(?:shape|sizes?|dim(?:ension)?s?|lengths?)\b.*(?:match|differ|equal|expected|same|mismatch|should|must)|"
    r"(?:must|should|expected|does not|do not).*(?:shape|same (?:size|length|shape)|match)"
)
_OF_A_MODEL = re.compile(
    r"model (?:arch|type|class)|architectures?\b|not support.*\bmodel|\bmodels? .*(?:not|un)support|"
    r"not supported (?:for|with)"
)
_DATA_PLACE = re.compile(
    r"collat|dataset|(?:^|/)data(?:/|_|\.)|data_utils|dataloader|preprocess|template|prompt_?strat|packing|sampler|"
    r"tokenize_row|tokenize_fn|prompters?|chat_utils|formatting|maybe_apply|arrow_|(?:^|/)packaged_modules/|"
    r"_annotations?$", re.IGNORECASE
)  # fmt: skip
_DATA_WORDS = re.compile(
    r"\b(?:datasets?|columns?|examples?|conversations?|jsonl?|csv|parquet|rows?|records?|features?|labels|"
    r"samples?|prompts?|completions?|chosen|rejected|roles?)\b"
)
_SETTINGS_PLACE = re.compile(
    r"arg(?:ument)?s?(?:_utils)?\.py|config|hparams|__post_init__|validat|verify|parser|launch|cli/"
)
# Places where a model is made, not run: what is refused there is an argument or a config.
_LOAD_PLACE = re.compile(
    r"modeling_(?:utils|layers)\.py:|generation/(?:logits_process|stopping_criteria|configuration_utils)\.py:|:(?:from_pretrained|from_config|_from_config|\w*device_map|\w*set_default_dtype|_check_\w+|"
    r"post_init|validate_\w+|\w+_init)$"
)
_INPUT_PLACE = re.compile(
    r"(?:^|/)(?:processing|image_processing|video_processing|feature_extraction|audio_utils|image_utils|image_transforms|"
    r"modeling|tokenization)_?\w*\.py|multimodal|/inputs?/|entrypoints|/serving|/protocol|cache_utils|generation/|masking"
)
_OPTION = re.compile(
    r"`\w+=|\b\w+_\w+=|argument|attn_implementation|set `|_config|parameter|--\w+|option|\bargs\b|flag"
)
_REFUSES = re.compile(
    r"support|must|should|ha(?:s|ve) to be|"
    r"invalid|unknown|unrecogni[sz]ed|expected|require|cannot|can't|only|either|both|one of|pass|"
    r"\bset\b|specif|provide|not implemented|incompatible|valid|allowed|divisible|between|greater|positive|not found|"
    r"does not|unimplemented|no such|not in \[|not (?:be|a|an)|unexpected|missing|need|already|choose|please"
)
_LORA = re.compile(r"lora|adapter|peft")
_WEIGHTS_PLACE = re.compile(r"weight_loader|load_\w*weights?$")


def cause_of(package: str, path: str, function: str, exception: str, message: str) -> str | None:
    """The code of what a library raises at `path` in `function`; None where neither place nor words tell."""
    text, where = " ".join(message[:_READ].split()).lower(), f"{path}:{function}"
    if exception in _NOT_AN_ERROR or (exception == "AttributeError" and "attribute" in text):
        return None
    if (code := _by_words(package, path, exception, text)) is not None:
        return code
    if "Error" not in exception and "Exception" not in exception:
        return None
    if re.search(r"process group|nccl|rendezvous|world.?size", text):
        return "distributed-run-failed" if re.search(r"time|fail|lost|init|abort", text) else "settings-refused"
    if package in SERVERS and _OF_A_MODEL.search(text):
        return "serving-limit"
    return _by_place(where, path, text)


def refuses_weights(package: str, function: str, exception: str) -> bool:
    """Whether a server stops at weights that it reads, in a way that no setting changes."""
    return package in SERVERS and exception == "NotImplementedError" and _WEIGHTS_PLACE.search(function) is not None


def prepares_rows(path: str, function: str) -> bool:
    """Whether the task of a place is to prepare rows of data."""
    where = f"{path}:{function}"
    return _DATA_PLACE.search(where) is not None and _SETTINGS_PLACE.search(where) is None


def named_outright(package: str, path: str, exception: str, message: str) -> str | None:
    """The code of what the words name wherever they are raised: a whole message tells it better than its beginning."""
    return _by_words(package, path, exception, " ".join(message[:_READ].split()).lower())


def _by_words(package: str, path: str, exception: str, text: str) -> str | None:
    if exception in {"ImportError", "ModuleNotFoundError", "PackageNotFoundError"} or "NotAvailable" in exception:
        versioned = _VERSION.search(text) and not re.search(r"pip install (?!-u|--upgrade)", text)
        return _versioned(text) if versioned else "package-missing"
    if re.search(r"(?:file|open|report) (?:a |an )?(?:bug|issue)", text):
        return "library-fault"
    if package in SERVERS and _LORA.search(text if package.startswith("mlx") else f"{path} {text}"):
        return "serving-limit"
    for code, pattern in _WORDS:
        if pattern.search(text):
            return code
    return _versioned(text) if _VERSION.search(text) and _VERSIONED.search(text) else None


def _versioned(text: str) -> str:
    return "torch-companion-mismatch" if re.search(r"\btorch(?:vision|audio|ao)?\b", text) else "library-api-changed"


def _by_place(where: str, path: str, text: str) -> str | None:
    settings = _SETTINGS_PLACE.search(where) is not None
    if not settings and _DATA_PLACE.search(where):
        return "data-not-as-expected"
    if not settings and _SHAPES.search(text) and not _OPTION.search(text):
        return "inputs-do-not-fit"
    if not settings and _DATA_WORDS.search(text) and not _OPTION.search(text):
        return "data-not-as-expected"
    settings = settings or _LOAD_PLACE.search(where) is not None
    if not settings and _INPUT_PLACE.search(path) and not _OPTION.search(text):
        return "inputs-do-not-fit"
    return "settings-refused" if settings or _REFUSES.search(text) else None
