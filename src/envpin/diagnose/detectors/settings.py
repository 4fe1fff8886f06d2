"""Detectors on adapter_config.json as peft reads it: a method that peft has, and values of the types that it takes.

Which methods there are, and what each field is by default, was read from the releases of peft (`matrix/fields.json`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from packaging.version import Version

from envpin.core.findings import Evidence
from envpin.core.typed_json import NOT_OF_ITS_SHAPE
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.shapes import json_text, places, refused_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.subject import CheckSubject
    from envpin.matrix.fields import FieldFacts

_NO = object()
_LIKE_A_BOOLEAN = frozenset({"true", "false", "yes", "no", "0", "1", ""})
# Lengths of axes: torch takes no float there, be it whole or not.
_LENGTHS = frozenset({"r", "init_r", "target_r"})
# Fields that peft divides by or compares at once: null is a TypeError, but of a method whose default it is by now.
_NEVER_NULL = frozenset({"r", "lora_alpha", "lora_dropout"})
_BIASES = ("none", "all")
# What peft asks for their keys at once.
_PATTERNS = ("rank_pattern", "alpha_pattern")
_LONGEST_PATTERN = 2_000
# What `init_lora_weights` names (peft/tuners/lora/layer.py of this release); the last two go on, as in pissa_niter_4.
_BEGINNINGS_OF = "0.21.2"
_BEGINNINGS = frozenset({"gaussian", "olora", "mica", "loftq", "eva", "orthogonal", "lora_ga"})
_FAMILIES = ("pissa", "corda")


class _Takes(NamedTuple):
    """Which values a field takes, and what to say of another."""

    takes: Callable[[object], bool]
    says: str


def _are(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) and not isinstance(one, bool) for one in value)


# Fields whose default, null or a word, does not tell what else they take. Read from peft 0.21.2 (tuners/lora/config.py)
# and tried with it: `benchmarks/check_peft.py`.
_TAKES = {
    "bias": _Takes(
        lambda value: isinstance(value, str) and (value in _BIASES or value.endswith("_only")),
        "peft takes `none`, `all` or `lora_only`",
    ),
    "modules_to_save": _Takes(
        lambda value: value is None or _are(value, str),
        "peft takes a list of names, and of a string each letter",
    ),
    "target_parameters": _Takes(lambda value: value is None or _are(value, str), "peft takes a list of names"),
    "exclude_modules": _Takes(
        lambda value: not value or isinstance(value, str) or _are(value, str),
        "peft takes the names of modules, or one regular expression",
    ),
    "layers_to_transform": _Takes(
        lambda value: value is None or (isinstance(value, int) and not isinstance(value, bool)) or _are(value, int),
        "peft takes the numbers of layers",
    ),
    "init_lora_weights": _Takes(
        lambda value: not value or value is True or isinstance(value, str), "peft takes true, false or a name"
    ),
    "trainable_token_indices": _Takes(
        lambda value: value is None or _are(value, int) or isinstance(value, dict),
        "peft takes a list of tokens, or an object of lists",
    ),
}


def detect_settings(subject: CheckSubject) -> Iterator[Finding]:
    """A method that peft does not know, or values that it would raise about, or take for something else."""
    config = subject.adapter_config
    kind = config.get("peft_type")
    if not subject.is_adapter or not kind:
        return
    from envpin.matrix.fields import load_fields

    facts = load_fields().packages["peft"]
    if not isinstance(kind, str) or kind not in facts.classes:
        yield from _unknown_method(subject, kind, tuple(facts.classes), facts.releases[-1])
        return
    known = facts.classes[kind].fields
    yield from _unknown_beginning(subject)
    wrong = {name: why for name, value in config.items() if (why := _refused(name, value, known.get(name)))}
    wrong |= _patterns(config)
    wrong |= _targets(config, known)
    if wrong:
        yield refused_values(
            "adapter_config.json", wrong, lambda name: _value(config, name), subject,
            text="`{name}` is {value}: {why}", owner="training used",
        )  # fmt: skip


def _unknown_method(subject: CheckSubject, kind: object, methods: tuple[str, ...], newest: str) -> Iterator[Finding]:
    """A blocker, but where a release of peft that was not read is to load it: that one has to tell."""
    seen = [Evidence(file="adapter_config.json", found=f"peft_type: {json_text(kind)}")]
    like = next((one for one in methods if isinstance(kind, str) and one == kind.strip().upper()), None)
    if like is not None or not isinstance(kind, str):
        text = f"`peft_type` is {json_text(kind)}, and peft looks methods up by their names in capitals"
        fix = (f"write `{like}`" if like else "put back the `peft_type` that training used",)
        yield finding("corrupt-header", text, seen, fix=fix, names=places(subject))
        return
    text = f"`{kind[:60]}` is a method of no release of peft up to {newest}"
    fix = ("load and merge it with what trained it; envpin cannot tell what that was",)
    yield finding("adapter-needs-newer-peft", text, seen, severity=_if_read(subject, newest), fix=fix,
                  names=places(subject))  # fmt: skip


def _unknown_beginning(subject: CheckSubject) -> Iterator[Finding]:
    """A name in `init_lora_weights` that the release which was read does not know: it raises."""
    begins = subject.adapter_config.get("init_lora_weights")
    if not isinstance(begins, str) or begins.lower() in _BEGINNINGS or begins.startswith(_FAMILIES):
        return
    text = f"`init_lora_weights` is {json_text(begins)}, which peft {_BEGINNINGS_OF} does not know and raises about"
    seen = [Evidence(file="adapter_config.json", found=f"init_lora_weights: {json_text(begins)}")]
    yield finding("adapter-needs-newer-peft", text, seen, severity=_if_read(subject, _BEGINNINGS_OF),
                  fix=("load with the peft that wrote it, or set it to true: it counts as training begins",),
                  names=places(subject))  # fmt: skip


def _if_read(subject: CheckSubject, newest: str) -> Severity | None:
    """A warning where a release of peft that was not read made it or shall load it: that one has to tell."""
    recorded = subject.manifest.version_of("peft") if subject.manifest is not None else None
    return "warning" if any(_is_newer(one, newest) for one in (recorded, subject.target.get("peft"))) else None


def _is_newer(version: str | None, newest: str) -> bool:
    try:
        return version is not None and Version(version) > Version(newest)
    except ValueError:
        return False


def _refused(name: str, value: object, fact: FieldFacts | None) -> str | None:
    """Why peft refuses or misreads the value of a field; None where it takes it."""
    if fact is not None and (own := _TAKES.get(name)) is not None:
        return None if own.takes(value) else own.says
    if (name.endswith("_config") or name == "use_bdlora") and value is not None and not isinstance(value, dict):
        return "peft takes an object there"
    defaults = [_decoded(text) for _, text in fact.defaults] if fact is not None else []
    if value is None and name in _NEVER_NULL and None not in defaults[-1:]:
        return "peft takes a number there"
    if not defaults or any(value == one and type(value) is type(one) for one in defaults):
        return None
    return _unlike(name, value, defaults[-1])


def _unlike(name: str, value: object, usual: object) -> str | None:
    """Why a value is not what the field is by default."""
    if isinstance(usual, bool):
        read_as_true = isinstance(value, str) and value.strip().lower() in _LIKE_A_BOOLEAN
        return "a string, which Python takes for true whatever it says" if read_as_true else None
    if isinstance(usual, (int, float)):
        return _refused_number(name, value)
    if isinstance(usual, dict) and not isinstance(value, dict) and (value is not None or name in _PATTERNS):
        return "peft takes an object there"
    return None


def _refused_number(name: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "peft takes a number there"
    if name == "lora_dropout" and not 0 <= value <= 1:
        return "torch takes a share between 0 and 1 there"
    return "peft takes a whole number there" if isinstance(value, float) and name in _LENGTHS else None


def _patterns(config: Mapping[str, object]) -> dict[str, str]:
    """What the values of LoRA's patterns are not."""
    wrong: dict[str, str] = {}
    if config.get("peft_type") != "LORA":  # AdaLoRA keeps masks there
        return wrong
    for field in _PATTERNS:
        pattern = config.get(field)
        for key, value in pattern.items() if isinstance(pattern, dict) else ():
            if isinstance(value, bool) or not isinstance(value, (int,) if field == "rank_pattern" else (int, float)):
                wrong[f"{field}.{key}"] = "peft takes a number there"
    return wrong


