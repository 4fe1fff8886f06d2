"""Models that a program refuses by their type or class, and those that transformers makes of another one. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.facts.model_types import has_parts, is_a_class, is_a_type, of_a_class
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of, is_own, known_libraries, last_code, shown_name

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_KIND = "model-of-another-kind"
_ERROR = re.compile(r"^\W*(?:\w+\.)*(?P<kind>[A-Z]\w*(?:Error|Exception)|Exception): (?P<said>.+)", re.DOTALL)
_REFUSES = re.compile(
    r"(?i)unsupported|un(?:known|recogni[sz]ed)|not (?:currently |yet )*(?:supported|implemented|"
    r"recogni[sz]ed|known|handled)|isn't (?:currently |yet )?supported|"
    r"does ?n[o']t support (?:the )?(?:model|arch)|"
    r"(?:supports?|works? (?:with|for)|implemented for|available for) only|only (?:supports?|works? (?:with|for)|"
    r"implemented|available)|(?:are|is) (?:the )?only [\w ]{0,20}supported|only [\w ,-]{2,60} (?:is|are) supported"
)
# What a model that is taken may not be able to do.
_OF_SOMETHING_ELSE = re.compile(
    r"(?i)attention|\battn|gradient|checkpointing|device_map|sdpa|flash|\bcache|beam|precision|dtype|bf16|fp16|\bbit\b|"
    r"assistant|assisted|chat template|padding|parallel|tokeniz|processor|pipeline|optimi[sz]er|transformers does not|"
    r"trust_remote_code|(?:for|of) the task|rope|adapter|lora|merge_and_unload|loss|\bdataset|compile|position|"
    r"embeddings? resiz"
)
_OF_A_KIND = re.compile(
    r"(?i)\b(?:model|config)[ _.]?(?:type|class|family|arch\w*)|\barchitectures?\b|\bbackbone\b|\bmodels?\b"
)
_SAYS_A_TYPE = re.compile(r"(?i)\b(?:model[ _]?(?:type|class|family|arch\w*)|architectures?)\b")
_NEXT_TO = re.compile(r"(?P<name>[\w-]{2,40}) (?:is |are )?not (?:yet )?supported")
_WORD = re.compile(r"[A-Za-z][\w-]{1,60}")
_NO_NAMES = frozenset({"align", "git", "bit", "opt", "led", "clip", "sam", "auto", "dac", "mimi", "text", "vits"})
_TYPE_OF = re.compile(r"^<class '(?:\w+\.)*(?P<name>[A-Z]\w+)'>")
_CONVERTS = frozenset({
    "gguf", "ctranslate2", "optimum", "mlx_lm", "mlx_vlm", "vllm", "sglang", "lmdeploy", "litgpt", "megatron",
    "lit_gpt", "mcore_bridge", "exllamav3", "onnx", "onnxruntime", "awq", "auto_gptq", "gptqmodel", "llmcompressor",
    "auto_round", "optimum_benchmark", "tensorrt_llm",
})  # fmt: skip
_CONVERTER = re.compile(r"(?i)(?:^|[/\\])[\w-]*(?:convert|export|gguf|onnx|ct2|mlx|coreml|to_hf|hf_to)[\w-]*\.py$")
_INSTANCE = re.compile(
    r"assert\s+isinstance\(\s*(?P<what>[\w.]*(?:model|config)\w*)\s*,\s*(?P<kind>[^\n]{3,120}?)\)?\s*(?:,|$)"
)
_MAKES = re.compile(
    r"You are using a model of type `?(?P<own>[\w.-]+?)`? to instantiate a model of type `?(?P<other>[\w.-]*\w)"
)
_PIPELINE = re.compile(r"The model '(?P<name>\w+)' is not supported for (?P<task>[\w-]+)\.? Supported models are")
# What the classes of a task end with.
_OF_TASKS = {
    "text-generation": re.compile(
        r"(?:CausalLM|LMHeadModel|LMHead|(?<!T5)(?<!Bart)(?<!Pegasus)ForConditionalGeneration)$"
    ),
    "text2text-generation": re.compile(r"ForConditionalGeneration$|MTModel$|Seq2Seq"),
    "summarization": re.compile(r"ForConditionalGeneration$|MTModel$|Seq2Seq"),
    "translation": re.compile(r"ForConditionalGeneration$|MTModel$|Seq2Seq"),
    "text-classification": re.compile(r"ForSequenceClassification$"),
    "sentiment-analysis": re.compile(r"ForSequenceClassification$"),
    "zero-shot-classification": re.compile(r"ForSequenceClassification$"),
    "token-classification": re.compile(r"ForTokenClassification$"), "ner": re.compile(r"ForTokenClassification$"),
    "question-answering": re.compile(r"ForQuestionAnswering\w*$"), "fill-mask": re.compile(r"ForMaskedLM$|WithLMHead"),
    "image-classification": re.compile(r"ForImageClassification\w*$"),
    "automatic-speech-recognition": re.compile(r"ForCTC$|ForConditionalGeneration$|ForSpeech\w+$"),
}  # fmt: skip
# Families whose models hold their tensors under the same names, each with the types that share them.
_SHARED = (
    {"bert", "roberta"}, {"roberta", "camembert", "xlm-roberta"}, {"t5", "mt5", "umt5"},
    {"bart", "mbart", "m2m_100", "pegasus", "marian"},
    {"llama", "mistral", "qwen2", "gemma", "yi", "internlm2", "code_llama", "qwen3", "phi3", "gemma2", "mixtral"},
)  # fmt: skip
# Types of which nothing fits another of them that is not of its family.
_APART = frozenset({
    "bert", "distilbert", "roberta", "camembert", "xlm-roberta", "albert", "electra", "deberta", "deberta-v2",
    "mpnet", "modernbert", "longformer", "xlnet", "t5", "mt5", "umt5", "longt5", "bart", "mbart", "pegasus",
    "marian", "m2m_100", "blenderbot", "led", "whisper", "prophetnet", "gpt2", "gpt_neo", "gpt_neox", "gptj", "opt",
    "bloom", "llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma", "gemma2", "phi", "phi3", "falcon",
    "stablelm", "vit", "deit", "beit", "swin", "convnext", "resnet", "clip", "siglip", "blip", "wav2vec2", "hubert",
    "wavlm", "speecht5", "segformer", "detr", "yolos", "dinov2", "layoutlm", "layoutlmv3",
    "encoder-decoder", "vision-encoder-decoder", "speech-encoder-decoder", "vision-text-dual-encoder", "clap",
    "cohere", "command-r", "olmo", "olmo2", "granite", "mpt", "codegen", "xglm", "biogpt", "big_bird", "fnet",
    "pegasus_x", "bigbird_pegasus", "nllb-moe", "videomae", "audio-spectrogram-transformer", "unispeech-sat",
})  # fmt: skip


def of_a_refused_kind(line: str, before: str) -> Explained | None:
    """What a program says of a model that it does not take; None where the words are of something else."""
    if (made := _MAKES.search(line)) is not None:
        return _of_another_type(made["own"], made["other"])
    if (piped := _of_a_pipeline(line)) is not None:
        return piped
    error = _ERROR.search(line)
    if error is None:
        return _of_a_bare_assert(line, before)
    said = error["said"]
    if (
        error["kind"] == "NotImplementedError"
        and (found := _TYPE_OF.match(said)) is not None
        and is_a_class(found["name"])
    ):
        return _said(f"`{found['name']}`", frames_of(before))
    if _OF_SOMETHING_ELSE.search(said.partition("ust be")[0]) or not refuses_a_kind(said):
        return None
    frames = frames_of(before)
    return _said(None, frames, said) if frames else None


def refuses_a_kind(said: str) -> bool:
    """Whether words say that a model's type or class is not taken."""
    refused = _REFUSES.search(said)
    if refused is None or len(said) > 2_000:
        return False
    words = _WORD.findall(said[:400])
    named = [one for one in words if is_a_class(one) or (is_a_type(one.lower()) and one.lower() not in _NO_NAMES)]
    if _SAYS_A_TYPE.search(said) is not None:
        return bool(named) or any(is_a_type(one) for one in _WORD.findall(said[:400]))
    beside = _NEXT_TO.search(said)
    if beside is not None and is_a_type(beside["name"]) and beside["name"] not in _NO_NAMES:
        return True
    return bool(named) and _OF_A_KIND.search(said) is not None


