"""Converters and trainers that look up tensors, models and settings by names of their own."""

from __future__ import annotations

import pytest

from tests.support.logs import SITE, answer

HEAD = "Traceback (most recent call last):\n"


def log_of(path: str, function: str, code: str, error: str) -> str:
    return f'{HEAD}  File "/srv/{path}", line 40, in {function}\n    {code}\n{error}\n'


TENSORS = (
    ("convert_qwen.py", "main", "to_name = weight_map[name]", "KeyError: 'model.layers.{}.self_attn.q_norm.weight'",
     "serving-limit", "Qwen3"),
    ("neox/convert_hf.py", "main", "out[i] = hf[f'gpt_neox.layers.{i}.mlp.dense.weight']",
     "KeyError: 'gpt_neox.layers.6.mlp.dense.weight'", "settings-refused", "it has 6 layers"),
    ("convert_bert.py", "main", "out['p'] = sd['bert.pooler.dense.bias']", "KeyError: 'bert.pooler.dense.bias'",
     "settings-refused", "pairs of sentences"),
    ("convert_bert.py", "main", "out['p'] = sd['bert.embeddings.word_embeddings.weight']",
     "KeyError: 'bert.embeddings.word_embeddings.weight'", "model-of-another-kind", "a name of BERT"),
    ("convert_llama.py", "main", 'out["wte"] = loaded["tok_embeddings.weight"]', "KeyError: 'tok_embeddings.weight'",
     "foreign-format", "Meta's own Llama files"),
    ("convert_lit.py", "main", "sd['lm_head.weight'] = hf['lm_head.weight']", "KeyError: 'lm_head.weight'",
     "serving-limit", "tied"),
    ("merge_lora.py", "merge", "weight += model_checkpoint[name]",
     "KeyError: 'base_model.model.model.layers.0.self_attn.q_proj.weight'", "foreign-format", "as peft does"),
    ("merge.py", "main", "w[lora_M] = w[lora_M].to(device)", "KeyError: 'blocks.0.att.receptance.lora_M'",
     "settings-refused", "an adapter of DoRA"),
    ("export_gpt.py", "load", "new = mapping[k]", "KeyError: '_orig_mod.transformer.wte.weight'", "compile-prefix",
     "_orig_mod"),
    ("convert_hf.py", "permute", "w.view(n_head, 2, head_dim // 2, dim)",
     "RuntimeError: shape '[6, 2, 24, 288]' is invalid for input of size 4096", "settings-refused", "82944"),
    ("convert_hf.py", "main", 'with open(os.path.join(path, "pytorch_model.bin.index.json")) as f:',
     "FileNotFoundError: [Errno 2] No such file or directory: 'm/pytorch_model.bin.index.json'", "serving-limit",
     "in parts, with an index"),
)  # fmt: skip
NAMES = (
    ("gpt/model.py", "from_name", "return cls(**transformer_configs[config[0]])", "IndexError: list index out of range",
     "settings-refused", "list of models"),
    ("train_gpt.py", "main", "model = MODEL_REGISTRY[args.model](cfg)", "KeyError: 'llama3'", "settings-refused",
     "`llama3`"),
    ("nanoGPT/model.py", "from_pretrained", "assert model_type in {'gpt2', 'gpt2-xl'}", "AssertionError",
     "settings-refused", "`model_type`"),
    ("nanoGPT/model.py", "__init__", "assert config.n_embd % config.n_head == 0", "AssertionError", "settings-refused",
     "a multiple of `config.n_head`"),
    ("nanoGPT/model.py", "from_pretrained", "assert len(sd_keys_hf) == len(sd_keys)",
     "AssertionError: mismatched keys: 29 != 149", "wrong-base-layers", "29 tensors"),
    ("nanoGPT/train.py", "<module>", "exec(open('configurator.py').read())",
     '  File "<string>", line 47, in <module>\nValueError: Unknown config key: learnig_rate', "settings-refused",
     "`learnig_rate`"),
)  # fmt: skip


@pytest.mark.parametrize("case", TENSORS + NAMES)
def test_a_name_that_a_script_looks_up_tells_the_cause(case: tuple[str, str, str, str, str, str]) -> None:
    *log, expected, said = case
    codes, text = answer(log_of(*log))
    assert codes == [expected]
    assert said in text


def test_a_loader_of_a_server_is_asked_by_its_wording() -> None:
    frame = f'  File "{SITE}/vllm/models/llama.py", line 4, in load_weights\n    param = params_dict[name]\n'
    codes, _ = answer(f"{HEAD}{frame}KeyError: 'model.layers.0.mlp.gate_up_proj.weight'\n")
    assert codes == ["architecture-drift"]
