"""The recogniser of formats: each foreign tool by the files that it writes, and never peft's own."""

from __future__ import annotations

import ast
import json
import shlex
from typing import TYPE_CHECKING

import pytest

from envpin.core.adapter_format import foreign_format, foreign_model
from tests.support.checkpoints import header_bytes
from tests.support.places import DATA

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PEFT = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"], "base_model_name_or_path": "a/b"}
MLX = {"fine_tune_type": "lora", "lora_parameters": {"rank": 8}, "model": "mlx-community/X-4bit", "num_layers": 4}
ROBOT = {"policy": {"type": "smolvla"}, "dataset": {"repo_id": "a/b"}, "steps": 20000}
KOHYA = {"lora_unet_down_blocks_0_proj.lora_down.weight": (4, 8), "lora_te1_text_model_fc1.lora_up.weight": (8, 4)}
LYCORIS = {"lora_unet_down_blocks_0_proj.hada_w1_a": (4, 8)}
PARTS = {"transformer.single_blocks.0.attn.to_k.lora_A.weight": (4, 8)}
COMFY = {"diffusion_model.blocks.0.cross_attn.k.lora_B.weight": (8, 4)}
RENAMED = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": (4, 8)}
UNET = {"down_blocks.0.attentions.0.proj_in.weight": (8, 8)}


def weights(tensors: Mapping[str, tuple[int, ...]]) -> bytes:
    return header_bytes(tensors, "F32")[0]


GGUF = (
    b"GGUF\x03\x00\x00\x00"
    + bytes(16)
    + b"\x0c\x00\x00\x00\x00\x00\x00\x00general.type\x08\x00\x00\x00\x07"
    + bytes(7)
    + b"adapter"
)
Files = dict[str, object]


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / name).write_bytes(data)
    return folder


