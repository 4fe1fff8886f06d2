"""Detectors that read the values of an adapter and its base: factors that are still zero, and numbers that are none."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from envpin.checkpoint.tensor_reader import TensorReader
from envpin.core.findings import Evidence
from envpin.core.sizes import counted, verb
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.shapes import SHOWN, places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.core.findings import Finding
    from envpin.diagnose.subject import CheckSubject

_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
# Of an adapter on the Hub: so many tensors, and so many bytes of each.
_SAMPLED, _SAMPLE = 16, 4096
# Of a local one: NaN takes whole tensors, as training spreads it, and 500 tensors are read in a tenth of a second.
_BEGINNING = 1 << 16
# Of a model's own tensors, some gigabytes, so many.
_MOST = 1_000
# The bits of an exponent that is all ones, in the last byte of a number and in the one before it.
_EXPONENTS = {"F64": (0x7F, 0xF0), "F32": (0x7F, 0x80), "BF16": (0x7F, 0x80), "F16": (0x7C, 0x00)}


# Of methods that are not LoRA: the part whose zeros make the change nothing (a factor of a product, or the change
# itself). IA3 multiplies: its ones do.
_STARTS = {
    "IA3": "ia3_l", "VERA": "vera_lambda_b", "PVERA": "pvera_lambda_b", "LOHA": "hada_w2_a", "OFT": "oft_R",
    "MISS": "miss_block", "BONE": "bone_block", "FOURIERFT": "fourierft_spectrum", "WAVEFT": "waveft_spectrum",
    "SHIRA": "shira_weight", "RANDLORA": "randlora_lambda", "GRALORA": "gralora_B", "C3A": "c3a_kernel",
}  # fmt: skip
_ONES = {
    "F64": b"\0\0\0\0\0\0\xf0\x3f", "F32": b"\0\0\x80\x3f", "F16": b"\0\x3c", "BF16": b"\x80\x3f",
}  # fmt: skip


_KNOWN: WeakKeyDictionary[Checkpoint, tuple[int, tuple[Tensor, ...]]] = WeakKeyDictionary()


def detect_values(subject: CheckSubject, *, reads_model: bool = True) -> Iterator[Finding]:
    """What the bytes of the adapter's tensors show, and those of the model: of it what was read is kept as long."""
    yield from _noop(subject)
    yield from _not_finite(subject)
    model = subject.model
    if reads_model and model is not None and model.is_local:
        yield from _model_not_finite(model, subject)


def _not_finite(subject: CheckSubject) -> Iterator[Finding]:
    """NaN or infinity: a merge would write them into the base's weights."""
    if subject.is_adapter:
        folder = subject.folder
        read = _SAMPLE if not folder.is_local else _BEGINNING
        looked, wrong = _broken(folder, folder.adapter_tensors, read, None if folder.is_local else _SAMPLED)
        if wrong:
            text = f"{len(wrong)} of {counted(looked, 'tensor')} {verb(len(wrong), 'holds', 'hold')} NaN or infinity"
            yield finding("weights-not-finite", text, _not_numbers(wrong), names=places(subject))