def _of_a_pipeline(line: str) -> Explained | None:
    """What a pipeline of transformers logs as it goes on with a model that is of another task by its class."""
    found = _PIPELINE.search(line)
    fits = None if found is None else _OF_TASKS.get(found["task"])
    if found is None or fits is None or found["name"].startswith("Peft") or fits.search(found["name"]) is not None:
        return None
    kind = of_a_class(found["name"]) if is_a_class(found["name"]) else None
    if kind is None or has_parts(kind):
        return None
    says = (
        f"the pipeline `{found['task']}` was given a `{found['name']}`, a model of another task, and goes on with it: "
        "what comes out is of no use"
    )
    return Explained(_KIND, says, (
        f"give it a model of that task, or the task of this model: pipeline(TASK, model=…), not `{found['task']}`",
    ))  # fmt: skip


def said_of_a_kind(line: str) -> Explained | None:
    """The same of a line that a program prints as it ends, without a traceback."""
    if _OF_SOMETHING_ELSE.search(line) is not None or not refuses_a_kind(line):
        return None
    return _refused(_KIND, "the program", _quoted(line))


def _of_a_bare_assert(line: str, before: str) -> Explained | None:
    frames = frames_of(before) if line.strip().endswith("AssertionError") else []
    if not frames or not is_own(frames[-1]):
        return None
    found = _INSTANCE.search("\n".join(last_code(before)))
    if found is None:
        return None
    says = f"the program takes only models of a class (`{found['kind'].strip()}`), and `{found['what']}` is another"
    return Explained(_KIND, says, _steps("the program"))


