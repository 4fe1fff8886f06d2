"""A model of another kind than the code takes: what a line asks of a model, its inputs, its outputs or its tokenizer
that only other families or classes have. Pure.

Such names do not move with releases: a BERT never had `transformer.h`, and a model without a head never took `labels`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.context.hidden import explain_hidden
from envpin.diagnose.logs.context.kinds_refused import of_a_refused_kind
from envpin.diagnose.logs.context.other_loaders import of_a_made_config, of_another_loader
from envpin.diagnose.logs.context.special_tokens import of_a_special_token
from envpin.diagnose.logs.facts.model_types import has_parts, of_a_class
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import STANDARD, frames_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from envpin.diagnose.logs.text.frames import Frame

KIND = "model-of-another-kind"
_LOAD = "load the model with the class that its config.json names in `architectures`"
_GIVE = "or give the program a model of the kind that it was written for"
_MEMBER = re.compile(r"'(?P<owner>[A-Z]\w{2,80})' object has no attribute '(?P<name>\w{1,80})'")
_ARGUMENT = re.compile(
    r"\b(?P<owner>[A-Z]\w{2,80})\.forward\(\) got an unexpected keyword argument '(?P<name>\w{1,80})'"
)
# Parts of models, by the names that families give them.
_PARTS = frozenset({
    "bert", "roberta", "distilbert", "albert", "electra", "deberta", "camembert", "mpnet", "longformer",
    "transformer", "model", "gpt_neox", "layers", "h", "wte", "wpe", "embed_tokens", "embed_in", "embed_out",
    "lm_head", "encoder", "decoder", "shared", "cls", "classifier", "score", "embeddings", "layer", "blocks",
    "ln_f", "norm", "final_layernorm", "final_layer_norm", "word_embeddings", "pooler", "pre_classifier",
    "vocab_projector", "predictions", "qa_outputs", "vit", "wav2vec2", "hubert", "swin", "resnet", "deit", "beit",
    "convnext", "backbone", "vision_model", "text_model", "self_attn", "attn", "attention", "self_attention", "mlp",
    "q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "c_attn", "c_proj", "c_fc", "query_key_value", "gate_proj",
    "up_proj", "down_proj", "dense_h_to_4h", "input_layernorm", "post_attention_layernorm", "ln_1", "ln_2", "fc1",
    "fc2", "qkv_proj", "gate_up_proj", "SelfAttention", "EncDecAttention", "DenseReluDense", "block",
    "freeze_feature_encoder", "get_encoder", "get_decoder",
})  # fmt: skip
# Of models with several parts, releases moved these.
_MOVED = frozenset(
    {"model", "language_model", "lm_head", "layers", "embed_tokens", "norm", "vision_model", "text_model"}
)
_MODEL = re.compile(r"(?:For[A-Z]\w+|LMHeadModel|Model|WithLMHead|DoubleHeadsModel)$")
_BLOCK = re.compile(
    r"(?:DecoderLayer|EncoderLayer|Layer|Block|Attention|MLP|LayerFF|DenseReluDense|FFN|Encoder|Decoder)$"
)
_READS_TEXT = re.compile(r"(?:Tokenizer(?:Fast)?|Processor)$")
# What they are, and how their classes begin.
_OF_FAMILIES = {
    "lang_code_to_id": ("NLLB, mBART and M2M100 models", ("nllb", "mbart", "m2m", "plbart", "speech2text")),
    "get_lang_id": ("M2M100 models", ("m2m",)),
    "get_decoder_prompt_ids": ("Whisper models", ("whisper",)),
}
_OF_CLASSES = re.compile(
    r"For(?:SequenceClassification|TokenClassification|QuestionAnswering|MaskedLM|MultipleChoice)$"
)
_OUTPUT = re.compile(r"^(?!Generate|Sample|Greedy|Beam)\w*Output\w*$")
_OF_OUTPUTS = frozenset({
    "pooler_output", "last_hidden_state", "logits", "start_logits", "end_logits", "encoder_last_hidden_state",
    "image_embeds", "text_embeds", "prediction_logits", "seq_relationship_logits", "logits_per_image",
    "logits_per_text", "pred_boxes", "extract_features",
})  # fmt: skip
_NO_HEAD = re.compile(r"^(?!\w*(?:ForCausalLM|LMHeadModel|For[A-Z]))\w+Model$")
# Models of several parts that are called so, and generate.
_GENERATES = re.compile(r"EncoderDecoder|^Bark|Musicgen")
_ITEM = re.compile(r"transformers[/\\](?:utils[/\\]generic|file_utils)\.py\"?, line \d+, in __getitem__")
_PLACE = re.compile(r"\[(?P<n>[12])\]")
_ANSWERS = re.compile(r"Expected input batch_size \((?P<given>\d+)\) to match target batch_size \((?P<wanted>\d+)\)")
_OF_TOKENS = re.compile(r"in For(?:CausalLM|MaskedLM)Loss|in ForTokenClassification|\b(?:masked_)?lm_loss = ")
_INPUTS = {
    "decoder_input_ids": "an encoder-decoder", "decoder_attention_mask": "an encoder-decoder",
    "decoder_inputs_embeds": "an encoder-decoder", "encoder_outputs": "an encoder-decoder",
    "pixel_values": "a model of pictures", "input_values": "a model of speech", "input_features": "a model of speech",
    "start_positions": "a model for questions and answers", "end_positions": "a model for questions and answers",
    "next_sentence_label": "a model of pairs of sentences", "bbox": "a model of documents",
}  # fmt: skip


def explain_kind(line: str, before: str) -> Explained | None:
    """What a line shows of a model of another kind, or of a file in place of a package; None where it shows neither,
    or a release may be to blame."""
    return next((told for tell in _TELL if (told := tell(line, before)) is not None), None)


def _asker(before: str) -> Frame | None:
    """The frame that asked: torch only passes on what modules are asked for."""
    frames = [one for one in frames_of(before) if one.library != "torch" and STANDARD.search(one.path) is None]
    return frames[-1] if frames else None


def _of_a_member(line: str, before: str) -> Explained | None:
    found = _MEMBER.search(line) if "AttributeError" in line else None
    if found is None:
        return None
    asker, owner, name = _asker(before), found["owner"], found["name"]
    if name == "prepare_inputs_for_generation" and asker is not None and asker.library == "peft":
        return _of_no_generation(owner)
    if name == "generate" and _NO_HEAD.match(owner) and not _GENERATES.search(owner) and of_a_class(owner) is not None:
        return Explained(KIND, f"a `{owner}` has no head, and generates nothing: it was loaded with AutoModel", (
            "load it by a class with a head: AutoModelForCausalLM or AutoModelForSeq2SeqLM",
        ))  # fmt: skip
    if asker is None or asker.library in {"transformers", "peft", "transformers_modules", "accelerate"}:
        return None
    if _OUTPUT.match(owner) is not None and name in _OF_OUTPUTS:
        return _of_an_output(owner, name)
    return _of_languages(owner, name) or _of_a_part(owner, name)


def _of_languages(owner: str, name: str) -> Explained | None:
    """What only the tokenizers of some families have, asked of another one's."""
    has = _OF_FAMILIES.get(name)
    if has is None or _READS_TEXT.search(owner) is None or owner.lower().startswith(has[1]):
        return None
    says = f"the code asks the tokenizer for `{name}`, which {has[0]} have, and a `{owner}` has not"
    return Explained(KIND, says, (
        f"give it a model of the family that it was written for: {has[0]}", "or leave out what is of those alone",
    ))  # fmt: skip