def _model_not_finite(model: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    if model not in _KNOWN:
        _KNOWN[model] = _broken(model, model.tensors, _SAMPLE, _MOST)
    looked, wrong = _KNOWN[model]
    if wrong:
        text = (
            f"{len(wrong)} of {counted(looked, 'tensor')} that were looked at in `{model.path}` "
            f"{verb(len(wrong), 'holds', 'hold')} NaN or infinity"
        )
        fix = ("take the model's files again; if a merge wrote them, merge again in bfloat16 or float32",)
        yield finding("weights-not-finite", text, _not_numbers(wrong), fix=fix, names=places(subject))


def not_finite(folder: Checkpoint, tensors: Mapping[str, Tensor], limit: int | None) -> tuple[Tensor, ...]:
    """Those of the tensors whose first `limit` bytes (None: all of them) hold NaN or infinity. Of other types than
    those of `tells_finite` none is looked at."""
    return _broken(folder, tensors, limit, None)[1]


def tells_finite(dtype: str) -> bool:
    """Whether numbers of this type are looked at."""
    return dtype in _EXPONENTS


def _broken(
    folder: Checkpoint, tensors: Mapping[str, Tensor], limit: int | None, most: int | None
) -> tuple[int, tuple[Tensor, ...]]:
    """How many tensors were looked at (`most`, the first `limit` bytes of each), and those that hold what is no
    number."""
    floats = [one for one in tensors.values() if one.dtype in _EXPONENTS and one.end > one.start]
    looked = floats if most is None else floats[:: max(1, len(floats) // most)]
    wrong: list[Tensor] = []
    with contextlib.suppress(OSError), TensorReader(folder) as reader:
        wrong += [one for one in looked if any(_holds_no_number(b, one.dtype) for b in reader.blocks(one, limit))]
    return len(looked), tuple(wrong)


def _not_numbers(wrong: tuple[Tensor, ...]) -> list[Evidence]:
    return [Evidence(file=one.file, tensor=one.name, found="not finite") for one in wrong[:SHOWN]]


def _holds_no_number(data: bytes, dtype: str) -> bool:
    """Whether a number among these bytes (little-endian) has an exponent of all ones, which NaN and infinity have."""
    width, (last, before) = _WIDTHS[dtype], _EXPONENTS[dtype]
    high = data[width - 1 :: width]
    at = -1
    for first in {last, last | 0x80}:
        for one in range(first, first + (4 if dtype == "F16" else 1)):
            while (at := high.find(one, at + 1)) >= 0:
                if data[at * width + width - 2] & before == before:
                    return True
    return False


def _noop(subject: CheckSubject) -> Iterator[Finding]:
    """Every change of the adapter is a product with a factor that is still zero."""
    names = subject.names
    if names is None or names.whole:
        return
    if (kind := str(subject.adapter_config.get("peft_type")).upper()) in _STARTS:
        yield from _noop_of(kind, subject)
        return
    if not names.factors or names.other:
        return
    if any(factor.kind == "lora_magnitude_vector" for factor in names.factors):
        return
    starts = [
        one.tensor for one in names.factors if one.kind in {"lora_B", "lora_embedding_A"} and one.leaf == "weight"
    ]
    # Of an adapter on the Hub some kilobytes are read: B leaves zero everywhere at once, or nowhere.
    far = not subject.folder.is_local
    looked = starts[:: max(1, len(starts) // _SAMPLED)] if far else starts
    whole = all(tensor.end > tensor.start for tensor in starts)
    if starts and whole and _all_zero(subject.folder, looked, limit=_SAMPLE if far else None):
        text = f"all {len(starts)} `lora_B` tensors are zero: the adapter changes nothing"
        if far:
            read = f"{len(looked)} of {counted(len(starts), 'tensor')}"
            text = f"`lora_B` is zero wherever it was read ({read}): nothing was trained"
        seen = [Evidence(file=one.file, tensor=one.name, found="0") for one in starts[:SHOWN]]
        yield finding("adapter-is-noop", text, seen, names=places(subject))


def _noop_of(kind: str, subject: CheckSubject) -> Iterator[Finding]:
    """Parts of another method that are still as they began."""
    part = _STARTS[kind]
    starts = [one for name, one in subject.folder.adapter_tensors.items() if f".{part}" in name]
    if not starts or not subject.folder.is_local or any(one.end <= one.start for one in starts):
        return
    ones = kind == "IA3"
    if _all_ones(subject.folder, starts) if ones else _all_zero(subject.folder, starts, limit=None):
        what = "one" if ones else "zero"
        text = (
            f"{'all ' if len(starts) > 1 else ''}{counted(len(starts), f'`{part}` tensor')} "
            f"{verb(len(starts), 'is', 'are')} {what}: the adapter changes nothing"
        )
        seen = [Evidence(file=one.file, tensor=one.name, found="1" if ones else "0") for one in starts[:SHOWN]]
        yield finding("adapter-is-noop", text, seen, names=places(subject))


def _all_ones(folder: Checkpoint, tensors: list[Tensor]) -> bool:
    try:
        with TensorReader(folder) as reader:
            return all(
                one.dtype in _ONES and block == _ONES[one.dtype] * (len(block) // _WIDTHS[one.dtype])
                for one in tensors for block in reader.blocks(one, None)
            )  # fmt: skip
    except OSError:
        return False


def _is_zero(data: bytes, width: int) -> bool:
    """Whether these are zeros, -0.0 among them: of a float of `width` bytes the sign is in the last one."""
    zeros = data.count(0)
    return zeros == len(data) or (width > 0 and zeros + data[width - 1 :: width].count(0x80) == len(data))


def _all_zero(folder: Checkpoint, tensors: list[Tensor], *, limit: int | None) -> bool:
    """Whether all these bytes are zero, of each tensor the first `limit`. A trained adapter answers no at once."""
    try:
        with TensorReader(folder) as reader:
            return all(
                _is_zero(block, _WIDTHS.get(one.dtype, 0)) for one in tensors for block in reader.blocks(one, limit)
            )
    except OSError:
        return False