FOREIGN: dict[str, tuple[str, Files]] = {
    "mlx": ("mlx-lm", {"adapter_config.json": MLX, "adapters.safetensors": b""}),
    "mlx, old": ("mlx-lm", {"adapter_config.json": {"lora_layers": 16, "model": "m"}, "adapters.npz": b"PK"}),
    "mlx, no config": ("mlx-lm", {"adapters.safetensors": b""}),
    "lerobot on peft's files": (
        "lerobot", {"adapter_config.json": PEFT, "adapter_model.safetensors": b"", "train_config.json": ROBOT}),
    "lerobot by its library": ("lerobot", {"adapter_config.json": PEFT | {
        "auto_mapping": {"base_model_class": "SmolVLAPolicy", "parent_library": "lerobot.policies.smolvla"}}}),
    "diffusers": ("diffusers", {"pytorch_lora_weights.safetensors": b""}),
    "adapterhub": ("adapter-hub", {"adapter_config.json": {
        "config": {"architecture": "lora"}, "hidden_size": 768, "model_class": "BertAdapterModel",
        "model_name": "bert-base-uncased", "version": "adapters.1.0.0"}, "pytorch_adapter.bin": b""}),
    "gguf": ("gguf", {"lora-f16.gguf": GGUF}),
    "torchtune": ("torchtune", {"adapter_0.pt": b"PK", "config.json": {"model_type": "llama"}}),
    "mlx, weights renamed": ("mlx-lm", {"adapter_config.json": MLX, "adapter_model.safetensors": b""}),
    "mlx-vlm": ("mlx-lm", {"adapter_config.json": {"model_path": "m", "lora_alpha": 16}, "adapters.safetensors": b""}),
    "kohya": ("kohya", {"mychar-v2.safetensors": weights(KOHYA)}),
    "kohya, several": ("kohya", {"a-000001.safetensors": weights(KOHYA), "a-000002.safetensors": weights(KOHYA)}),
    "kohya by its metadata": ("kohya", {
        "a.safetensors": bytes(8) + b'{"__metadata__":{' + b'"t":"x",' * 9000 + b'"ss_network_dim":"8"}}'}),
    "lycoris": ("kohya", {"style.safetensors": weights(LYCORIS)}),
    "flux, by parts": ("diffusers", {"style.safetensors": weights(PARTS), "config.yaml": b"job: extension"}),
    "comfy": ("diffusers", {"wan.safetensors": weights(COMFY)}),
    "nemo": ("nemo", {"megatron_gpt_peft_lora_tuning.nemo": b""}),
    "litgpt": ("litgpt", {"lit_model.pth.lora": b"PK", "hyperparameters.yaml": b"lora_r: 8"}),
    "litgpt's adapters": ("litgpt", {"lit_model.pth.adapter_v2": b"PK"}),
}  # fmt: skip
OWN: dict[str, Files] = {
    "peft": {"adapter_config.json": PEFT, "adapter_model.safetensors": b""},
    "peft, only the config": {"adapter_config.json": PEFT},
    "peft without its type": {"adapter_config.json": {k: v for k, v in PEFT.items() if k != "peft_type"}},
    "peft, converted to mlx too": {"adapter_config.json": PEFT, "adapter_model.safetensors": b"", "adapters.npz": b""},
    "torchtune in peft's format": {"adapter_config.json": PEFT, "adapter_model.safetensors": b"", "adapter_0.pt": b""},
    "sentence-transformers": {"adapter_config.json": PEFT, "adapter_model.safetensors": b"", "modules.json": []},
    "unsloth": {"adapter_config.json": PEFT | {"unsloth_version": "2025.1"}, "adapter_model.safetensors": b""},
    "a model": {"config.json": {"model_type": "llama"}, "model.safetensors": b"", "model.gguf": GGUF},
    "a model in gguf": {"model-q4.gguf": b"GGUF\x03" + bytes(40) + b"general.architecture llama"},
    "peft's tensors under another name": {"my_lora.safetensors": weights(RENAMED)},
    "peft's own, and one for diffusers": {
        "adapter_config.json": PEFT, "adapter_model.safetensors": b"", "pytorch_lora_weights.safetensors": b""},
    "a part of a pipeline": {"config.json": {}, "diffusion_pytorch_model.safetensors": weights(UNET)},
    "an embedding": {"learned_embeds.safetensors": weights({"<cat>": (1, 8)})},
    "a run's state": {"trainer_state.json": {}, "train_config.json": ROBOT},
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_format_is_named_by_its_tool(tmp_path: Path, kind: str) -> None:
    expected, files = FOREIGN[kind]
    found = foreign_format(write(tmp_path, files))
    assert found is not None
    assert found.id == expected
    assert found.tool in found.words
    assert found.next_step


@pytest.mark.parametrize("kind", OWN)
def test_what_peft_can_load_is_never_foreign(tmp_path: Path, kind: str) -> None:
    assert foreign_format(write(tmp_path, OWN[kind])) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe{\x00", b"[]", b"null", b'{"peft_type": NaN}', bytes(100)])
def test_a_damaged_config_names_no_tool_without_another_sign(tmp_path: Path, damage: bytes) -> None:
    write(tmp_path, {"adapter_config.json": damage, "adapter_model.safetensors": b""})
    assert foreign_format(tmp_path) is None


def test_the_root_of_nemo_2_is_nemo_s(tmp_path: Path) -> None:
    for name in ("weights", "context"):
        (tmp_path / name).mkdir()
    assert foreign_format(tmp_path) is None
    (tmp_path / "weights" / "adapter_metadata.json").write_text("{}")
    found = foreign_format(tmp_path)
    assert found is not None
    assert found.id == "nemo"


def test_a_folder_in_place_of_a_file_is_no_config(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").mkdir()
    (tmp_path / "x.gguf").mkdir()
    assert foreign_format(tmp_path) is None


def test_the_base_of_an_mlx_adapter_is_its_key_model() -> None:
    found = foreign_format(DATA / "cases" / "check" / "mlx-adapter" / "adapters")
    assert found is not None
    assert found.base == "mlx-community/Qwen3-4B-4bit"


def test_a_step_names_the_folder_and_is_a_command_or_a_call(tmp_path: Path) -> None:
    folder = tmp_path / "my adapter's"
    folder.mkdir()
    mlx = foreign_format(write(folder, {"adapter_config.json": MLX | {"model": "a; rm -rf b"}, "adapters.npz": b""}))
    assert mlx is not None
    words = shlex.split(mlx.step(folder))
    assert words == ["mlx_lm.fuse", "--model", "a; rm -rf b", "--adapter-path", str(folder), "--save-path", "MERGED"]
    (folder / "adapters.npz").unlink()
    (folder / "adapter_config.json").unlink()
    picture = foreign_format(write(folder, {"it's.safetensors": weights(KOHYA)}))
    assert picture is not None
    call = picture.step(folder).removeprefix("with diffusers: ").split(", pipe.")[0]
    parsed = ast.parse(call, mode="eval").body
    assert isinstance(parsed, ast.Call)
    assert ast.literal_eval(parsed.args[0]) == str(folder)
    assert ast.literal_eval(parsed.keywords[0].value) == "it's.safetensors"


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"type": "act", "input_features": {}, "output_features": {}}, "a policy of LeRobot (`act`)"),
        ({"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.35.1"}, "a part of a diffusers pipeline"),
        ({"_class_name": "X", "_diffusers_version": "0.35.1", "model_type": "clip_text_model"}, None),
        ({"type": "act", "input_features": {}, "output_features": {}, "architectures": ["A"]}, None),
        ({"type": "act"}, None),
        ({}, None),
    ],
)
def test_a_model_that_transformers_has_no_class_for_is_named(config: dict[str, object], what: str | None) -> None:
    found = foreign_model(config)
    assert (found is None) if what is None else (found is not None and found.words.startswith(what))
