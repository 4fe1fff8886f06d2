"""Detectors on the vocabulary: rows against tokens, tied heads, whole tensors that peft will not load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.checkpoint.checkpoint import EMBEDDINGS, HEADS
from envpin.checkpoint.config import text_flag
from envpin.checkpoint.embedding import plan_embedding
from envpin.core.findings import Evidence
from envpin.core.sizes import counted
from envpin.diagnose.adapter_names import is_saved_whole
from envpin.diagnose.axes import shape_text
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.methods import kind_of, task_heads
from envpin.diagnose.detectors.shapes import SHOWN, places
from envpin.diagnose.subject import CheckSubject, Selective

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.checkpoint.embedding import EmbeddingPlan
    from envpin.core.findings import Finding, Severity

_LAST = frozenset({*EMBEDDINGS, *HEADS})


def embedding_plan(subject: CheckSubject) -> EmbeddingPlan | None:
    """What becomes of the embedding; None where there is no adapter, or no base to compare with."""
    if not subject.is_adapter or subject.base_rows is None or subject.folder.kind == "both":
        return None
    folder = subject.folder
    rows = folder.embedding_rows if folder.embedding_rows is not None else folder.head_rows
    if rows is None and any(0 in tensor.shape for tensor in (folder.embedding, folder.head) if tensor is not None):
        return None
    length = folder.tokenizer.length if folder.tokenizer is not None else None
    return plan_embedding(base_rows=subject.base_rows, adapter_rows=rows, tokenizer_length=length)


def detect_vocabulary(subject: CheckSubject) -> Iterator[Finding]:
    plan = embedding_plan(subject)
    if plan is not None and plan.code is not None:
        seen = [
            Evidence(
                file=tensor.file,
                tensor=tensor.name,
                found=shape_text(tensor.shape),
                expected=counted(subject.base_rows, "row"),
            )
            for tensor in (subject.folder.embedding, subject.folder.head)
            if tensor is not None
        ]
        tokenizer = subject.folder.tokenizer
        if tokenizer is not None and tokenizer.length is not None:
            seen.append(Evidence(file=tokenizer.files[0], found=counted(tokenizer.length, "token")))
        severity: Severity = "blocker" if plan.action == "refuse" else "warning"
        names = places(subject) | {"rows": str(subject.folder.embedding_rows or subject.folder.head_rows)}
        yield finding(plan.code, plan.reason, seen, severity=severity, names=names)
    yield from _unlike_tables(subject)
    yield from _tied_head(subject)
    yield from _extra_tensors(subject)


def _unlike_tables(subject: CheckSubject) -> Iterator[Finding]:
    """An embedding and a head of the adapter that are of two vocabularies: no model has both."""
    tables = [one for one in (subject.folder.embedding, subject.folder.head) if one is not None]
    rows = (subject.folder.embedding_rows, subject.folder.head_rows)
    if len(tables) == len(rows) and None not in rows and rows[0] != rows[1] and subject.is_adapter:
        text = f"the adapter's embedding has {counted(rows[0], 'row')}, and its head {rows[1]}: peft loads one of them"
        seen = [Evidence(file=one.file, tensor=one.name, found=shape_text(one.shape)) for one in tables]
        fix = ("take another checkpoint of the run, in which both have the rows of the tokenizer",)
        yield finding("vocab-mismatch", text, seen, fix=fix, severity="blocker", names=places(subject))


def _tied_head(subject: CheckSubject) -> Iterator[Finding]:
    if subject.names is None or subject.base is None:
        return
    tied = text_flag(subject.base_config, "tie_word_embeddings")
    if tied is None and subject.base.tensors:
        tied = subject.base.head is None and subject.base.embedding is not None
    if not tied:
        return
    saved = subject.adapter_config.get("modules_to_save")
    trained = [name for name in saved if name in _LAST] if isinstance(saved, list) else []
    trained += [module for module in subject.names.modules if module.rpartition(".")[2] in _LAST]
    if trained:
        text = f"the base ties head and embedding, and the adapter trained `{trained[0]}` alone"
        seen = [Evidence(file="config.json", note="tie_word_embeddings: true")]
        seen += [Evidence(file="adapter_config.json", tensor=name) for name in trained[:SHOWN]]
        yield finding("tied-head", text, seen, names=places(subject))


def _extra_tensors(subject: CheckSubject) -> Iterator[Finding]:
    names, config = subject.names, subject.adapter_config
    if names is None or kind_of(subject) != "LORA" or not names.factors:
        return
    saved = config.get("modules_to_save")
    modules = {one for one in saved if isinstance(one, str) and one} if isinstance(saved, list) else set()
    modules |= set(task_heads(config))
    with_bias = config.get("bias", "none") != "none"
    extra = [
        tensor
        for parameter, tensor in names.whole.items()
        if not (
            is_saved_whole(parameter, modules)
            or parameter.split(".")[-2:-1] in [[last] for last in _LAST]
            or (with_bias and parameter.endswith(".bias"))
        )
    ]
    if extra:
        text = (
            f"`modules_to_save` does not name {counted(len(extra), 'whole tensor')}: peft lays them over the "
            "base, or drops them"
        )
        seen = [Evidence(file=one.file, tensor=one.name, found=shape_text(one.shape)) for one in extra[:SHOWN]]
        yield finding("extra-adapter-tensors", text, seen, names=places(subject))


def selective_loading(subject: CheckSubject, codes: set[str]) -> Selective | None:
    """Whether loading only part of the adapter is sound, given the codes that were found; None where nothing asks."""
    refusals = {
        "wrong-base-architecture": "no module matches",
        "wrong-base-hidden-size": "the factors that happen to fit were trained on another base",
        "wrong-base-layers": "the layers that happen to fit were trained on another base",
        "rank-mismatch": "config and tensors are of two runs, so the scaling alpha/r is not known",
        "unpaired-lora": "half a pair says nothing about the module's change",
        "empty-tensors-zero3": "the values are not in the file",
        "vocab-mismatch": "which token each row belongs to is not known",
        "vocab-rows-not-saved": "the rows of the new tokens are not in the file",
        "unmatched-adapter-keys": "the modules without a home were part of what was trained",
    }
    for code, reason in refusals.items():
        if code in codes:
            return Selective(sound=False, reason=reason)
    plan = embedding_plan(subject)
    if plan is not None and plan.action == "refuse":
        return Selective(sound=False, reason=plan.reason)
    steps: list[str] = []
    lost = ""
    if plan is not None and plan.action == "overlay":
        rows = subject.folder.embedding_rows or subject.folder.head_rows
        steps.append(
            f"lay the adapter's {counted(rows, 'row')} over the first of the base's {plan.rows:,}, and load the rest"
        )
        lost = "nothing: the remaining rows are padding, and carry no token"
    elif plan is not None and plan.action == "grow":
        steps.append(f"grow the base's embedding to {counted(plan.rows, 'row')}, then load every tensor")
        lost = "nothing; leaving the embedding out instead would lose the rows of the new tokens, and is not sound"
    return Selective(sound=True, steps=tuple(steps), lost=lost) if steps else None
