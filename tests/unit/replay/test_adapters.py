"""Several adapters in one merge: reading weights, and what is refused before anything is built."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.core.errors import CheckFailedError, UsageError
from envpin.manifest.types import Distribution, Manifest
from envpin.replay.adapters import (
    Part,
    WeightedAdapter,
    embedding_of,
    environment_conflicts,
    method_packages,
    parse_adapter,
    refuse_conflicts,
    tokenizer_source,
)

if TYPE_CHECKING:
    from envpin.checkpoint.checkpoint import Checkpoint


def adapter(
    folder: Path,
    name: str,
    *,
    weight: float = 1.0,
    whole: dict[str, tuple[int, int]] | None = None,
    fill: int = 0,
    tokens: dict[str, int] | None = None,
    **config: Any,
) -> tuple[WeightedAdapter, Checkpoint]:
    """An adapter's folder with one LoRA pair and `whole` tensors of bytes `fill` (shapes by name)."""
    path = folder / name
    path.mkdir()
    (path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, **config}))
    lora = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    shapes = {lora + "A.weight": (2, 4), lora + "B.weight": (4, 2), **(whole or {})}
    header, data = {}, b""
    for tensor, shape in shapes.items():
        size = 2 * shape[0] * shape[1]
        header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(data), len(data) + size]}
        data += bytes([fill]) * size
    text = json.dumps(header).encode()
    (path / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    if tokens is not None:
        added = [{"id": number, "content": token} for token, number in tokens.items()]
        vocabulary = {f"w{number}": number for number in range(8)}
        tokenizer = {"model": {"type": "WordLevel", "vocab": vocabulary}, "added_tokens": added}
        (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    return WeightedAdapter(path=path, weight=weight), open_checkpoint(path)


TABLE = "base_model.model.model.embed_tokens.weight"
HEAD = "base_model.model.lm_head.weight"


def test_a_weight_stands_behind_the_last_colon(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b:0.5").mkdir()
    assert parse_adapter(f"{tmp_path}/a") == WeightedAdapter(path=tmp_path / "a")
    assert parse_adapter(f"{tmp_path}/a:-0.25") == WeightedAdapter(path=tmp_path / "a", weight=-0.25)
    assert parse_adapter(f"{tmp_path}/a:1e-1").weight == pytest.approx(0.1)
    # A folder of that very name is meant itself, and may have a weight of its own.
    assert parse_adapter(f"{tmp_path}/b:0.5") == WeightedAdapter(path=tmp_path / "b:0.5")
    assert parse_adapter(f"{tmp_path}/b:0.5:2") == WeightedAdapter(path=tmp_path / "b:0.5", weight=2)


@pytest.mark.parametrize("weight", ["0", "nan", "inf", "-inf", "half", ""])
def test_a_weight_that_is_none(tmp_path: Path, weight: str) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(UsageError, match="weight"):
        parse_adapter(f"{tmp_path}/a:{weight}")


def test_one_adapter_at_its_own_weight_has_no_conflicts(tmp_path: Path) -> None:
    assert refuse_conflicts([adapter(tmp_path, "a", peft_type="OFT", use_dora=True)]) == ()


def test_two_plain_adapters_go_together(tmp_path: Path) -> None:
    pair = [adapter(tmp_path, "a"), adapter(tmp_path, "b", weight=0.5, whole={HEAD: (8, 4)})]
    (note,) = refuse_conflicts(pair)
    assert "`lm_head.weight`" in note
    assert "0.5" in note


@pytest.mark.parametrize(
    ("config", "word"),
    [({"peft_type": "OFT"}, "OFT"), ({"peft_type": "IA3"}, "IA3"), ({"use_dora": True}, "DoRA")],
)
def test_changes_that_do_not_add_up_are_refused_in_company_and_at_a_weight(
    tmp_path: Path, config: dict[str, Any], word: str
) -> None:
    odd = adapter(tmp_path, "odd", **config)
    with pytest.raises(CheckFailedError, match=word) as company:
        refuse_conflicts([adapter(tmp_path, "a"), odd])
    assert "--base" in (company.value.hint or "")
    with pytest.raises(CheckFailedError, match=word):
        refuse_conflicts([(WeightedAdapter(path=odd[0].path, weight=0.5), odd[1])])


def test_every_conflict_is_listed_at_once(tmp_path: Path) -> None:
    one = adapter(tmp_path, "one", whole={HEAD: (8, 4)}, bias="all", tokens={"<x>": 8})
    two = adapter(tmp_path, "two", whole={HEAD: (8, 4)}, fill=1, bias="lora_only", tokens={"<y>": 8})
    with pytest.raises(CheckFailedError) as refused:
        refuse_conflicts([one, two, one])
    for words in ("both replace `lm_head.weight`", "trained biases", "token 8 is `<x>` in `one`", "is given twice"):
        assert words in refused.value.message


def test_the_same_whole_tensor_in_both_is_no_conflict(tmp_path: Path) -> None:
    pair = [adapter(tmp_path, name, whole={HEAD: (8, 4)}, fill=3) for name in ("one", "two")]
    assert refuse_conflicts(pair) == ()


def test_one_grown_vocabulary_is_taken_and_two_different_ones_are_not(tmp_path: Path) -> None:
    plain, grown = adapter(tmp_path, "plain"), adapter(tmp_path, "grown", whole={TABLE: (9, 4)})
    assert embedding_of([plain, plain], 8).action == "keep"
    for order in ([plain, grown], [grown, plain]):
        found = embedding_of(order, 8)
        assert (found.action, found.rows) == ("grow", 9)
    with pytest.raises(CheckFailedError, match=r"`grown` wants an embedding of 9 rows, and `other`"):
        embedding_of([grown, adapter(tmp_path, "other", whole={TABLE: (12, 4)})], 8)
    with pytest.raises(CheckFailedError, match="`kept`"):
        embedding_of([grown, adapter(tmp_path, "kept", whole={TABLE: (8, 4)})], 8)


def test_the_longest_tokenizer_goes_beside_the_model(tmp_path: Path) -> None:
    first = adapter(tmp_path, "first", tokens={})
    longer = adapter(tmp_path, "longer", tokens={"<x>": 8})
    assert tokenizer_source([first, longer]) == longer[0].path
    assert tokenizer_source([adapter(tmp_path, "none"), adapter(tmp_path, "none either")]) == tmp_path / "none"


def part(name: str, **versions: str) -> Part:
    held = tuple(Distribution(name=package, version=version) for package, version in versions.items())
    manifest = Manifest(schema=1, distributions=held)
    return Part(
        remote=None,
        path=Path(name),
        weight=1,
        files=(),
        manifest=manifest,
        manifest_sha256=None,
        closure=None,
        kind="LORA",
        settings={},
    )


def test_environments_are_compared_without_their_build_labels() -> None:
    one = part("one", torch="2.4.0+cu121", peft="0.12.0", transformers="4.43.1")
    assert environment_conflicts([one, part("two", torch="2.4.0", peft="0.12.0", transformers="4.43.1")]) == ()
    found = environment_conflicts([one, part("two", torch="2.4.0", peft="0.15.2", transformers="4.43.1")])
    assert found == ("peft was 0.12.0 for `one` and 0.15.2 for `two`",)


@pytest.mark.parametrize(
    ("start", "packages"), [("LoftQ", ("bitsandbytes", "scipy")), ("pissa", ()), (True, ()), (None, ())]
)
def test_a_loftq_adapter_asks_for_what_peft_quantizes_the_base_with(
    start: object, packages: tuple[str, ...], tmp_path: Path
) -> None:
    config = {"peft_type": "LORA", "init_lora_weights": start}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert method_packages([open_checkpoint(tmp_path)]) == packages


def test_adamss_asks_for_scikit_learn(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "ADAMSS"}', encoding="utf-8")
    assert method_packages([open_checkpoint(tmp_path)]) == ("scikit-learn",)
