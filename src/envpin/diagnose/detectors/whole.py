"""Detectors that ask whether a model's files hold what its config describes: every tensor, in its shape, and no other.

transformers makes what is not there at random and leaves out what it has no place for, both with a warning at most.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from envpin.checkpoint.own_code import runs_own_code
from envpin.checkpoint.quantization import of_base
from envpin.checkpoint.weights import COMPUTED
from envpin.core.findings import Evidence
from envpin.core.sizes import counted, verb
from envpin.diagnose.axes import shape_text
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.comparison import Mismatch
from envpin.diagnose.detectors.shapes import SHOWN, places, seen_of
from envpin.diagnose.forms import formed, is_formed
from envpin.diagnose.layouts import described

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.layouts import Described, Shape
    from envpin.diagnose.subject import CheckSubject

# Floats and what torch has for them; F8 begins so too.
_PLAIN = ("F", "BF")
# Tables of numbers that models have as buffers are fewer than one in so many.
_FEW = 5
# Of DDP, torch.compile, peft and FSDP. Whatever a release calls the parts of a model, it calls none of them so.
_WRAPPERS = ("module.", "_orig_mod.", "base_model.model.", "_fsdp_wrapped_module.")


class _Held(NamedTuple):
    """The tensors wanted and held, by their names without the prefix of the class; a wanted one with its whole name."""

    found: Described
    wanted: Mapping[str, tuple[str, Shape]]
    held: Mapping[str, Tensor]


_KNOWN: WeakKeyDictionary[Checkpoint, _Held | None] = WeakKeyDictionary()


def detect_whole(model: Checkpoint, subject: CheckSubject, mismatches: list[Mismatch]) -> Iterator[Finding]:
    """Of the base or of the folder itself. Nothing is said of damaged files, of quantized weights, of models with code
    of their own, and of types whose tensors were not collected. What is compared is kept as long as `model` is."""
    if model not in _KNOWN:
        _KNOWN[model] = _read(model)
    one = _KNOWN[model]
    if one is not None:
        yield from _missing(one, subject)
        yield from _shapes(one, subject, mismatches)
        yield from _left_out(one, subject)
        yield from _no_weights(one, subject)


def _read(model: Checkpoint) -> _Held | None:
    stored = of_base(model)
    config = model.config or {}
    if not model.weight_files or model.faults or runs_own_code(model) or (stored is not None and stored.stored):
        return None
    if isinstance(config.get("quantization"), dict):
        return None  # packed by mlx-lm
    found = _described(model, config)
    if found is None:
        return None
    wanted = {found.bare(name): (name, shape) for name, shape in found.shapes.items()}
    return _Held(found, wanted, {found.bare(name): one for name, one in model.tensors.items()})


def _described(model: Checkpoint, config: Mapping[str, object]) -> Described | None:
    if is_formed(config.get("model_type")):
        return formed(config, {name: one.shape for name, one in model.tensors.items()})
    return described(config)


def _missing(one: _Held, subject: CheckSubject) -> Iterator[Finding]:
    found, wanted, held = one
    optional = {found.bare(name) for name in found.optional}
    absent = [full for bare, (full, _) in wanted.items()
              if bare not in held and bare not in optional and not any(one in held for one in found.same.get(bare, ()))
    ]  # fmt: skip
    before = _common_prefix(absent, held) if absent else ""
    if not absent or (not before and _may_be_renamed(one, absent)):
        return
    count = len(absent)
    whole = f"{counted(len(wanted), 'tensor')} that a `{found.model_type}` of this config has"
    text = f"{count} of the {whole} {verb(count, 'is', 'are')} not in its files: "
    if count == len(wanted):
        text = f"none of the {whole} is in its files: "
    text += f"transformers fills {verb(count, 'it', 'them')} at random"
    fix: tuple[str, ...] | None = None
    if before:
        text += f"; the files have {verb(len(absent), 'its name', 'their names')} with `{before}` in front"
        fix = (f"take `{before}` off the names, or save the unwrapped model with `save_pretrained`",)
    elif len(absent) == len(wanted):
        text += ", and none of their names is one of this type"
        fix = ("take the config.json that belongs to these weights", "or convert them to the names of transformers")
    seen = [Evidence(tensor=name, note="not in the files") for name in absent[:SHOWN]]
    yield finding("model-tensors-missing", text, seen, fix=fix, names=places(subject))


def _may_be_renamed(one: _Held, absent: list[str]) -> bool:
    """Whether the files have as many names that are not known here: a release may know them."""
    return one.found.is_renamed and sum(name not in one.wanted for name in one.held) >= len(absent)


def _common_prefix(absent: list[str], held: Mapping[str, Tensor]) -> str:
    """What stands in front of the wanted names in all names that the files have."""
    for wrapper in _WRAPPERS:
        if held and all(one.name.startswith(wrapper) for one in held.values()):
            return wrapper
    one = next((name for name in held if name.endswith(f".{absent[0]}")), None)
    before = one.removesuffix(absent[0]) if one is not None else ""
    return before if before and all(name.startswith(before) for name in held) else ""


def _shapes(held: _Held, subject: CheckSubject, mismatches: list[Mismatch]) -> Iterator[Finding]:
    wrong: list[Mismatch] = []
    for bare, (name, shape) in held.wanted.items():
        tensor = held.held.get(bare)
        if tensor is None or _fits(tensor.shape, shape):
            continue
        asked = tuple(-1 if one is None else one for one in shape)
        wrong.append(Mismatch(parameter=name, found=tensor.shape, expected=asked, why="config.json says otherwise"))
    if not wrong:
        return
    mismatches += wrong
    text = f"{counted(len(wrong), 'tensor')} {verb(len(wrong), 'has', 'have')} another shape than config.json describes"
    text += _said_by(wrong, held.found)
    seen = [Evidence(tensor=one.parameter, found=shape_text(one.found), expected=shape_text(one.expected))
            for one in wrong[:SHOWN]]  # fmt: skip
    yield finding("architecture-drift", text, seen, severity="blocker", names=places(subject))


def _said_by(wrong: list[Mismatch], found: Described) -> str:
    """The field that all of them go against, where it is one, and the only one with its value."""
    pairs = {
        pair
        for one in wrong
        for pair in zip(one.found, one.expected, strict=False)
        if pair[0] != pair[1]  # of unlike numbers of axes: no two fields agree
    }
    if len(pairs) != 1:
        return ""
    ((is_, wanted),) = pairs
    fields = [name for name, value in found.sizes.items() if value == wanted]
    return f": `{fields[0]}` is {wanted}, and they have {is_}" if len(fields) == 1 else ""


def _no_weights(held: _Held, subject: CheckSubject) -> Iterator[Finding]:
    """What a program quantized, without a word of it in config.json."""
    odd = [one for bare, one in held.held.items() if bare in held.wanted and not one.dtype.startswith(_PLAIN)]
    odd += [one for one in held.held.values() if one.dtype.startswith("F8")]
    if odd and len(odd) * _FEW > len(held.wanted):
        text = (
            f"{counted(len(odd), 'tensor')} {verb(len(odd), 'is', 'are')} stored as {odd[0].dtype}, and config.json "
            "does not say that the model is quantized: transformers 4 refuses them, 5 takes the numbers as they are"
        )
        fix = ("take the config.json of the quantized model, or the weights before they were quantized",)
        yield finding("architecture-drift", text, seen_of(odd), fix=fix, names=places(subject))


def _fits(found: tuple[int, ...], shape: Shape) -> bool:
    return len(found) == len(shape) and all(want is None or one == want for one, want in zip(found, shape, strict=True))


def _left_out(held: _Held, subject: CheckSubject) -> Iterator[Finding]:
    found, wanted, tensors = held
    if not found.is_own_class or not any(bare in tensors for bare in wanted):
        return
    ignored = [re.compile(one) for one in (*found.ignored, *(f"^{one}$" for one in found.expected))]
    odd = [
        one
        for bare, one in tensors.items()
        if bare not in wanted
        and not COMPUTED.search(bare)
        and not any(rule.search(bare) or rule.search(one.name) for rule in ignored)
        and (found.stacks is None or any(bare.startswith(place) for place in found.stacks))
    ]
    if odd:
        text = (
            f"{counted(len(odd), 'tensor')} {verb(len(odd), 'has', 'have')} no place in a `{found.model_type}` of this "
            f"config: transformers leaves {verb(len(odd), 'it', 'them')} out"
        )
        changed = set(subject.names.modules if subject.names is not None else ())
        lost = [one for one in odd if one.name.removesuffix(".weight") in changed]
        severity: Severity | None = "blocker" if lost else None
        text += f", and the adapter changes {len(lost)} of them" if lost else ""
        yield finding("architecture-drift", text, seen_of(lost or odd), severity=severity, names=places(subject))
