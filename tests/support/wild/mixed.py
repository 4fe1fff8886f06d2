"""A folder of forty adapters as they are met: of every trainer and era, ten of them damaged.

The first part was really written by its trainers (tests/data/wild, see `make.py`). The rest is made after the source of
what writes it, named beside each; peft's eras by the fields of its configs, as its wheels have them.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.wild.make import KEPT

if TYPE_CHECKING:
    from pathlib import Path

SHAPES = llama_shapes()
LORA = lora_shapes(SHAPES)
# The fields that peft's LoraConfig had from each release on.
_FIELDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("0.3.0", {"inference_mode": True, "fan_in_fan_out": False, "lora_dropout": 0.0, "modules_to_save": None,
               "init_lora_weights": True}),
    ("0.5.0", {"auto_mapping": None, "revision": None, "layers_to_transform": None, "layers_pattern": None}),
    ("0.6.0", {"rank_pattern": {}, "alpha_pattern": {}}),
    ("0.8.0", {"megatron_config": None, "megatron_core": "megatron.core", "loftq_config": {}, "use_rslora": False}),
    ("0.11.0", {"use_dora": False, "layer_replication": None}),
    ("0.14.0", {"eva_config": None, "exclude_modules": None, "lora_bias": False}),
    ("0.16.0", {"corda_config": None, "trainable_token_indices": None, "use_qalora": False, "qalora_group_size": 16}),
    ("0.18.0", {"target_parameters": None, "peft_version": "0.18.0", "alora_invocation_tokens": None,
                "arrow_config": None, "ensure_weight_tying": False}),
)  # fmt: skip


def make_forty(root: Path) -> None:
    """Fill `root`: a base for each part, and forty adapters."""
    shutil.copytree(KEPT, root / "real")
    made = root / "made"
    write_model(made / "base", SHAPES)
    _by_source(made)
    _eras(made)
    _damaged(root / "damaged")


def fields(version: str) -> dict[str, Any]:
    """The fields of a config that peft `version` wrote."""
    found: dict[str, Any] = {}
    for release, added in _FIELDS:
        found |= added
        if release == version:
            return found
    raise KeyError(version)


def _eras(root: Path) -> None:
    for release, _ in _FIELDS:
        _trained(write_adapter(root / f"peft-{release}", LORA, **fields(release)))


def _trained(folder: Path) -> Path:
    """With a value that is not zero, so that it does not look untrained."""
    path = folder / "adapter_model.safetensors"
    with path.open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x01")
    return folder


def _by_source(root: Path) -> None:
    current = fields("0.18.0")
    # axolotl, src/axolotl/train.py `create_model_card` over transformers' card, with the template of its own README.
    axolotl = _trained(write_adapter(root / "axolotl", LORA, **current))
    (axolotl / "README.md").write_text(
        "---\nlibrary_name: peft\ntags:\n- axolotl\n- base_model:adapter:base\n- lora\n- transformers\n---\n\n"
        '[<img src="https://raw.githubusercontent.com/axolotl-ai-cloud/axolotl/main/image/axolotl-badge-web.png" '
        'alt="Built with Axolotl" width="200" height="32"/>](https://github.com/axolotl-ai-cloud/axolotl)\n'
        "<details><summary>See axolotl config</summary>\n\naxolotl version: `0.12.2`\n```yaml\nbase_model: base\n"
        "adapter: lora\n```\n\n</details><br>\n\n### Framework versions\n\n- PEFT 0.18.0\n- Transformers 4.55.2\n"
    )
    # unsloth, unsloth/save.py `MODEL_CARD` of push_to_hub; auto_mapping as unsloth_zoo/peft_utils.py sets it.
    unsloth = root / "unsloth-pushed"
    _trained(write_adapter(unsloth, LORA, **{**current, "auto_mapping": {"base_model_class": "LlamaForCausalLM",
             "parent_library": "transformers.models.llama.modeling_llama", "unsloth_fixed": True}}))  # fmt: skip
    (unsloth / "README.md").write_text(
        "---\nbase_model: base\ntags:\n- text-generation-inference\n- transformers\n- unsloth\n- llama\n---\n\n"
        "This llama model was trained 2x faster with [Unsloth](https://github.com/unslothai/unsloth)\n"
    )
    # torchtune, torchtune/training/checkpointing/_checkpointer.py `FullModelHFCheckpointer.save_checkpoint`.
    torchtune = root / "torchtune" / "epoch_0"
    torchtune.mkdir(parents=True)
    (torchtune / "adapter_config.json").write_text(json.dumps({
        "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "peft_type": "LORA",
        "base_model_name_or_path": "base"}))  # fmt: skip
    source = _trained(write_adapter(root / "scratch", LORA))
    (source / "adapter_model.safetensors").rename(torchtune / "adapter_model.safetensors")
    shutil.rmtree(source)
    (torchtune / "adapter_model.pt").write_bytes(b"PK\x03\x04")
    # mlx-lm, mlx_lm/tuner/utils.py and mlx_lm/lora.py: its own names and its own config.
    mlx = root / "mlx"
    mlx.mkdir()
    (mlx / "adapter_config.json").write_text(json.dumps({"fine_tune_type": "lora", "model": "base", "num_layers": 2,
                                                         "lora_parameters": {"rank": 8, "scale": 20.0}}))  # fmt: skip
    _trained(write_adapter(root / "scratch", LORA))
    (root / "scratch" / "adapter_model.safetensors").rename(mlx / "adapters.safetensors")
    shutil.rmtree(root / "scratch")
    # ms-swift 2, swift/llm/sft.py: sft_args.json beside the checkpoint.
    swift = _trained(write_adapter(root / "swift2" / "v3-20240601-101500" / "checkpoint-40", LORA, **fields("0.11.0")))
    (swift / "sft_args.json").write_text(json.dumps({"model_type": "llama", "sft_type": "lora", "template_type": "x"}))
    # AutoTrain 0.7.13 to 0.7.61, src/autotrain/trainers/clm/utils.py: embeddings padded to a multiple of 8.
    padded = {"base_model.model.model.embed_tokens.weight": (328, 64), "base_model.model.lm_head.weight": (328, 64)}
    autotrain = _trained(write_adapter(root / "autotrain-2024-04", LORA | padded, **fields("0.8.0")))
    (autotrain / "training_params.json").write_text(json.dumps({"project_name": "autotrain-2024-04", "model": "base"}))
    (autotrain / "README.md").write_text("---\ntags:\n- autotrain\n---\n\n# Model Trained Using AutoTrain\n")
    # Recorded by envpin: of its manifest only what a scan tells.
    recorded = _trained(write_adapter(root / "recorded", LORA, **current))
    (recorded / "envpin.json").write_text(json.dumps({"schema": 1, "distributions": [
        {"name": "peft", "version": "0.18.0"}, {"name": "torch", "version": "2.9.0"},
        {"name": "transformers", "version": "4.57.1"}]}))  # fmt: skip


def _damaged(root: Path) -> None:
    write_model(root / "base", SHAPES)
    write_model(root / "wide", llama_shapes(hidden=128, kv=64), llama_config(hidden_size=128))

    def adapter(name: str, shapes: dict[str, tuple[int, ...]] | None = None, **config: Any) -> Path:
        found = write_adapter(root / name, LORA if shapes is None else shapes, **{**fields("0.14.0"), **config})
        return _trained(found) / "adapter_model.safetensors"

    cut = adapter("cut-off")
    cut.write_bytes(cut.read_bytes()[:-100])
    adapter("pointer").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 13648432\n"
    )
    adapter("web-page").write_bytes(b"<!DOCTYPE html><html><body>Please log in</body></html>")
    adapter("empty").write_bytes(b"")
    (adapter("broken-config").parent / "adapter_config.json").write_text('{"r": 8, ')
    adapter("no-weights").unlink()
    lost = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"
    adapter("half-a-pair", {name: shape for name, shape in LORA.items() if name != lost})
    adapter("other-base", base="wide")
    write_adapter(root / "zero-3", dict.fromkeys(LORA, (0,)), **fields("0.14.0"))
    adapter("other-rank", r=64)
