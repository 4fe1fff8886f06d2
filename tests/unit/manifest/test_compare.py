"""What differs between two manifests, each with its class."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from envpin.manifest.compare import compare
from envpin.manifest.types import (
    BaseModel,
    Distribution,
    Manifest,
    PythonInfo,
    TorchInfo,
    TrainerInfo,
    WeightSample,
)
from tests.support.manifests import BASE, FULL, H100, SAVED, TOKENIZER


def test_equal_manifests_do_not_differ() -> None:
    assert compare(FULL, FULL) == ()
    assert compare(Manifest(schema=1), Manifest(schema=1)) == ()


def changed(**parts: Any) -> Manifest:
    return msgspec.structs.replace(FULL, **parts)


def python(version: str, libc: str = "glibc 2.36") -> PythonInfo:
    return PythonInfo(version=version, platform="linux", libc=libc)


@pytest.mark.parametrize(
    ("other", "what", "cls"),
    [
        (changed(python=python("3.11.9")), "python.version", "python-patch"),
        (changed(python=python("3.12.7")), "python.version", "python-minor"),
        (changed(python=python("3.11.7", libc="musl")), "python.libc", "platform"),
        (changed(torch=TorchInfo(version="2.4.0+cpu", cuda="12.1", gpus=(H100,))), "torch.version", "torch-build"),
        (changed(base=msgspec.structs.replace(BASE, embedding_rows=321)), "base.embedding_rows", "base"),
        (changed(tokenizer=msgspec.structs.replace(TOKENIZER, length=322)), "tokenizer.length", "tokenizer"),
        (changed(resizes=()), "resizes", "resize"),
        (changed(trainer=TrainerInfo(class_name="trl.SFTTrainer", seed=2)), "trainer.seed", "trainer"),
        (changed(saved=msgspec.structs.replace(SAVED, tensors=())), "saved.tensors.a.weight", "tensors"),
    ],
)
def test_each_difference_has_its_class(other: Manifest, what: str, cls: str) -> None:
    (found,) = compare(FULL, other)
    assert (found.what, found.cls) == (what, cls)
    (back,) = compare(other, FULL)
    assert (back.before, back.after) == (found.after, found.before)


def torch(**parts: Any) -> Manifest:
    return changed(torch=msgspec.structs.replace(FULL.torch or TorchInfo(), **parts))


def tokenizer(**parts: Any) -> Manifest:
    return changed(tokenizer=msgspec.structs.replace(TOKENIZER, **parts))


SAMPLE = TOKENIZER.samples[0]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (torch(cuda="12.4"), ("torch.cuda", "12.1", "12.4", "torch-build")),
        (torch(hip="6.1"), ("torch.hip", "absent", "6.1", "torch-build")),
        (torch(driver="550"), ("torch.driver", "absent", "550", "platform")),
        (torch(gpus=()), ("torch.gpus", '["H100"]', "absent", "platform")),
        (tokenizer(added={"<x>": 321}), ("tokenizer.added.<x>", "320", "321", "tokenizer")),
        (tokenizer(added={"<x>": 320, "<y>": 321}), ("tokenizer.added.<y>", "absent", "321", "tokenizer")),
        (
            tokenizer(samples=(msgspec.structs.replace(SAMPLE, ids=(1, 3)),)),
            (f"tokenizer.samples[{SAMPLE.text!r}]", "[1,2]", "[1,3]", "tokenizer"),
        ),
        (
            changed(saved=msgspec.structs.replace(SAVED, config={**(SAVED.config or {}), "r": 8})),
            ("saved.config.r", "4", "8", "config"),
        ),
        (
            changed(saved=msgspec.structs.replace(SAVED, config={**(SAVED.config or {}), "bias": "none"})),
            ("saved.config.bias", "absent", "none", "config"),
        ),
    ],
)
def test_each_difference_says_both_sides(other: Manifest, expected: tuple[str, str, str, str]) -> None:
    (found,) = compare(FULL, other)
    assert (found.what, found.before, found.after, found.cls) == expected
    (back,) = compare(other, FULL)
    assert (back.what, back.before, back.after, back.cls) == (expected[0], expected[2], expected[1], expected[3])


def test_another_sample_of_the_tokenizer_is_not_compared() -> None:
    assert compare(FULL, tokenizer(samples=(msgspec.structs.replace(SAMPLE, text="other", ids=(9,)),))) == ()


def test_distributions_differ_by_version_label_and_source() -> None:
    other = changed(
        distributions=(Distribution(name="peft", version="0.13.0"), Distribution(name="torch", version="2.4.0"),
                       Distribution(name="mine", version="0.1"), Distribution(name="more", version="1"))
    )  # fmt: skip
    found = {one.what: (one.before, one.after, one.cls) for one in compare(FULL, other)}
    assert found == {
        "distributions.peft": ("0.12.0", "0.13.0", "version"),
        "distributions.torch": ("2.4.0+cu121", "2.4.0", "torch-build"),
        "distributions.mine.source": ("editable file:///src", "an index", "source"),
        "distributions.more": ("absent", "1", "dependency"),
    }


def test_the_order_of_target_modules_is_no_difference() -> None:
    config = {**(SAVED.config or {}), "target_modules": ["a", "b"]}
    assert compare(FULL, changed(saved=msgspec.structs.replace(SAVED, config=config))) == ()


def test_compare_holds_weights_of_the_base_against_each_other_where_both_sides_know_them() -> None:
    sample = WeightSample(size=1, header_sha256="a" * 64, blocks_sha256="a" * 64)
    other = WeightSample(size=1, header_sha256="a" * 64, blocks_sha256="b" * 64)
    before = Manifest(
        schema=1, base=BaseModel(files={"a": "1" * 64, "b": "1" * 64}, weights={"a": sample, "c": sample})
    )
    after = Manifest(schema=1, base=BaseModel(files={"a": "2" * 64}, weights={"a": other, "c": other}))
    assert [one.what for one in compare(before, after)] == ["base.files.a", "base.weights.c"]
    assert compare(before, before) == ()
