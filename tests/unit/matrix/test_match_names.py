"""Every family that people ask for by name: the names under which its models are on the Hub, and what is said of it."""

from __future__ import annotations

import pytest

from envpin.core.resources import data_path
from envpin.matrix.load import load_matrix
from envpin.matrix.match import match
from envpin.matrix.support import load_support

MATRIX, SUPPORT = load_matrix(data_path("compat_matrix.toml")), load_support()

NAMES = {
    "llama": ("huggyllama/llama-7b",),
    "llama2": ("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-chat-hf", "NousResearch/Llama-2-7b-hf",),
    "llama3": ("meta-llama/Meta-Llama-3-8B-Instruct",),
    "llama3.1": ("meta-llama/Llama-3.1-8B-Instruct",),
    "llama3.2": ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-3B-Instruct",),
    "llama3.2-vision": ("meta-llama/Llama-3.2-11B-Vision-Instruct",),
    "llama4": ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "meta-llama/Llama-4-Maverick-17B-128E",),
    "llama3.3": ("meta-llama/Llama-3.3-70B-Instruct",),
    "codellama": ("codellama/CodeLlama-7b-Instruct-hf",),
    "tinyllama": ("TinyLlama/TinyLlama-1.1B-Chat-v1.0",),
    "mistral": (
        "mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-Instruct-v0.2",
        "mistralai/Mistral-Small-24B-Base-2501",
    ),
    "mixtral": ("mistralai/Mixtral-8x7B-v0.1", "mistralai/Mixtral-8x22B-v0.1",),
    "qwen": ("Qwen/Qwen-7B", "Qwen/Qwen-14B-Chat", "Qwen/Qwen-72B",),
    "qwen1.5": ("Qwen/Qwen1.5-7B", "Qwen/Qwen1.5-0.5B-Chat",),
    "qwen2": ("Qwen/Qwen2-7B-Instruct",),
    "qwen2.5": ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-Math-7B", "Qwen/Qwen2.5-Coder-7B",),
    "qwen2-moe": ("Qwen/Qwen2-57B-A14B-Instruct", "Qwen/Qwen1.5-MoE-A2.7B-Chat",),
    "qwen2-vl": ("Qwen/Qwen2-VL-2B-Instruct",),
    "qwen2.5-vl": ("Qwen/Qwen2.5-VL-7B-Instruct",),
    "qwen2-audio": ("Qwen/Qwen2-Audio-7B-Instruct",),
    "qwen2.5-omni": ("Qwen/Qwen2.5-Omni-3B",),
    "qwen3": ("Qwen/Qwen3-8B-Base", "Qwen/Qwen3-4B-Instruct-2507", "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B",),
    "qwen3-moe": ("Qwen/Qwen3-235B-A22B", "Qwen/Qwen3-30B-A3B-Thinking-2507", "Qwen/Qwen3-Coder-30B-A3B-Instruct",),
    "qwen3-next": ("Qwen/Qwen3-Next-80B-A3B-Thinking",),
    "qwen3-vl": ("Qwen/Qwen3-VL-4B-Instruct",),
    "qwen3-vl-moe": ("Qwen/Qwen3-VL-235B-A22B-Thinking",),
    "qwen3-omni": ("Qwen/Qwen3-Omni-30B-A3B-Captioner",),
    "qwen3.5": ("Qwen/Qwen3.5-9B", "Qwen/Qwen3.5-27B",),
    "qwen3.5-moe": ("Qwen/Qwen3.5-397B-A17B", "Qwen/Qwen3.5-35B-A3B",),
    "qwq": ("Qwen/QwQ-32B-Preview", "Qwen/QwQ-32B",),
    "gemma": ("google/gemma-2b", "google/gemma-7b-it", "google/gemma-1.1-7b-it",),
    "gemma2": ("google/gemma-2-2b", "google/gemma-2-27b-it",),
    "gemma3": ("google/gemma-3-1b-it", "google/gemma-3-27b-it",),
    "gemma3n": ("google/gemma-3n-E2B",),
    "gemma4": ("google/gemma-4-E4B-it", "google/gemma-4-31B",),
    "phi-2": ("microsoft/phi-2", "microsoft/phi-1_5",),
    "phi-3": ("microsoft/Phi-3-mini-128k-instruct", "microsoft/Phi-3-medium-4k-instruct",),
    "phi-3.5": ("microsoft/Phi-3.5-mini-instruct",),
    "phi-3.5-moe": ("microsoft/Phi-3.5-MoE-instruct",),
    "phi-4": ("microsoft/phi-4", "microsoft/Phi-4-mini-instruct",),
    "deepseek-v2": (
        "deepseek-ai/DeepSeek-V2", "deepseek-ai/DeepSeek-V2-Lite-Chat",
        "deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct",
    ),
    "deepseek-v3": ("deepseek-ai/DeepSeek-V3", "deepseek-ai/DeepSeek-V3-0324", "deepseek-ai/DeepSeek-R1-0528",),
    "deepseek-r1-distill-llama": ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B",),
    "deepseek-r1-distill-qwen": ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",),
    "chatglm": ("THUDM/chatglm-6b",),
    "lfm2": ("LiquidAI/LFM2-1.2B",),
    "granite-moe": ("ibm-granite/granite-3.1-3b-a800m-instruct",),
    "seed-oss": ("ByteDance-Seed/Seed-OSS-36B-Instruct",),
    "ernie4.5": ("baidu/ERNIE-4.5-0.3B-PT",),
    "exaone4": ("LGAI-EXAONE/EXAONE-4.0-1.2B",),
    "olmo3": ("allenai/Olmo-3-7B-Instruct",),
    "apertus": ("swiss-ai/Apertus-8B-2509",),
    "chatglm2": ("THUDM/chatglm2-6b",),
    "chatglm3": ("zai-org/chatglm3-6b-base",),
    "deepseek-coder": ("deepseek-ai/deepseek-coder-6.7b-instruct",),
    "glm-4-chat": ("THUDM/glm-4-9b-chat", "zai-org/glm-4-9b",),
    "glm-4": ("zai-org/glm-4-9b-chat-hf", "zai-org/GLM-4-32B-0414", "THUDM/GLM-4-9B-0414",),
    "glm-4v": ("zai-org/glm-4v-9b",),
    "glm-4.6v-fp8": ("zai-org/GLM-4.6V-FP8",),
    "glm-4.6v": ("zai-org/GLM-4.6V", "zai-org/GLM-4.5V",),
    "glm-4.1v": ("zai-org/GLM-4.6V-Flash", "zai-org/GLM-4.1V-9B-Thinking",),
    "autoglm-phone": ("zai-org/AutoGLM-Phone-9B", "zai-org/AutoGLM-Phone-9B-Multilingual",),
    "glm-asr": ("zai-org/GLM-ASR-Nano-2512",),
    "glm-tts": ("zai-org/GLM-TTS",),
    "glm-4.5": ("zai-org/GLM-4.5-Air", "zai-org/GLM-4.6",),
    "kimi-k2": ("moonshotai/Kimi-K2-Thinking", "moonshotai/Kimi-K2-Instruct",),
    "hunyuan-ocr": ("tencent/HunyuanOCR",),
    "spark-formalizer": ("iflytek/Spark-Formalizer-X1-7B",),
    "gpt-oss": ("openai/gpt-oss-20b", "openai/gpt-oss-120b",),
    "falcon": ("tiiuae/falcon-7b", "tiiuae/falcon-40b-instruct",),
    "yi": ("01-ai/Yi-6B", "01-ai/Yi-1.5-34B-Chat",),
    "baichuan": ("baichuan-inc/Baichuan-13B-Chat", "baichuan-inc/Baichuan2-7B-Chat",),
    "internlm": ("internlm/internlm-7b", "internlm/internlm2_5-7b-chat",),
    "internlm3": ("internlm/internlm3-8b-instruct",),
    "starcoder2": ("bigcode/starcoder2-3b",),
    "olmo2": ("allenai/OLMo-2-1124-7B-Instruct", "allenai/OLMo-2-0325-32B",),
    "granite": ("ibm-granite/granite-3.3-8b-instruct", "ibm-granite/granite-3.1-2b-base",),
    "smollm": ("HuggingFaceTB/SmolLM-135M", "HuggingFaceTB/SmolLM2-1.7B-Instruct",),
    "smollm3": ("HuggingFaceTB/SmolLM3-3B",),
    "cohere": ("CohereForAI/c4ai-command-r-v01", "CohereLabs/c4ai-command-r-plus", "CohereLabs/aya-23-8B",),
    "cohere2": ("CohereLabs/c4ai-command-r7b-12-2024",),
    "gpt2": ("openai-community/gpt2-xl", "distilbert/distilgpt2",),
    "bert": ("google-bert/bert-base-uncased", "bert-base-cased",),
    "t5": ("google/flan-t5-xl", "google-t5/t5-small",),
    "whisper": ("openai/whisper-large-v3",),
    "gemma4-unified": ("google/gemma-4-12B-it",),
    "roberta": ("FacebookAI/roberta-base", "FacebookAI/roberta-large",),
    "xlm-roberta": ("FacebookAI/xlm-roberta-large", "BAAI/bge-m3",),
    "deberta-v3": ("microsoft/deberta-v3-base", "microsoft/deberta-v3-large",),
    "distilbert": ("distilbert/distilbert-base-uncased",),
    "modernbert": ("answerdotai/ModernBERT-base", "answerdotai/ModernBERT-large",),
    "bge": ("BAAI/bge-base-en-v1.5", "intfloat/e5-base-v2",),
    "vit": ("google/vit-base-patch16-224", "google/vit-large-patch32-384",),
    "dinov3": ("facebook/dinov3-vits16-pretrain-lvd1689m",),
    "wav2vec2": ("facebook/wav2vec2-base-960h", "facebook/wav2vec2-xls-r-300m",),
    "opt": ("facebook/opt-125m", "facebook/opt-6.7b",),
    "bloom": ("bigscience/bloom-560m", "bigscience/bloomz-7b1",),
    "gpt-neox": ("EleutherAI/pythia-70m", "EleutherAI/pythia-6.9b-deduped",),
    "gpt-j": ("EleutherAI/gpt-j-6b",),
    "bart": ("facebook/bart-large-cnn", "facebook/bart-base",),
    "mt5": ("google/mt5-small", "google/mt5-xxl",),
    "starcoder": ("bigcode/starcoder", "bigcode/starcoderbase-1b",),
    "mamba2": ("AntonV/mamba2-130m-hf", "mistralai/Mamba-Codestral-7B-v0.1",),
    "jamba": ("ai21labs/Jamba-v0.1", "ai21labs/AI21-Jamba-1.5-Mini",),
    "falcon-h1": ("tiiuae/Falcon-H1-1.5B-Instruct", "tiiuae/Falcon-H1-34B-Base",),
    "granite4": ("ibm-granite/granite-4.0-h-micro", "ibm-granite/granite-4.0-micro",),
    "nemotron-h": ("nvidia/Nemotron-H-8B-Base-8K", "nvidia/NVIDIA-Nemotron-Nano-9B-v2",),
    "glm-4.7-flash": ("zai-org/GLM-4.7-Flash",),
    "glm-5": ("zai-org/GLM-5", "zai-org/GLM-5-FP8",),
    "deepseek-v3.2": ("deepseek-ai/DeepSeek-V3.2", "deepseek-ai/DeepSeek-V3.2-Exp",),
    "deepseek-v4": ("deepseek-ai/DeepSeek-V4",),
    "minimax-m2": ("MiniMaxAI/MiniMax-M2",),
    "hunyuan": ("tencent/Hunyuan-7B-Instruct", "tencent/Hunyuan-0.5B-Instruct",),
    "hunyuan-moe": ("tencent/Hunyuan-A13B-Instruct",),
    "ministral3": ("mistralai/Ministral-3-8B-Instruct-2512", "mistralai/Ministral-3-3B-Base-2512",),
    "llava": ("llava-hf/llava-1.5-7b-hf", "llava-hf/llava-1.5-13b-hf",),
    "llava-next": ("llava-hf/llava-v1.6-mistral-7b-hf", "llava-hf/llava-v1.6-vicuna-13b-hf",),
    "pixtral": ("mistral-community/pixtral-12b",),
    "idefics3": ("HuggingFaceM4/Idefics3-8B-Llama3", "HuggingFaceTB/SmolVLM-Instruct",),
    "smolvlm2": ("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",),
    "internvl3": ("OpenGVLab/InternVL3-8B-hf", "OpenGVLab/InternVL3-1B-hf",),
    "paligemma": ("google/paligemma-3b-pt-224", "google/paligemma-3b-mix-448",),
    "paligemma2": ("google/paligemma2-3b-pt-224", "google/paligemma2-10b-mix-448",),
    "florence2": ("florence-community/Florence-2-base",),
    "t5gemma2": ("google/t5gemma-2-270m-270m", "google/t5gemma-2-1b-1b",),
    "voxtral": ("mistralai/Voxtral-Mini-3B-2507", "mistralai/Voxtral-Small-24B-2507",),
    "glm-ocr": ("zai-org/GLM-OCR",),
    "olmoe": ("allenai/OLMoE-1B-7B-0924",),
    "ernie4.5-moe": ("baidu/ERNIE-4.5-21B-A3B-PT", "baidu/ERNIE-4.5-300B-A47B-PT",),
    "nemotron": ("nvidia/Minitron-4B-Base",),
    "electra": ("google/electra-small-discriminator",),
    "qwen3-embedding": ("Qwen/Qwen3-Embedding-0.6B", "Qwen/Qwen3-Reranker-4B",),
    "embeddinggemma": ("google/embeddinggemma-300m",),
    "functiongemma": ("google/functiongemma-270m-it",),
    "medgemma": ("google/medgemma-4b-it", "google/medgemma-27b-text-it",),
    "clip": ("openai/clip-vit-base-patch32", "openai/clip-vit-large-patch14-336",),
    "siglip": ("google/siglip-so400m-patch14-384", "google/siglip2-base-patch16-224",),
    "siglip2": ("google/siglip2-base-patch16-naflex", "google/siglip2-so400m-patch16-naflex",),
    "speecht5": ("microsoft/speecht5_tts", "microsoft/speecht5_asr",),
    "minicpm-v-4.6": ("openbmb/MiniCPM-V-4.6", "openbmb/MiniCPM-V-4_6",),
}  # fmt: skip
# What transformers cannot load by itself, and what the answer must therefore be about.
UNPINNABLE = {
    "chatglm": "trust_remote_code", "chatglm2": "trust_remote_code", "chatglm3": "trust_remote_code",
    "qwen": "trust_remote_code", "glm-4-chat": "-hf conversion", "glm-4v": "modelling code", "glm-tts": "pipeline",
    "kimi-k2": "kimi_k2", "spark-formalizer": "private architecture", "baichuan": "modelling code",
    "internlm": "modelling code",
}  # fmt: skip


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, names in NAMES.items() for name in names])
def test_a_name_alone(family: str, name: str) -> None:
    found = match(None, name, MATRIX, SUPPORT)
    assert found.family is not None
    assert (found.family.id, found.certainty, found.basis) == (family, "by name", "name")
    assert bool(found.pins) == (family not in UNPINNABLE)


@pytest.mark.parametrize(("family", "why"), UNPINNABLE.items())
def test_what_cannot_be_pinned_says_why(family: str, why: str) -> None:
    entry = MATRIX.families[family]
    assert entry.kind in {"remote-code", "other"}
    assert entry.unpinnable is not None
    assert why in entry.unpinnable


def test_no_family_is_without_a_name() -> None:
    assert set(UNPINNABLE) <= set(NAMES) <= set(MATRIX.families)
    assert set(MATRIX.families) - set(NAMES) <= {"stablelm", "olmo", "mistral3"}


@pytest.mark.parametrize("family", [one for one in MATRIX.families.values() if one.models], ids=lambda one: one.id)
def test_its_own_models_are_its_own(family: object) -> None:
    for name in family.models:  # type: ignore[attr-defined]
        found = match(None, name, MATRIX, SUPPORT)
        assert found.family is family