def _targets(config: Mapping[str, object], known: Mapping[str, FieldFacts]) -> dict[str, str]:
    """Why peft finds no module by `target_modules`."""
    targets = config.get("target_modules", _NO)
    if "target_modules" not in known or targets is _NO or targets is None:
        return {}
    why = None
    if isinstance(targets, list):
        if not all(isinstance(one, str) for one in targets):
            why = "peft takes the names of modules there"
        elif not targets and not config.get("target_parameters"):
            why = "peft then finds no module to change"
    elif not isinstance(targets, str):
        why = "peft takes the names of modules, or one regular expression"
    elif len(targets) <= _LONGEST_PATTERN:
        try:
            re.compile(targets)
        except (re.error, RecursionError, OverflowError) as error:
            why = f"peft reads it as a regular expression, which it is not ({error})"
    return {"target_modules": why} if why else {}


def _value(config: Mapping[str, object], name: str) -> object:
    field, dot, key = name.partition(".")
    pattern = config.get(field)
    return pattern.get(key) if dot and isinstance(pattern, dict) else config.get(name)


def _decoded(text: str) -> object:
    """A default as JSON writes it; what is computed or required is none."""
    try:
        return msgspec.json.decode(text)
    except NOT_OF_ITS_SHAPE:
        return _NO