def _of_another_type(own: str, other: str) -> Explained | None:
    """What transformers says where the class that loads is not the one of the config."""
    if own not in _APART or other not in _APART or any(own in one and other in one for one in _SHARED):
        return None
    says = (
        f"the folder or name that was given is of type `{own}`, and the code makes one of type `{other}` of it: a "
        "model of another kind, whose weights fit nowhere there"
    )
    return Explained(_KIND, says, (
        f"give a model of type `{other}`, for which the program was written",
        "or load it with the class that its config.json names in `architectures` (AutoModelFor…)",
    ))  # fmt: skip


def _said(name: str | None, frames: list[Frame], said: str = "") -> Explained:
    last = frames[-1] if frames else None
    library = last.library if last is not None else None
    who = shown_name(library) if library is not None and library in known_libraries() else "the program"
    converts = last is not None and (library in _CONVERTS or _CONVERTER.search(last.path) is not None)
    code = "serving-limit" if converts else _KIND
    return _refused(code, who, name or _quoted(said))


def _refused(code: str, who: str, what: str) -> Explained:
    return Explained(code, f"{who} does not take a model of this type or class: {what}", _steps(who))


def _steps(who: str) -> tuple[str, ...]:
    newer = "or a newer release of it" if who == "the program" else f"or a newer {who}"
    return (
        "give it a model of one of the types that it takes: see `model_type` in config.json, and those that it lists",
        f"{newer}, where one takes this type",
    )


def _quoted(said: str) -> str:
    text = " ".join(said.split())
    return f'"{text if len(text) <= 300 else text[:299] + "…"}"'
