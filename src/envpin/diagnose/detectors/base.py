"""Detectors on the pair of adapter and base: quantization, changes since training, eras of names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.checkpoint.base_weights import compare_base
from envpin.checkpoint.quantization import DECODED, REFUSED, made_from, of_base, of_training
from envpin.core.findings import Evidence
from envpin.core.json_input import BadJsonError, read_object
from envpin.core.marks import MERGE_RECORD
from envpin.diagnose.axes import shape_text
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.shapes import SHOWN, places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.checkpoint.quantization import Quantization
    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.adapter_names import AdapterNames
    from envpin.diagnose.subject import CheckSubject

# Vision-language models whose language model moved to `model.language_model` in transformers 4.52.
MOVED = frozenset(
    {"qwen2_vl", "qwen2_5_vl", "llava", "llava_next", "llava_next_video", "llava_onevision", "vipllava", "video_llava",
     "gemma3", "paligemma", "mistral3", "mllama", "internvl", "aria", "fuyu", "got_ocr2", "emu3", "aya_vision"}
)  # fmt: skip


def detect_base(subject: CheckSubject) -> Iterator[Finding]:
    if subject.base is None:
        return
    yield from _quantized(subject.base, subject)
    yield from _changed(subject.base, subject)
    yield from _weights(subject)
    yield from _already_merged(subject.base, subject)


def _quantized(base: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    found = of_base(base)
    if found is None or not found.stored:
        yield from _other_precision(subject, found)
        return
    odd = [one for one in base.tensors.values() if one.dtype in {"U8", "I8", "I32", "F8_E4M3"}
           and one.name.endswith(("weight", ".qweight", ".weight_packed", "_blocks"))]  # fmt: skip
    seen = [Evidence(file=one.file, tensor=one.name, found=shape_text(one.shape)) for one in odd[:SHOWN]]
    named = Evidence(file="config.json", found=found.method)
    if found.method in DECODED:
        text = f"the base's weights are stored quantized ({found.words}): nothing can be added to them in place"
        yield finding("quantized-base-packed", text, seen or [named], names=places(subject))
        return
    why = REFUSED.get(found.method)
    text = f"the base is quantized ({found.method}{f': {why}' if why else ''}): its layers cannot take a merge"
    original = made_from(str(subject.adapter_config.get("base_model_name_or_path") or ""))
    names = {**places(subject), **({"original": original} if original else {})}
    yield finding("quantized-base-unmergeable", text, [named, *seen], names=names)


def _other_precision(subject: CheckSubject, base: Quantization | None) -> Iterator[Finding]:
    trained = of_training(subject.manifest) or base
    named = str(subject.adapter_config.get("base_model_name_or_path") or "")
    if trained is not None:
        note = Evidence(file=trained.source, found=trained.words, expected="not quantized")
        what = trained.words
    elif made_from(named) is not None:
        note = Evidence(file="adapter_config.json", found=named, expected="not quantized")
        what = "a quantized base"
    else:
        return
    text = f"training saw {what}, and this base's files are not quantized"
    if trained is not None and trained.can_be_dequantized:
        yield finding("quantization-differs", f"{text}: a merge has two choices", [note], names=places(subject))
        return
    fix = ("merge into it, and compare outputs: the merged model differs a little from the one that was trained",)
    yield finding("quantization-differs", text, [note], fix=fix, names=places(subject))


def _changed(base: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    recorded = subject.manifest.base if subject.manifest is not None else None
    if recorded is None:
        return
    hard: list[Evidence] = []
    soft: list[Evidence] = []
    pairs = ((recorded.embedding_rows, subject.base_rows, "embedding rows"),
             (recorded.model_type, (base.config or {}).get("model_type"), "model_type"))  # fmt: skip
    for then, now, what in pairs:
        if then is not None and now is not None and then != now:
            hard.append(Evidence(file="envpin.json", found=str(now), expected=str(then), note=what))
    commit = subject.found_base.commit if subject.found_base is not None else None
    if recorded.commit and commit and recorded.commit != commit:
        soft.append(Evidence(file="envpin.json", found=commit, expected=recorded.commit, note="commit of the base"))
    digest = _digest(base)
    if recorded.config_sha256 and digest and recorded.config_sha256 != digest:
        soft.append(
            Evidence(file="config.json", found=digest[:16], expected=recorded.config_sha256[:16], note="sha256")
        )
    if hard or soft:
        severity: Severity = "blocker" if hard else "warning"
        text = f"`{base.path}` is not the base that training loaded: {(hard + soft)[0].note} differs"
        yield finding("base-changed-since-training", text, hard + soft, severity=severity, names=places(subject))


def _digest(folder: Checkpoint) -> str | None:
    try:
        return folder.sha256("config.json")
    except OSError:
        return None


def _weights(subject: CheckSubject) -> Iterator[Finding]:
    recorded = subject.manifest.base if subject.manifest is not None else None
    if recorded is None or subject.found_base is None:
        return
    compared = compare_base(recorded, subject.found_base)
    if compared.state != "differ":
        return
    files = [Evidence(file=one.file, found=one.found or "absent", expected=one.recorded or "absent")
             for one in compared.differences]  # fmt: skip
    text = f"`{subject.found_base.place}` holds other weights than the base that training loaded: {compared.words}"
    yield finding("base-weights-differ", text, files[:SHOWN], names=places(subject))


def _already_merged(base: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    path = base.files / MERGE_RECORD
    if not path.is_file():
        return
    try:
        record = read_object(path)
    except (BadJsonError, OSError):
        return
    adapter = record.get("adapter")
    files = adapter.get("files") if isinstance(adapter, dict) else None
    weights = "adapter_model.safetensors"
    recorded = files.get(weights) if isinstance(files, dict) else None
    if recorded is None or not (subject.folder.files / weights).is_file():
        return
    own = subject.folder.sha256(weights)
    if own == str(recorded).removeprefix("sha256:"):
        text = f"`{base.path}` is a merge of this adapter already"
        yield finding("adapter-already-merged", text, [Evidence(file=MERGE_RECORD, found=own[:16])],
                      names=places(subject))  # fmt: skip


def detect_eras(subject: CheckSubject) -> Iterator[Finding]:
    """Names that only some versions match: vision-language models around 4.52, experts around 5.0."""
    names = subject.names
    if names is None or not names.factors:
        return
    yield from _vision_language(subject)
    if names.names_single_experts:
        yield from _single_experts(names, subject)
    elif names.names_fused_experts and subject.below("transformers", "5.0") and not _stores_fused_experts(subject):
        text = "the adapter changes fused experts; transformers 4 has them one by one"
        yield finding("moe-layout", text, _first(subject, ".experts"), names=places(subject))


def _stores_fused_experts(subject: CheckSubject) -> bool:
    """Whether the base's files hold the experts of a layer together, as gpt-oss and Llama 4 do from their first release
    on; others are fused by transformers 5 as it loads them."""
    names = subject.base.tensors if subject.base is not None else ()
    return any(re.search(r"\.experts\.[a-z_]+$", name) for name in names)


def _single_experts(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """Experts named one by one, as transformers 4 holds them, on a target that fuses them."""
    fuses = subject.from_on("transformers", "5.0")
    if not fuses and subject.target:
        return
    lost = _not_converted(names, subject) if fuses else None
    if fuses and not subject.from_on("peft", "0.19"):
        lost = "this peft does not convert them"
    text = "the adapter names each expert, as transformers 4 does; 5 fuses them"
    severity: Severity = "info"
    if lost is not None:
        text, severity = f"the adapter names each expert; transformers 5 fuses them, and {lost}", "blocker"
    yield finding("moe-layout", text, _first(subject, ".experts."), severity=severity, names=places(subject))


def _not_converted(names: AdapterNames, subject: CheckSubject) -> str | None:
    """What peft 0.19 and newer do not convert. Tried with 0.21.2 on transformers 5.23.0: see tests/integration."""
    if subject.base_config.get("model_type") == "qwen2_moe":
        return "peft drops the experts of qwen2_moe without a word"
    parts = {module.rpartition(".")[2] for module in names.modules if ".experts." in module}
    for halves, down in (({"w1", "w3"}, "w2"), ({"gate_proj", "up_proj"}, "down_proj")):
        trained = parts & halves
        if len(trained) == 1:
            return f"peft refuses `{next(iter(trained))}` without the other half that it is fused with"
        if trained and down not in parts:
            return (
                f"peft drops {' and '.join(f'`{one}`' for one in sorted(trained))} where `{down}` was not trained too"
            )
    return None


def _vision_language(subject: CheckSubject) -> Iterator[Finding]:
    family = str(subject.base_config.get("model_type"))
    modules = subject.names.modules if subject.names is not None else []
    looks = any(module.startswith("language_model.model.") for module in modules)
    if family not in MOVED and not looks:
        return
    language = [
        module for module in modules if ".layers." in module and "visual" not in module and "vision" not in module
    ]
    if not language:
        return
    new_names = language[0].startswith("model.language_model.")
    transformers = subject.version("transformers")
    if transformers is None:
        era = "4.52 or newer" if new_names else "4.51 or older"
        text = (
            f"the names are those of transformers {era}; across that line the adapter may do nothing, without an error"
        )
        yield finding("vlm-key-rename", text, _first(subject, "layers"), severity="warning", names=places(subject))
        return
    new_target = subject.from_on("transformers", "4.52")
    if new_names == new_target:
        return
    bridged = new_target and subject.from_on("peft", "0.16") and subject.below("transformers", "5.4")
    severity: Severity = "warning" if bridged else "blocker"
    text = f"the adapter's names are not those of transformers {transformers}: it would do nothing there"
    if bridged:
        text = f"the adapter's names are not those of transformers {transformers}; this peft translates them"
    yield finding("vlm-key-rename", text, _first(subject, "layers"), severity=severity, names=places(subject))


def _first(subject: CheckSubject, part: str) -> list[Evidence]:
    name = next((name for name in subject.folder.adapter_tensors if part in name), None)
    return [Evidence(file=next(iter(subject.folder.weight_files), None), tensor=name)]
