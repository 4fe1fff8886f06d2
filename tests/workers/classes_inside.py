"""Adapters of every class of model, run inside one pinned environment: `classes_inside.py WORKERS GRID SCRATCH OUT`.

Each base is saved as one class and trained as another where a task does so; the merge has to load as the class that was
trained, equal to the bit to peft's own, and to keep every name of the base's files. test_classes.py reports each.
"""

import json
import os
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import peft
import torch
import transformers as t

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from load_inside import load, load_workers  # type: ignore[import-not-found]

WORKERS, GRID, SCRATCH, OUT = sys.argv[1:5]


load_workers(WORKERS)
grid = load("grid_inside", GRID)

from envpin_worker.peft_engine import merge, verify
from envpin_worker.probe import stream_answers
from envpin_worker.protocol import KnownError
from envpin_worker.requests import MergeRequest, StreamAnswersRequest, StreamMergeRequest, VerifyRequest
from envpin_worker.stream import engine as stream

SMALL = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
BERT = {**SMALL, "max_position_embeddings": 64}
LLAMA = {**SMALL, "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0}
VIT = {**SMALL, "image_size": 16, "patch_size": 8}
del VIT["vocab_size"]
Q = ["query", "value"]
QV = ["q_proj", "v_proj"]


class Trained:
    """`base` is the class that the checkpoint was saved as, `wanted` the one that training loaded."""

    def __init__(
        self, base: Any, config: Any, wanted: Any, targets: list[str], *, task: str | None = None,
        dtype: torch.dtype = torch.bfloat16, labels: int | None = None, **lora: Any,
    ) -> None:  # fmt: skip
        self.base, self.config, self.wanted, self.targets = base, config, wanted, targets
        self.task, self.dtype, self.labels, self.lora = task, dtype, labels, lora


CASES: dict[str, Callable[[], Trained]] = {
    "causal": lambda: Trained(t.LlamaForCausalLM, t.LlamaConfig(**LLAMA), t.LlamaForCausalLM, QV, task="CAUSAL_LM"),
    "sequence-cls": lambda: Trained(
        t.LlamaForCausalLM, t.LlamaConfig(**LLAMA), t.LlamaForSequenceClassification, QV, task="SEQ_CLS", labels=5),
    "sequence-cls-bert": lambda: Trained(
        t.BertModel, t.BertConfig(**BERT), t.BertForSequenceClassification, Q, task="SEQ_CLS", labels=5),
    "sequence-cls-other-labels": lambda: Trained(
        t.BertForSequenceClassification, t.BertConfig(**BERT, num_labels=3), t.BertForSequenceClassification, Q,
        task="SEQ_CLS", labels=7),
    "sequence-cls-roberta": lambda: Trained(
        t.RobertaForMaskedLM, t.RobertaConfig(**BERT), t.RobertaForSequenceClassification, Q, task="SEQ_CLS", labels=4),
    "token-cls": lambda: Trained(
        t.BertForMaskedLM, t.BertConfig(**BERT), t.BertForTokenClassification, Q, task="TOKEN_CLS", labels=9),
    "question-answering": lambda: Trained(
        t.BertModel, t.BertConfig(**BERT), t.BertForQuestionAnswering, Q, task="QUESTION_ANS"),
    "feature-extraction": lambda: Trained(
        t.LlamaForCausalLM, t.LlamaConfig(**LLAMA), t.LlamaModel, QV, task="FEATURE_EXTRACTION"),
    "feature-extraction-pissa": lambda: Trained(
        t.LlamaForCausalLM, t.LlamaConfig(**LLAMA), t.LlamaModel, QV, task="FEATURE_EXTRACTION",
        init_lora_weights="pissa"),
    "backbone-without-a-task": lambda: Trained(t.BertForMaskedLM, t.BertConfig(**BERT), t.BertModel, Q),
    "seq2seq": lambda: Trained(
        t.T5ForConditionalGeneration,
        t.T5Config(vocab_size=320, d_model=64, d_kv=16, d_ff=96, num_layers=2, num_heads=4, decoder_start_token_id=0),
        t.T5ForConditionalGeneration, ["q", "v"], task="SEQ_2_SEQ_LM"),
    "speech-fp16": lambda: Trained(
        t.WhisperForConditionalGeneration,
        t.WhisperConfig(vocab_size=320, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, num_mel_bins=8,
                        max_source_positions=20, max_target_positions=16, pad_token_id=0, bos_token_id=1,
                        eos_token_id=2, decoder_start_token_id=1, begin_suppress_tokens=None, suppress_tokens=None),
        t.WhisperForConditionalGeneration, QV, dtype=torch.float16),
    "image-cls": lambda: Trained(
        t.ViTForImageClassification, t.ViTConfig(**VIT, num_labels=4), t.ViTForImageClassification, QV if is_new_vit()
        else Q, modules_to_save=["classifier"], dtype=torch.float32),
    "image-cls-other-labels": lambda: Trained(
        t.ViTForImageClassification, t.ViTConfig(**VIT, num_labels=4), t.ViTForImageClassification, QV if is_new_vit()
        else Q, modules_to_save=["classifier"], labels=7),
    "few-positions": lambda: Trained(
        t.GPT2LMHeadModel, t.GPT2Config(vocab_size=320, n_embd=64, n_layer=2, n_head=4, n_positions=16),
        t.GPT2LMHeadModel, ["c_attn"], task="CAUSAL_LM", fan_in_fan_out=True),
}  # fmt: skip


def is_new_vit() -> bool:
    """Whether ViT's projections have the names that transformers 5 gave them in some release."""
    names = dict(t.ViTForImageClassification(t.ViTConfig(**VIT)).named_modules())
    return any(name.endswith("q_proj") for name in names)


def of(case: Trained, folder: str) -> Any:
    more = {} if case.labels is None else {"num_labels": case.labels, "ignore_mismatched_sizes": True}
    return case.wanted.from_pretrained(folder, **more, **grid.dtype_auto()).eval()


def train(case: Trained, folder: str) -> tuple[str, str]:
    base, adapter = os.path.join(folder, "base"), os.path.join(folder, "adapter")
    torch.manual_seed(1)
    made = case.base(case.config).to(case.dtype)
    made.config.torch_dtype = case.dtype
    made.save_pretrained(base)
    options = {"r": 4, "lora_alpha": 8, "target_modules": case.targets, **case.lora}
    adapted = peft.get_peft_model(of(case, base), peft.LoraConfig(task_type=case.task, **options))
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))) * 0.1
            parameter.data += noise.to(parameter.dtype)
    adapted.save_pretrained(adapter)
    return base, adapter