def _of_a_part(owner: str, name: str) -> Explained | None:
    kind = of_a_class(owner)
    if name not in _PARTS or kind is None or (name in _MOVED and has_parts(kind)):
        return None
    if _MODEL.search(owner) is None and _BLOCK.search(owner) is None:
        return None
    says = (
        f"the code looks for `{name}`, and a `{owner}` (`{kind}`) has no part of that name: it was written for models "
        "of another family, or for one with another head"
    )
    return Explained(KIND, says, (
        "give it a model of the family that it was written for: `model_type` in config.json",
        f"or write what a `{kind}` calls it: print(model)",
    ))  # fmt: skip


def _of_no_generation(owner: str) -> Explained | None:
    if _NO_HEAD.match(owner) is not None and of_a_class(owner) is not None:
        says = (
            f"peft was told by `task_type` CAUSAL_LM that the model generates, and a `{owner}` has no head to do so: "
            "it was loaded with AutoModel (transformers before 4.50 let it pass)"
        )
        return Explained(KIND, says, (
            "load the base with AutoModelForCausalLM, as training did",
            "for embeddings alone: task_type=TaskType.FEATURE_EXTRACTION in adapter_config.json",
        ))  # fmt: skip
    if _OF_CLASSES.search(owner) is None:
        return None
    says = (
        f"peft was told by `task_type` that the model generates, and a `{owner}` does not: it was loaded by the class "
        "of another task (transformers before 4.52 let it pass)"
    )
    return Explained(KIND, says, (
        "for a classifier: task_type=TaskType.SEQ_CLS (TOKEN_CLS, QUESTION_ANS), or leave it out",
        "to generate: load it with AutoModelForCausalLM",
    ))  # fmt: skip


