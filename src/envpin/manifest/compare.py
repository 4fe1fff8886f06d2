"""What differs between two manifests, each difference with its class. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from envpin.core.versions import same_release
from envpin.manifest.types import BaseModel, PythonInfo, TokenizerInfo, TorchInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.manifest.types import Manifest

Class = Literal[
    "torch-build", "python-patch", "python-minor", "platform", "version", "source", "dependency", "base", "tokenizer",
    "resize", "config", "tensors", "trainer",
]  # fmt: skip
# Distributions whose version can change what training or a merge computes; every other one is a dependency.
DECISIVE = frozenset(
    {"torch", "transformers", "peft", "safetensors", "tokenizers", "accelerate", "bitsandbytes", "trl", "deepspeed"}
)
_ABSENT = "absent"


class ManifestDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: the path of what differs, its value on either side as a person would write it, its class."""

    what: str
    before: str
    after: str
    cls: Class = msgspec.field(name="class")


def compare(before: Manifest, after: Manifest) -> tuple[ManifestDifference, ...]:
    """Every difference of environment, base, tokenizer, resizes, adapter and trainer; none between equal manifests.

    What belongs to one run alone (its times, argv, digests of trained weights) is not compared.
    """
    return (
        *_python(before.python or PythonInfo(), after.python or PythonInfo()),
        *_torch(before.torch or TorchInfo(), after.torch or TorchInfo()),
        *_distributions(before, after),
        *_base(before.base or BaseModel(), after.base or BaseModel()),
        *_tokenizer(before.tokenizer or TokenizerInfo(), after.tokenizer or TokenizerInfo()),
        *_resizes(before, after),
        *_saved(before, after),
        *_trainer(before, after),
    )


def _differ(what: str, before: object, after: object, cls: Class) -> Iterator[ManifestDifference]:
    if before != after:
        yield ManifestDifference(what=what, before=_text(before), after=_text(after), cls=cls)


def _text(value: object) -> str:
    if value is None or value == ():
        return _ABSENT
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _python(before: PythonInfo, after: PythonInfo) -> Iterator[ManifestDifference]:
    yield from _python_version(before.version, after.version)
    for field in ("implementation", "platform", "machine", "libc"):
        yield from _differ(f"python.{field}", getattr(before, field), getattr(after, field), "platform")


def _python_version(before: str | None, after: str | None) -> Iterator[ManifestDifference]:
    minor = (before or "").split(".")[:2] != (after or "").split(".")[:2]
    yield from _differ("python.version", before, after, "python-minor" if minor else "python-patch")


def _torch(before: TorchInfo, after: TorchInfo) -> Iterator[ManifestDifference]:
    # Another torch altogether is said by the distributions.
    if same_release(before.version, after.version):
        yield from _differ("torch.version", before.version, after.version, "torch-build")
    yield from _differ("torch.cuda", before.cuda, after.cuda, "torch-build")
    yield from _differ("torch.hip", before.hip, after.hip, "torch-build")
    yield from _differ("torch.driver", before.driver, after.driver, "platform")
    gpus, others = ([one.name for one in side.gpus] or None for side in (before, after))
    yield from _differ("torch.gpus", gpus, others, "platform")


def _distributions(before: Manifest, after: Manifest) -> Iterator[ManifestDifference]:
    yield from _versions(
        {one.name: one.version for one in before.distributions}, {one.name: one.version for one in after.distributions}
    )
    sources = {one.name: (one.direct_url, one.editable) for one in before.distributions}
    for one in after.distributions:
        if one.name in sources and sources[one.name] != (one.direct_url, one.editable):
            yield from _differ(
                f"distributions.{one.name}.source", _source(*sources[one.name]), _source(one.direct_url, one.editable),
                "source",
            )  # fmt: skip


def _source(url: str | None, editable: bool) -> str:
    return ("editable " if editable else "") + (url or "an index")


def _versions(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[ManifestDifference]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is not None and new is not None and same_release(old, new):
            cls: Class = "torch-build"  # the same release with another local label
        else:
            cls = "version" if name in DECISIVE else "dependency"
        yield from _differ(f"distributions.{name}", old, new, cls)


def _base(before: BaseModel, after: BaseModel) -> Iterator[ManifestDifference]:
    for field in ("id", "commit", "config_sha256", "model_type", "architecture", "embedding_rows",
                  "tie_word_embeddings", "dtype", "quantization"):  # fmt: skip
        yield from _differ(f"base.{field}", getattr(before, field), getattr(after, field), "base")
    # Weights that one side tells nothing of differ in nothing that is known.
    for name in sorted(before.files.keys() & after.files.keys()):
        yield from _differ(f"base.files.{name}", before.files[name], after.files[name], "base")
    for name in sorted((before.weights.keys() & after.weights.keys()) - (before.files.keys() & after.files.keys())):
        yield from _differ(f"base.weights.{name}", before.weights[name], after.weights[name], "base")


def _tokenizer(before: TokenizerInfo, after: TokenizerInfo) -> Iterator[ManifestDifference]:
    for field in ("length", "chat_template_sha256"):
        yield from _differ(f"tokenizer.{field}", getattr(before, field), getattr(after, field), "tokenizer")
    for token in sorted(before.added.keys() | after.added.keys()):
        yield from _differ(f"tokenizer.added.{token}", before.added.get(token), after.added.get(token), "tokenizer")
    ids = {one.text: list(one.ids) for one in before.samples}
    for one in after.samples:
        if one.text in ids:
            yield from _differ(f"tokenizer.samples[{one.text!r}]", ids[one.text], list(one.ids), "tokenizer")


def _resizes(before: Manifest, after: Manifest) -> Iterator[ManifestDifference]:
    yield from _differ("resizes", before.resizes, after.resizes, "resize")


def _saved(before: Manifest, after: Manifest) -> Iterator[ManifestDifference]:
    old: Mapping[str, object] = (before.saved.config if before.saved else None) or {}
    new: Mapping[str, object] = (after.saved.config if after.saved else None) or {}
    for key in sorted(old.keys() | new.keys()):
        # peft writes a set here, in an order that changes from run to run.
        first, second = _ordered(old.get(key)), _ordered(new.get(key))
        yield from _differ(f"saved.config.{key}", first, second, "config")
    shapes = {one.name: (one.shape, one.dtype) for one in (before.saved.tensors if before.saved else ())}
    others = {one.name: (one.shape, one.dtype) for one in (after.saved.tensors if after.saved else ())}
    for name in sorted(shapes.keys() | others.keys()):
        yield from _differ(f"saved.tensors.{name}", shapes.get(name), others.get(name), "tensors")


def _ordered(value: object) -> object:
    return sorted(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value


def _trainer(before: Manifest, after: Manifest) -> Iterator[ManifestDifference]:
    for field in ("class_name", "package_version", "seed", "data_seed"):
        old = getattr(before.trainer, field) if before.trainer else None
        new = getattr(after.trainer, field) if after.trainer else None
        yield from _differ(f"trainer.{field}", old, new, "trainer")
