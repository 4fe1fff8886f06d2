"""Plain products that are made without peft's layer, and what reads them back.

Run like the checks of stream_inside.py, whose tools they use."""

import contextlib
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import peft
import torch
import transformers

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream_inside as tools  # type: ignore[import-not-found]
from envpin_worker.probe.norms import norms_by_rows
from envpin_worker.runtime.bits import ulp
from envpin_worker.stream import calibration, layers
from envpin_worker.stream.io.files import StoredTensor
from envpin_worker.stream.io.reader import Reader
from envpin_worker.stream.prove import checksum


def ways_of(case: Any) -> list[Any]:
    """How each operation of a merge is run, whether or not the proof then agrees with it."""
    found: list[Any] = []
    way = calibration.Calibration.way

    def seen(self: Any, one: Any) -> Any:
        found.append(way(self, one))
        return found[-1]

    calibration.Calibration.way = seen
    try:
        case.merge()
    except tools.KnownError as error:
        assert error.kind == "verification-failed", error
    finally:
        calibration.Calibration.way = way
    assert found
    return found


def check_lora_of_float32_is_made_directly_and_gives_pefts_bits(folder: str) -> None:
    case = tools.Case(folder)
    assert all(way.direct for way in ways_of(case))
    base = transformers.LlamaForCausalLM.from_pretrained(case.base, **tools.grid.dtype_auto())
    merged = peft.PeftModel.from_pretrained(base, case.adapter).merge_and_unload()
    tools.same(dict(merged.state_dict()), tools.tensors(case.out()))


def check_dora_runs_pefts_layer(folder: str) -> None:
    assert not any(way.direct for way in ways_of(tools.Case(folder, "dora")))


def check_a_layer_that_computes_otherwise_is_run(folder: str) -> None:
    """Whether its change or its rounding is another: what peft's layer gives is what is written."""
    layer = peft.tuners.lora.layer.Linear
    changes, merge = layer.get_delta_weight, layer.merge

    def larger(self: Any, adapter: str) -> torch.Tensor:
        found = changes(self, adapter).clone()
        found.view(-1)[3] += 2 * ulp(found.view(-1)[3], found.dtype).to(found.dtype)
        return found

    def truncated(self: Any, *arguments: Any, **options: Any) -> None:
        merge(self, *arguments, **options)
        weight = self.get_base_layer().weight
        if weight.dtype == torch.bfloat16:
            weight.data.view(torch.int16).bitwise_and_(-2)

    for name, one in (("get_delta_weight", larger), ("merge", truncated)):
        case = tools.Case(os.path.join(folder, name))
        kept = getattr(layer, name)
        setattr(layer, name, one)
        try:
            assert not any(way.direct for way in ways_of(case) if way is not None), name
        finally:
            setattr(layer, name, kept)


def check_each_of_two_adapters_has_its_own_scaling(folder: str) -> None:
    weight = torch.randn(300, 200).bfloat16()
    factors = [(torch.randn(4, 200), torch.randn(300, 4), scaling) for scaling in (0.5, 1.7)]
    wanted = weight.clone()
    for a, b, scaling in factors:
        wanted += (b @ a) * scaling
    block = weight.clone()
    layers.add_products(block, (0, 300), [layers.Factors.of(a, b, scaling, 1) for a, b, scaling in factors])
    assert torch.equal(block, wanted)
    block = weight[128:256].clone()
    layers.add_products(block, (128, 256), [layers.Factors.of(a, b, scaling, 1) for a, b, scaling in factors])
    assert torch.equal(block, wanted[128:256])


def check_rows_are_mapped_where_words_lie_across_too(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    held = torch.arange(24, dtype=torch.float32).reshape(6, 4)
    for before in (0, 1, 4):
        path = os.path.join(folder, "odd-%d" % before)
        with open(path, "wb") as stream:
            stream.write(b"x" * before + held.numpy().tobytes())
        stored = StoredTensor("held", "F32", (6, 4), path, before, 96)
        reader = Reader()
        for first, last in ((0, 6), (2, 5), (3, 3)):
            found = reader.mapped(stored, first, last).clone()
            assert torch.equal(found, held[first:last]), (before, first, last)
        reader.close()


@contextlib.contextmanager
def counting(kind: Any, seen: list[int]) -> Iterator[None]:
    """The rows of each norm that is made."""
    inner = kind.get_weight_norm

    def counted(self: Any, weight: torch.Tensor, change: torch.Tensor, scaling: float) -> Any:
        seen.append(len(weight))
        return inner(self, weight, change, scaling)

    kind.get_weight_norm = counted
    try:
        yield
    finally:
        kind.get_weight_norm = inner


def check_norms_by_rows_are_those_of_whole_weights(_folder: str) -> None:
    config = peft.LoraConfig(r=4, target_modules=["0"], use_dora=True)
    for width in (300, 5000):
        model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(width, 700)), config)
        layers_of_dora = [one for one in model.modules() if hasattr(one, "get_weight_norm")]
        assert layers_of_dora
        weight, change = torch.randn(700, width), torch.randn(width, 700).T
        for layer in layers_of_dora:
            whole = layer.get_weight_norm(weight, change, 1.7)
            seen: list[int] = []
            with counting(type(layer), seen), norms_by_rows(model):
                found = layer.get_weight_norm(weight, change, 1.7)
            assert torch.equal(found, whole)
            assert sum(seen) == 700, seen
            assert (len(seen) > 1) == (width == 5000), seen
            assert "get_weight_norm" not in vars(layer)


def check_a_dora_model_answers_the_same_with_norms_by_rows(_folder: str) -> None:
    config = peft.LoraConfig(r=4, target_modules=["0"], use_dora=True, init_lora_weights=False)
    model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(300, 700)), config).eval()
    rows = torch.randn(3, 300)
    whole = model(rows)
    with norms_by_rows(model):
        assert torch.equal(model(rows), whole)


def check_the_checksum_is_that_of_the_sums_of_blocks(_folder: str) -> None:
    for size in (0, 1, 8, 65_535, 65_536, 65_537, 300_001):
        data = os.urandom(size)
        wanted = 0
        for first in range(0, size, 65_536):
            block = data[first : first + 65_536].ljust(65_536, b"\0")
            wanted = zlib.crc32((sum(struct.unpack("<8192Q", block)) % 2**64).to_bytes(8, "little"), wanted)
        held = memoryview(bytearray(data))
        assert checksum.add_blocks(held) == wanted, size
        assert checksum.add_blocks(held[131_072:], checksum.add_blocks(held[:131_072])) == wanted, size


def check_units_in_the_last_place_are_those_of_the_next_value(_folder: str) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        info = torch.finfo(dtype)
        values = torch.cat([torch.randn(500).abs(), torch.tensor([1.0, 2.0, 0.5, info.tiny, info.max / 2])]).to(dtype)
        bits = torch.int32 if dtype == torch.float32 else torch.int16
        after = (values.view(bits) + 1).view(dtype)
        assert torch.equal(ulp(values.double(), dtype), after.double() - values.double()), dtype
        assert float(ulp(torch.zeros(1, dtype=torch.float64), dtype)) == info.tiny * info.eps


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    tools.run_checks({name: one for name, one in globals().items() if name.startswith("check_")})
