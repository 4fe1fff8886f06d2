"""Detectors against a target environment: can its versions read this config, tokenizer and adapter?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envpin.checkpoint.own_code import runs_own_code
from envpin.core.findings import Evidence
from envpin.core.text_input import read_beginning
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.shapes import places
from envpin.matrix.fields import load_fields
from envpin.matrix.load import load_matrix
from envpin.matrix.spelling import Misread, misread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.subject import CheckSubject


class _Pair(NamedTuple):
    """Releases of peft that import what only these releases of transformers have."""

    peft: SpecifierSet
    transformers: SpecifierSet
    missing: str


# Read from the module-level imports of the released wheels; peft#2292, peft#2976, transformers#44351.
_PAIRS = (
    _Pair(SpecifierSet(">=0.14,<0.16"), SpecifierSet(">=4.43"), "EncoderDecoderCache"),
    _Pair(SpecifierSet(">=0.16,<0.18"), SpecifierSet(">=4.44,<5"), "HybridCache"),
    _Pair(SpecifierSet("==0.18.0"), SpecifierSet(">=4.52.1"), "transformers.modeling_layers"),
    _Pair(SpecifierSet(">=0.18.1"), SpecifierSet(">=4.43"), "EncoderDecoderCache"),
)
# Names that remote code imports, and the release that no longer has them.
_GONE = (("LlamaFlashAttention2", "4.48.0"), ("get_max_length", "4.49.0"), ("HybridCache", "5.0.0"),
         ("is_torch_fx_available", "5.0.0"))  # fmt: skip


def detect_versions(subject: CheckSubject) -> Iterator[Finding]:
    """Everything that the target decides; without a target, what any reader should know."""
    model = subject.model
    if model is not None:
        yield from _rope(model, subject)
        yield from _model_type(model, subject)
        yield from _api(model, subject)
    if not subject.target:
        return
    for folder in (subject.folder, model):
        if folder is not None and any(name.endswith(".bin") for name in folder.weight_files):
            yield from _bin(folder, subject)
            break
    yield from _tokenizer(subject)
    yield from _adapter_fields(subject)
    yield from _pair(subject)
    yield from _companions(subject)


def _rope(model: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    config = model.config or {}
    scaling = config.get("rope_scaling")
    old = "transformers" in subject.target and subject.below("transformers", "4.43.0")
    if old and isinstance(scaling, dict) and not set(scaling) <= {"type", "factor"}:
        text = f"transformers {subject.target['transformers']} refuses this `rope_scaling`"
        seen = [
            Evidence(file="config.json", found=json.dumps(scaling, default=str)[:200], expected="type and factor only")
        ]
        yield finding("rope-config-unreadable", text, seen, names=places(subject))
    for one in misread(config):
        if not subject.from_on("transformers", one.release):
            yield _misread(one, subject)


def _misread(one: Misread, subject: CheckSubject) -> Finding:
    seen = [Evidence(file="config.json", found=str(one.says)[:200], expected=one.field)]
    severity: Severity = "blocker" if subject.version("transformers") is not None else "info"
    code = "rope-theta-lost" if one.silent else "config-needs-newer-transformers"
    text = f"transformers 5 wrote this config: releases before {one.release} {one.words}"
    fix = None if one.silent else (f"load with transformers ≥ {one.release}",)
    return finding(code, text, seen, severity=severity, fix=fix, names=places(subject))


def _model_type(model: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    family = (model.config or {}).get("model_type")
    release = subject.version("transformers")
    if not isinstance(family, str) or release is None or runs_own_code(model):
        return
    window = _window(family)
    if window is None:
        return
    first, last = window
    seen = [Evidence(file="config.json", found=f"model_type: {family}", expected=f"transformers ≥ {first}")]
    if release < Version(first):
        text = f"transformers {release} does not know `{family}`, which came with {first}"
        yield finding("config-needs-newer-transformers", text, seen, names=places(subject))
    elif last is not None and release > Version(last):
        text = f"transformers {release} no longer has `{family}`, which {last} was the last to know"
        yield finding("config-needs-older-transformers", text, seen, names=places(subject))


def _window(family: str) -> tuple[str, str | None] | None:
    """First and last transformers release that knows a model type, as far as it was collected."""
    from envpin.matrix.support import load_support

    return load_support().window(family)


def _api(model: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    """Remote code that imports a name which the target no longer has. The code is read as text, never run."""
    if subject.version("transformers") is None or not model.auto_map:
        return
    for path in sorted((one for one in model.path.iterdir() if one.suffix == ".py"), key=lambda one: one.name)[:20]:
        try:
            text = read_beginning(path, 1_000_000)
        except OSError:
            continue
        for name, gone in _GONE:
            if name in text and subject.from_on("transformers", gone):
                seen = [Evidence(file=path.name, found=name, expected=f"transformers < {gone}")]
                message = f"`{path.name}` uses `{name}`, which transformers {gone} removed"
                yield finding("transformers-api-changed", message, seen, names=places(subject))


def _bin(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    if subject.below("torch", "2.6") and subject.from_on("transformers", "4.52"):
        name = next(name for name in folder.weight_files if name.endswith(".bin"))
        text = (
            f"transformers {subject.target['transformers']} does not load `{name}` with torch {subject.target['torch']}"
        )
        yield finding("torch-too-old-for-bin", text, [Evidence(file=name)], names=places(subject))


def _tokenizer(subject: CheckSubject) -> Iterator[Finding]:
    folder = subject.folder if subject.folder.tokenizer is not None else subject.base
    tokenizer = folder.tokenizer if folder is not None else None
    if tokenizer is None:
        return
    name = (tokenizer.config or {}).get("tokenizer_class")
    if name == "TokenizersBackend" and subject.below("transformers", "5.0"):
        text = f"the tokenizer was saved by transformers 5; {subject.target['transformers']} does not know its class"
        seen = [Evidence(file="tokenizer_config.json", found="tokenizer_class: TokenizersBackend")]
        yield finding("tokenizer-needs-newer", text, seen, names=places(subject))
    old = subject.below("tokenizers", "0.20") or (
        "tokenizers" not in subject.target and subject.below("transformers", "4.45")
    )
    if tokenizer.merges_are_pairs and old:
        text = "tokenizer.json was written by tokenizers 0.20 or newer, and older ones cannot read its merges"
        seen = [Evidence(file="tokenizer.json", found="merges as pairs", expected="merges as texts")]
        yield finding("tokenizer-needs-newer", text, seen, names=places(subject))


def _adapter_fields(subject: CheckSubject) -> Iterator[Finding]:
    config = subject.adapter_config
    release = subject.version("peft")
    if release is None or str(config.get("peft_type", "")).upper() != "LORA":
        return
    new = {
        key: first
        for key, first in load_fields().first_releases().items()
        if key in config and release < Version(first)
    }
    if not new:
        return
    needed = max(new.values(), key=Version)
    # peft 0.14 learned to drop unknown fields with a warning; before, each of them raises a TypeError.
    raises = release < Version("0.14")
    matters = [
        key
        for key in new
        if config[key] not in (None, False, [], {}) and key not in {"peft_version", "qalora_group_size"}
    ]
    if not raises and not matters:
        return
    severity: Severity = "blocker" if raises or matters else "info"
    worst = next(iter(matters or new))
    text = f"peft {release} does not know `{worst}`, which came with {new[worst]}"
    seen = [Evidence(file="adapter_config.json", found=key, expected=f"peft ≥ {first}") for key, first in new.items()]
    fix = (f"load with peft ≥ {needed}",)
    yield finding("adapter-needs-newer-peft", text, seen, severity=severity, fix=fix)


def _pair(subject: CheckSubject) -> Iterator[Finding]:
    peft, transformers = subject.version("peft"), subject.version("transformers")
    if peft is None or transformers is None:
        return
    for pair in _PAIRS:
        if pair.peft.contains(peft, prereleases=True) and not pair.transformers.contains(
            transformers, prereleases=True
        ):
            text = (
                f"peft {peft} cannot be imported alongside transformers {transformers}: `{pair.missing}` is not there"
            )
            seen = [Evidence(found=f"transformers {transformers}", expected=f"transformers{pair.transformers}")]
            yield finding("peft-transformers-incompatible", text, seen, names=places(subject))


def _companions(subject: CheckSubject) -> Iterator[Finding]:
    torch = subject.version("torch")
    if torch is None:
        return
    vision, audio = subject.version("torchvision"), subject.version("torchaudio")
    # torchvision 0.15 came with torch 2.0, and both have counted in step since.
    if vision is not None and torch.major == 2 and vision.major == 0 and vision.minor != torch.minor + 15:
        text = f"torchvision {vision} was built for torch 2.{vision.minor - 15}, not for {torch}"
        yield finding("torch-companion-mismatch", text, [Evidence(found=f"torchvision {vision}",
                      expected=f"torchvision 0.{torch.minor + 15}")])  # fmt: skip
    if audio is not None and audio.release[:2] != torch.release[:2] and torch < Version("2.9"):
        text = f"torchaudio {audio} was built for torch {audio.major}.{audio.minor}, not for {torch}"
        yield finding("torch-companion-mismatch", text, [Evidence(found=f"torchaudio {audio}")])
    numpy = subject.version("numpy")
    relations = load_matrix().relations if numpy is not None else ()
    for one in relations:
        if (one.package, one.other) != ("torch", "numpy") or numpy is None:
            continue
        if SpecifierSet(one.versions).contains(torch, prereleases=True) and not SpecifierSet(one.needs).contains(numpy):
            text = f"torch {torch} was built against numpy 1, and this is numpy {numpy}"
            yield finding("numpy-abi", text, [Evidence(found=f"numpy {numpy}", expected=f"numpy {one.needs}")])