def merged(base: str, adapter: str, out: str, scratch: str) -> tuple[str, Any]:
    """The engine that merged, and what the answers said."""
    os.makedirs(out)
    quiet = grid.Quiet()
    try:
        done = stream.run(StreamMergeRequest(base=base, adapter=adapter, out=out, dtype="peft"), quiet)
    except KnownError as error:
        assert error.kind == "not-streamable", error.message
        kept = os.path.join(scratch, "answers.safetensors")
        found = merge.run(MergeRequest(base=base, adapter=adapter, staging=out, answers=kept), quiet)
        asked = VerifyRequest(
            base=base, adapter=adapter, merged=out, touched=found.touched, answers=kept, architecture=found.architecture
        )
        return "peft", verify.run(asked, quiet).probe
    with open(os.path.join(base, "config.json"), encoding="utf-8") as source:
        config = {**json.load(source), **done.config_updates}
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as target:
        json.dump(config, target)
    question = StreamAnswersRequest(
        base=base, adapter=adapter, merged=out, scratch=scratch, architecture=done.architecture
    )
    found = stream_answers.run(question, quiet)
    assert found.probe is not None, found.probe_note
    return "stream", found.probe


def check(name: str, folder: str) -> dict[str, Any]:
    case = CASES[name]()
    base, adapter = train(case, folder)
    theirs = peft.PeftModel.from_pretrained(of(case, base), adapter).merge_and_unload()
    out = os.path.join(folder, "out")
    engine, probe = merged(base, adapter, out, folder)
    assert probe.ratio < 0.3, probe
    loaded, info = case.wanted.from_pretrained(out, output_loading_info=True, **grid.dtype_auto())
    assert not info["mismatched_keys"], info
    made_anew = {key for key in loaded.state_dict() if "pooler" in key and "pooler" in str(info["missing_keys"])}
    mine = loaded.state_dict()
    unlike = [
        key for key, one in theirs.state_dict().items() if key not in made_anew and not torch.equal(one, mine[key])
    ]
    assert unlike == [], unlike
    if case.labels is not None:
        assert loaded.config.num_labels == case.labels
    if case.task not in {"SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"}:  # transformers 4 wants a new head's own prefix
        assert set(grid.stored(base)) <= set(grid.stored(out)), set(grid.stored(base)) - set(grid.stored(out))
    return {"engine": engine, "trouble": ""}


def main() -> None:
    warnings.simplefilter("ignore")
    t.logging.set_verbosity_error()
    with open(OUT, "w", encoding="utf-8") as stream_:
        for name in sys.argv[5:] or CASES:
            folder = os.path.join(SCRATCH, name)
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            torch.set_num_threads(1)
            try:
                found = check(name, folder)
            except Exception as error:
                found = {"trouble": (getattr(error, "message", "") + traceback.format_exc())[-2500:]}
            stream_.write(json.dumps({"case": name, **found}) + "\n")
            stream_.flush()


if __name__ == "__main__":
    main()
