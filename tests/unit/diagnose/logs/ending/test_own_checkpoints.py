"""What a script takes a checkpoint for, and what the file holds."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.ending.own_checkpoints import of_told_shapes, said_of_names
from tests.support.logs import answer

FRAME = 'Traceback (most recent call last):\n  File "/srv/llama/convert.py", line 40, in main\n    {}\n{}\n'

UNEQUAL = "RuntimeError: The size of tensor a ({}) must match the size of tensor b ({}) at non-singleton dimension {}"


@pytest.mark.parametrize(
    ("code", "line", "expected", "said"),
    [
        ("loaded = {k: v.contiguous() for k, v in loaded.items()}",
         "AttributeError: 'int' object has no attribute 'contiguous'", "foreign-format", "no tensor but `int`"),
        ("sd[name] = state_dict[name].half()", "AttributeError: 'OrderedDict' object has no attribute 'half'",
         "foreign-format", "one of them is a dictionary"),
        ("pre = torch.load(pretrained_checkpoint).state_dict()",
         "AttributeError: 'dict' object has no attribute 'state_dict'", "foreign-format", "as a whole model"),
        ("gptconf = checkpoint_dict['model_args']", "KeyError: 'model_args'", "foreign-format",
         "no entry `model_args`"),
        ("merged[k] = merged[k] + delta.T  # lora", UNEQUAL.format(128, 64, 1), "wrong-base-hidden-size",
         "an adapter's product"),
        ("raise ValueError(msg)", "ValueError: Checkpoint must contain 'model' key with state dict", "foreign-format",
         "no entry `model`"),
        ("raise KeyError(msg)", "KeyError: \"No 'config' in checkpoint\"", "foreign-format", "no entry `config`"),
        ("raise ValueError(msg)", "ValueError: 'optimizer' not found in the checkpoint", "foreign-format",
         "no entry `optimizer`"),
        ('hp = loaded["hyper_parameters"]', "KeyError: 'hyper_parameters'", "foreign-format",
         "no entry `hyper_parameters`"),
        ('n = reader.fields["llama.context_length"].parts[-1]', "KeyError: 'llama.context_length'",
         "model-of-another-kind", "no entry `llama.context_length`"),
        ('sd = ckpt["state_dict"] if "state_dict" in ckpt else ckpt',
         "TypeError: argument of type 'Net' is not iterable", "foreign-format", "a whole model (`Net`)"),
        ('del config["quantization_config"]', "KeyError: 'quantization_config'", "model-of-another-kind",
         "is not quantized"),
        ("assert model_map_json.is_file()", "AssertionError", "serving-limit", "only weights in parts"),
        ("return w.view(n, 2, d // n // 2, dim).transpose(1, 2)  # k_proj",
         "RuntimeError: shape '[4, 2, 4, 32]' is invalid for input of size 512", "serving-limit",
         "num_key_value_heads"),
        ("diff = w - base_sd[name]", UNEQUAL.format(64, 32, 1), "wrong-base-hidden-size", "(64 and 32)"),
        ("soup[k] = sum(wi * sd[k] for wi, sd in zip(w, sds))", UNEQUAL.format(2, 3, 0), "task-head",
         "another number of classes"),
    ],
)  # fmt: skip
def test_a_checkpoint_is_told_by_what_is_asked_of_it(code: str, line: str, expected: str, said: str) -> None:
    codes, text = answer(FRAME.format(code, line))
    assert codes == [expected]
    assert said in text


@pytest.mark.parametrize(
    "message", ["No checkpoint 'best' found in checkpoint/", "Checkpoint does not have 'vocab' file", "no 'x' in batch"]
)
def test_a_lost_file_is_no_lost_entry(message: str) -> None:
    told = said_of_names(message)
    assert told is None or told.code != "foreign-format"


def test_a_class_of_gguf_tells_whose_it_is() -> None:
    line = "AttributeError: 'GGUFWriter' object has no attribute 'add_vocab_size'"
    codes, text = answer(FRAME.format("writer.add_vocab_size(n)", line))
    assert (codes, "gguf" in text) == (["library-api-changed"], True)


def test_a_member_of_a_batch_is_no_checkpoint() -> None:
    codes, _ = answer(
        FRAME.format("ids = batch['ids'].shape", "AttributeError: 'list' object has no attribute 'shape'")
    )
    assert "foreign-format" not in codes


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("transformer.wte.weight: torch.Size([353, 32]) vs torch.Size([356, 32])", "vocab-mismatch"),
        ("Shape mismatch for classifier.weight: (2, 32) != (3, 32)", "task-head"),
        ("model.layers.0.mlp.up_proj.weight: [64, 32] vs [128, 64]", "wrong-base-hidden-size"),
        ("layers.0.weight: [64, 32] vs [64, 32]", None),
        ("took 3 of 5", None),
    ],
)
def test_two_shapes_are_told_by_the_name_and_the_axis(message: str, code: str | None) -> None:
    told = of_told_shapes(message)
    assert (None if told is None else told.code) == code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (
            "For checkpoint b.pt, expected list of params: ['a.weight'], but found: ['b.weight']",
            "model-of-another-kind",
        ),
        ("state dict keys do not match", "model-of-another-kind"),
        ("('Found {} checkpoint files but need at least {}', 1, 5)", "settings-refused"),
        ("20 tensors are not in the mapping, e.g. lm_head.weight", "serving-limit"),
        ("Unmapped key: transformer.h.0.attn.c_attn.weight", "serving-limit"),
        ("expected 2 rank files, found 1 in c", "missing-shard"),
        ("model is already quantized", "quantized-base-packed"),
        ("a key is not in the vault", None),
    ],
)
def test_what_is_said_of_names(message: str, code: str | None) -> None:
    told = said_of_names(message)
    assert (None if told is None else told.code) == code


def test_a_pickled_model_needs_the_module_of_its_class() -> None:
    site = '  File "/usr/lib/python3.11/site-packages/torch/serialization.py", line 2111, in find_class\n    return x\n'
    codes, text = answer(
        FRAME.format(
            "ckpt = torch.load(path, weights_only=False)", f"{site}ModuleNotFoundError: No module named 'model'"
        )
    )
    assert codes == ["package-missing"]
    assert "PYTHONPATH" in text
