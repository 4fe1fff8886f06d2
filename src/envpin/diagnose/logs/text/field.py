"""Whether a log is of this field: what any program prints counts only where something else in it is. Pure."""

from __future__ import annotations

import re
from itertools import islice

# Programs of this field whose modules are looked for by name: a module of theirs that is missing is of no other field.
_PROJECTS = (
    rb"cosyvoice|matcha|fish_speech|indextts|f5_tts|FlagEmbedding|verl|open_r1|open_instruct|openrlhf|llava|llamafactory|mergekit|lmdeploy|"
    rb"xtuner|diffsynth|musubi_tuner|lerobot|internvl|minimind|litgpt|lit_gpt|torchtune|megatron|nemo|nemo_rl|nanotron|"
    rb"swift|axolotl|unsloth|unsloth_zoo|sglang|vllm|fastchat|alignment|lm_eval|mteb|colpali_engine|gptqmodel|auto_gptq|awq|"
    rb"autotrain|oumi|olmocr|prismatic|openvla|gr00t|qwen_vl_utils|qwen_omni_utils|deepseek_vl2?|janus|flash_attn|llama_cpp|"
    rb"exllamav[23]|hqq|optimum|ctranslate2|tevatron|pylate|span_marker|gliner|setfit|trlx|xturing|ludwig|"
    rb"onnx|onnxruntime|sentencepiece|tokenizers|safetensors|gguf|mlx|mlx_lm|mlx_vlm"
)
# Frames and imports of the libraries of this field, and what they alone print.
_SIGNS = re.compile(
    rb"packages[/\\](?:transformers|peft|trl|accelerate|datasets|tokenizers|sentence_transformers|bitsandbytes|deepspeed|"
    rb"vllm|diffusers|unsloth|llamafactory|swift|axolotl|optimum|safetensors|evaluate|setfit|mergekit|lm_eval|"
    rb"torch|onnx|onnxruntime|mlx_lm|ctranslate2|gguf|sentencepiece|lightning|openai|anthropic|rouge_score|sacrebleu|"
    rb"bert_score|mteb|llama_index|FlagEmbedding|huggingface_hub|langchain\w*)[/\\]|"
    rb"(?:from|import) (?:transformers|peft|trl|accelerate|datasets|bitsandbytes|unsloth|sentence_transformers)\b|"
    rb"Loading checkpoint shards|Loading weights: |Writing model shards|"
    rb"'train_runtime'|'train_loss'|trainable params: |"
    rb"(?:meta-llama|mistralai|Qwen|deepseek-ai|TinyLlama)/[A-Z][\w.]+-|google/gemma-|openai/whisper-|vllm/vllm-openai|"
    rb"HF_TOKEN|HF_HUB_|HUGGING_?FACE_?(?:HUB_)?TOKEN|huggingface\.co/|\[transformers\] |LoraConfig|AutoModel|"
    rb"(?<!\w)(?:dataset|train\w*|finetun\w*|sft\w*|instruct\w*|chat\w*)\.jsonl\b|"
    rb"No module named '?(?:" + _PROJECTS + rb")(?:[.'\\s]|$)|"
    # a module that carries a word of it in its name, whatever the rest of the name is
    rb"No module named '(?:\w+_)?(?:hf|hub|llms?|q?lora|ct2|gguf|onnx\w*|bert\w*|gpt\w*|llama\w*|qwen\w*|"
    rb"\w*tokenizers?|huggingface\w*)(?:_\w+)?[.']|"
    # a list of packages, as people add it to what they report
    rb"(?:^|\n)[-*\s`]*(?:[Tt]ransformers|[Aa]ccelerate|peft|PEFT|trl|TRL|bitsandbytes|sentence[-_]transformers)`?"
    rb"(?:==| *[=@] | {2,}| version: )\d+\.\d|"
    rb"module 'onnx' has no attribute|"
    # programs that train and load LoRA of image and video models, in their own folders
    rb"[/\\](?i:ComfyUI|sd-scripts|kohya_ss|ai-toolkit|musubi-tuner|OneTrainer|SimpleTuner|diffusion-pipe)[\w.-]{0,40}[/\\]|"
    # what trainers that people report to trackers print of themselves
    rb"\bactor_rollout\w*|\bverl(?=[A-Z:])|\[(?:INFO|ERROR|WARNING):swift\]|LLaMA-Factory|[Uu]nsloth: |openrlhf|"
    rb"AutoTokenizer|TrainingArguments|You should probably TRAIN this model|newly initialized: \[|"
    rb"Generating \w+ split: |Map: +\d+%|\{'loss': |"
    # what scripts that merge, convert and evaluate call, in the lines of code below their frames
    rb"\.from_pretrained\(|\bsafe_open\(|state_dict\(\)|lora_[AB]\b|\badapter_config\b|Using adapters: |"
    rb"\bLoRA\b|\bB @ A\b|\bget_(?:input|output)_embeddings\(|"
    rb"max_new_tokens|the current text generation call|trust_remote_code|\bperplexity\b|\bmerge_and_unload\(|"
    rb"\bapply_chat_template\(|\bmodel\.generate\(|\bchat\.completions\.create\(|\bOpenAI\(|\bInferenceClient\b|"
    rb"\bload_state_dict\(|\b(?:save|load)_file\(|\bweight_map\b|\bget_tensor\(|Safetensor(?:s)?Error|safetensors_rust|"
    rb"\btokenizer(?:\(|\.\w+\()|\bpipeline\([\"'](?:text|sentiment|summari|translation|fill|question|token|zero|image|automatic)|"
    rb"\bRougeScorer\(|\brouge_scorer\b|\b(?:corpus|sentence)_(?:bleu|chrf)\(|\bsacrebleu\.|\bBERTScorer\(|\blogits\b|"
    rb"'eval_(?:loss|accuracy|f1)': |\"exact_match\": |'rouge[12L]': |"
    rb"[\"']role[\"']: ?[\"'](?:user|system|assistant)|\bAsyncOpenAI\(|\bchoices\[0\]|'LABEL_\d|"
    rb"\bChatInterface\(|\bstate_dict[(\[.]|"
    rb"\b(?:num_hidden_layers|num_local_experts|num_attention_heads)\b|\bbase_sd\b|"
    # and calls of those that are no Python, and leave no frame of their own
    rb"SentencePiece(?:Trainer|Processor)\b|(?:Bpe|WordPiece|WordLevel|Unigram)Trainer\(|BPETokenizer\(|"
    rb"WordPieceTokenizer\(|InferenceSession\(|\bonnx\.load\(|GGUF(?:Reader|Writer)\(|\bmx\.(?:load|save)"
)
# What the path of a script shows of it.
_PATHS = re.compile(
    r"(?i)lora|peft|llama|qwen|mistral|gemma|gpt|llm|bert|whisper|fine[-_]?tun|tokeniz|(?<![a-z])train|"
    r"quantiz|safetensor|gguf|onnx|sentencepiece|(?<![a-z])(?:spm|bpe|mlx)(?![a-z])|[/\\_-](?:dpo|sft|grpo|ppo)\b|rlhf|transformers|hugging|"
    r"(?<![a-z])(?:vit|deit|detr|yolos|blip2?|mbart|nllb|marian|wav2vec2?|hubert|electra|deberta|clip|trocr|segformer)"
    r"(?![a-z])|sentiment|(?<![a-z])(?:ner|nmt|asr)(?![a-z])|summari[sz]|translat|classifi|embedding"
)