def _of_an_output(owner: str, name: str) -> Explained:
    says = f"the code takes `{name}` of what the model gives, and this one gives a `{owner}`, which has none"
    steps: tuple[str, ...] = (_LOAD, _GIVE)
    if name == "last_hidden_state":
        says = f"{says}: it was loaded with a head"
        steps = ("load it without its head: AutoModel", "or take model(…, output_hidden_states=True).hidden_states[-1]")
    elif name == "pooler_output":
        says = f"{says}: models of its family have no pooler (DistilBERT, T5, GPT)"
        steps = ("give a model with a pooler (BERT, RoBERTa)", "or take the first token: last_hidden_state[:, 0]")
    elif "logits" in name:
        says = f"{says}: it was loaded without the head of the task, or with another"
        steps = ("load it by the class of the task: AutoModelFor…", _GIVE)
    return Explained(KIND, says, steps)


def _of_an_argument(line: str, before: str) -> Explained | None:
    found = _ARGUMENT.search(line)
    kind = None if found is None else of_a_class(found["owner"])
    if found is None or kind is None:
        return None
    owner, name, asker = found["owner"], found["name"], _asker(before)
    if asker is not None and asker.library == "peft" and name in {"input_ids", "inputs_embeds"}:
        says = (
            f"peft feeds `{name}`, as `task_type` says of a language model, and a `{owner}` takes other inputs "
            "(speech or pictures)"
        )
        return Explained("settings-refused", says, ("leave `task_type` out of the LoraConfig: peft then hands on all",))
    if asker is not None and asker.library in {"peft", "transformers_modules"}:
        return None
    if name == "labels" and _NO_HEAD.match(owner) is not None:
        says = f"`{owner}` is a model without a head: it takes no `labels` and gives no loss"
        return Explained(KIND, says, (
            "load it by the class of the task: AutoModelForSequenceClassification, AutoModelForCausalLM, …",
        ))  # fmt: skip
    if name not in _INPUTS or has_parts(kind):
        return None
    says = f"the code feeds `{name}`, which {_INPUTS[name]} takes, and a `{owner}` (`{kind}`) does not"
    return Explained(KIND, says, ("give the program a model of the kind that it was written for", _LOAD))


def _of_a_place(line: str, before: str) -> Explained | None:
    """The second or third output of a model, by its place, in a script that was written for BERT."""
    if "IndexError: tuple index out of range" not in line or _ITEM.search(before) is None:
        return None
    asker = next((one for one in reversed(frames_of(before)) if one.library != "transformers"), None)
    found = _PLACE.search(before[before.rfind(asker.path) :]) if asker is not None else None
    if found is None:
        return None
    says = (
        f"the code takes `[{found['n']}]` of what the model gives, which has fewer parts: models of its family have no "
        "pooler (DistilBERT, T5, GPT), or it was loaded by another class"
    )
    return Explained(KIND, says, (
        "give a model of the family that the code was written for (BERT, RoBERTa)",
        "or take the first token in its place: outputs[0][:, 0]",
    ))  # fmt: skip


def _of_a_loss(line: str, before: str) -> Explained | None:
    """A model that answers for each token, where the rows have one label each."""
    found = _ANSWERS.search(line)
    if found is None or _OF_TOKENS.search(before) is None:
        return None
    given, wanted = int(found["given"]), int(found["wanted"])
    if not wanted or given <= wanted or given % wanted:
        return None
    says = (
        f"the model answers for each token ({given} answers), and the rows have fewer labels ({wanted}), most likely "
        "one each, for a classifier of texts: it was loaded as a language model or as a classifier of tokens"
    )
    return Explained(KIND, says, (
        "load it by the class of the rows: AutoModelForSequenceClassification",
        "or give labels of as many tokens as input_ids has, -100 where none counts",
    ))  # fmt: skip


_TELL: tuple[Callable[[str, str], Explained | None], ...] = (
    explain_hidden, of_another_loader, of_a_made_config, _of_a_member, _of_an_argument, _of_a_place, _of_a_loss,
    of_a_special_token, of_a_refused_kind,
)  # fmt: skip
