"""What a check says that it looked at, and what not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.diagnose.check import check
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path


def test_check_compares_an_adapter_with_the_base_that_it_finds(tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama_shapes())
    report = check(write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes())))
    assert (report.compared, report.not_compared) == (True, None)


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("no base", "no base found"),
        ("base without weights of an unknown family", "does not tell their shapes"),
        ("lengths of the method's own", "no tensors whose shapes the base gives"),
        ("inside a model", "among the weights of a model"),
    ],
)
def test_check_says_why_an_adapter_was_not_compared(case: str, why: str, tmp_path: Path) -> None:
    shapes = lora_shapes(llama_shapes())
    base = write_model(tmp_path / "base", llama_shapes(), llama_config(model_type="of-tomorrow"))
    if case == "no base":
        (tmp_path / "base").rename(tmp_path / "elsewhere")
    elif case == "base without weights of an unknown family":
        (base / "model.safetensors").unlink()
    elif case == "lengths of the method's own":
        shapes = {"base_model.model.model.layers.0.self_attn.q_proj.fourierft_spectrum": (1000,)}
    adapter = write_adapter(tmp_path / "adapter", shapes)
    if case == "inside a model":
        write_model(adapter, llama_shapes())
    report = check(adapter)
    assert report.compared is False
    assert report.not_compared is not None
    assert why in report.not_compared


@pytest.mark.parametrize(
    ("part", "shape"),
    [("ia3_l", (64, 1)), ("hada_w1_a", (64, 8)), ("hra_u", (64, 8)), ("vera_lambda_b", (64,)), ("oft_R", (8, 28))],
)
def test_check_compares_other_methods_whose_widths_are_the_bases(
    part: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    write_model(tmp_path / "base", llama_shapes())
    name = f"base_model.model.model.layers.0.self_attn.q_proj.{part}"
    assert check(write_adapter(tmp_path / "adapter", {name: shape})).compared is True


def test_check_of_a_model_has_nothing_to_compare_with(tmp_path: Path) -> None:
    report = check(write_model(tmp_path / "base", llama_shapes()))
    assert (report.compared, report.not_compared) == (None, None)