# The same without what other fields train and convert as well.
_SURELY = re.compile(
    r"(?i)lora|\bpeft|llama|qwen|mistral|gemma|gpt|llm|fine[-_]?tun|tokeniz|\bbert|bert[_-]|_bert|roberta|whisper|"
    r"\b(?:bart|t5|trocr|wav2vec2?|sft|dpo|grpo)(?=[_/\\-])|gguf|safetensor|onnx|sentencepiece|"
    r"(?<![a-z])(?:spm|bpe|mlx)(?![a-z])|[_-](?:dpo|sft|grpo|ppo)\b|"
    r"run_(?:qa|glue|ner|mlm|clm|plm|summarization|translation|swag|seq2seq|squad|xnli|speech_recognition|"
    r"image_classification|audio_classification)|(?<![a-z])(?:vit|deit|detr|mbart|nllb|hubert|deberta|segformer)(?![a-z])|"
    r"rlhf|transformers|hugging|trained_?models?(?![a-z])|(?<![a-z])(?:bart|t5)(?=[\d.]|(?-i:[A-Z]))|"
    r"(?<![a-z])(?:f5[-_]?tts|xtts|cosyvoice|style-?tts|gpt[-_]?sovits|fish[-_]?speech|speechbrain|llava|internvl|minicpm|"
    r"open[-_]r1|verl|xtuner|openrlhf)(?![a-z])|"
    r"model[_-]?soup|task[_-]?(?:arithmetic|vector)|(?<![a-z])(?:ppl|ct2)(?![a-z])|perplexity|ctranslate|"
    r"lm[_-]?eval|mergekit|merge[_-](?:adapters?|weights|models?|checkpoints?)|"
    r"model[_-]?merg|(?:drop|prune)_(?:layers|heads|model|vocab)|vocab(?:ulary)?[_-](?:trim|prun|ext)|"
    r"(?:average|avg)_?(?:checkpoints?|weights|models?)|checkpoint[_-]?averag|(?:convert_)?to_hf\b|hf_to_|_to_hf|"
    r"(?<![a-z])(?:hf2|2hf)|rename_(?:keys|weights)|de?quantize|reshard|shard_model|extract_(?:lora|delta)|zero_to_fp32|"
    r"apply_delta|mmlu|gsm8k|hellaswag|humaneval|truthfulqa|squad|(?<![a-z])(?:rouge|bleu|chrf|mteb|nli|sts)(?![a-z])|"
    r"llm[_-]?judge|rerank|chatbot|winogrande|boolq|piqa|fsdp|deepspeed|quantize_|[/\\]quant[/\\]|(?<![a-z])experts?[_/]|"
    r"zero[-_]shot|few[-_]shot|[/\\](?:model_?)?soups?[/\\.]"
)


# The scripts in the frames of a block, so many of which are looked at.
_SCRIPT = re.compile(rb'File "(?![^"\n]*(?:packages|/lib/python))([^"\n]{1,300}\.py)"')
_SCRIPTS = 200
# Blocks over so many bytes are searched without their repetitions.
_LARGE = 50_000


def shows_the_field(block: bytes) -> bool:
    """Whether something in these lines comes of a program of this field."""
    if len(block) > _LARGE:
        # a log of hours says the same few lines with other numbers: each once is a hundredth of it
        block = b"\n".join({line.translate(None, b"0123456789"): line for line in block.split(b"\n")}.values())
    if _SIGNS.search(block) is not None:
        return True
    paths = (one[1].decode("utf-8", "replace") for one in islice(_SCRIPT.finditer(block), _SCRIPTS))
    return any(is_surely_named_after_it(path) for path in paths)


def is_surely_named_after_it(path: str) -> bool:
    """Whether the path of a script speaks of the models of this field alone."""
    return _SURELY.search(path) is not None


def is_named_after_it(path: str) -> bool:
    """Whether the path of a script speaks of training or of models."""
    return _PATHS.search(path) is not None
