"""Models of another kind than a program takes, by what its code asks of them and by how it refuses them."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.context.kinds import explain_kind
from tests.support.logs import SITE, answer, codes

HEAD = "Traceback (most recent call last):\n"
KIND = "model-of-another-kind"
TORCH = f'  File "{SITE}/torch/nn/modules/module.py", line 1930, in __getattr__\n    raise AttributeError(\n'


def script(code: str, *below: str, path: str = "prune_llm/run.py") -> str:
    return f'{HEAD}  File "/home/user/{path}", line 7, in main\n    {code}\n{"".join(below)}'


ASKED = (
    ("layers = model.bert.encoder.layer", "AttributeError: 'DistilBertModel' object has no attribute 'bert'", "`bert`"),
    ("x = model.transformer.h[3]", "AttributeError: 'LlamaForCausalLM' object has no attribute 'transformer'", "llama"),
    ("q = block.attn.q_proj", "AttributeError: 'GPT2Attention' object has no attribute 'q_proj'", "`gpt2`"),
    ("p = out.pooler_output", "AttributeError: 'BaseModelOutput' object has no attribute 'pooler_output'", "no pooler"),
    ("h = out.last_hidden_state",
     "AttributeError: 'CausalLMOutputWithPast' object has no attribute 'last_hidden_state'", "with a head"),
    ("loss = model(**batch).loss", "TypeError: BertModel.forward() got an unexpected keyword argument 'labels'",
     "without a head"),
    ("out = model(**batch)",
     "TypeError: LlamaForCausalLM.forward() got an unexpected keyword argument 'decoder_input_ids'",
     "an encoder-decoder"),
    ("text = tokenizer.bos_token + text", "TypeError: unsupported operand type(s) for +: 'NoneType' and 'str'",
     "`bos_token`"),
    ("at = (ids == tokenizer.mask_token_id).nonzero()", "AttributeError: 'bool' object has no attribute 'nonzero'",
     "`mask_token_id`"),
    ('batch["input_ids"][i] = torch.tensor(', "RuntimeError: Could not infer dtype of NoneType", "bos_token_id"),
    ("layers = NAMES[model.config.model_type]", "KeyError: 'gpt_neox'", "`gpt_neox`"),
    ("assert isinstance(model, LlamaForCausalLM)", "AssertionError", "`LlamaForCausalLM`"),
    ("raise NotImplementedError(type(model))",
     "NotImplementedError: <class 'transformers.models.gpt2.modeling_gpt2.GPT2LMHeadModel'>", "GPT2LMHeadModel"),
    ("raise ValueError(", "ValueError: model type ['T5ForConditionalGeneration'] is not supported.", "T5For"),
    ("raise ValueError(", "ValueError: Model type bloom is not supported. Must be one of ['bert']", "bloom"),
)  # fmt: skip


@pytest.mark.parametrize(("code", "error", "said"), ASKED, ids=[one[1] for one in ASKED])
def test_what_a_script_asks_of_a_model_tells_of_which_kind_it_is(code: str, error: str, said: str) -> None:
    below = TORCH if "object has no attribute" in error and "Output" not in error else ""
    named, text = answer(f"{script(code, below)}{error}\n")
    assert named == [KIND]
    assert said in text


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("x = model.language_model", "AttributeError: 'Gemma3Model' object has no attribute 'language_model'"),
        ("x = model.rotary_emb", "AttributeError: 'LlamaAttention' object has no attribute 'rotary_emb'"),
        ("x = self.model", "AttributeError: 'Trainer' object has no attribute 'model'"),
        ("x = row['label'] + 1", "TypeError: unsupported operand type(s) for +: 'NoneType' and 'int'"),
        ("model = load()", "ValueError: GPT2LMHeadModel does not support Flash Attention 2.0 yet"),
        ("save(model)", "ValueError: Unsupported model format: zip"),
    ],
)
def test_what_a_release_or_a_setting_may_cause_is_left_to_others(code: str, error: str) -> None:
    assert explain_kind(error, script(code) + error) is None


def test_a_missing_pad_token_is_a_setting() -> None:
    line = "TypeError: full(): argument 'fill_value' (position 2) must be Number, not NoneType"
    assert codes(f"{script('torch.full((n, m), tokenizer.pad_token_id)')}{line}\n") == ["settings-refused"]


def test_a_converter_that_refuses_a_model_is_a_limit_of_its_own() -> None:
    line = "NotImplementedError: Model type gpt_neox not supported"
    assert codes(f"{script('raise NotImplementedError(', path='llm/convert_to_onnx.py')}{line}\n") == ["serving-limit"]


@pytest.mark.parametrize(
    ("own", "other", "code"),
    [
        ("distilbert", "bert", KIND),
        ("resnet", "vit", KIND),
        ("roberta", "xlm-roberta", "architecture-drift"),
        ("llava", "llava_llama", "architecture-drift"),
    ],
)
def test_a_model_made_of_another_type(own: str, other: str, code: str) -> None:
    assert codes(f"You are using a model of type {own} to instantiate a model of type {other}.\n") == [code]


@pytest.mark.parametrize(
    ("name", "task", "known"),
    [
        ("T5ForConditionalGeneration", "text-generation", True),
        ("GPT2LMHeadModel", "question-answering", True),
        ("PeftModelForCausalLM", "text-generation", False),
        ("Qwen2ForCausalLM", "text-generation", False),
    ],
)
def test_a_pipeline_that_goes_on_with_a_model_of_another_task(name: str, task: str, known: bool) -> None:
    line = f"The model '{name}' is not supported for {task}. Supported models are ['BartForCausalLM'].\n"
    assert codes(line) == ([KIND] if known else [])


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ("h.0.attn.c_proj", "adapter-tensors-missing"),
        ("layers.4.self_attn.q_proj", "adapter-tensors-missing"),
        ("layers.0.self_attn.q_proj", "unmatched-adapter-keys"),
    ],
)
def test_adapter_keys_that_are_missing_for_some_modules_are_told_from_other_names(keys: str, code: str) -> None:
    some = ", ".join(f"'base_model.model.model.{keys}.lora_{half}.default.weight'" for half in "AB")
    assert codes(f"UserWarning: Found missing adapter keys while loading the checkpoint: [{some}].\n") == [code]


ITEM = f'  File "{SITE}/transformers/utils/generic.py", line 582, in __getitem__\n    return self.to_tuple()[k]\n'
LOSS = f'  File "{SITE}/transformers/loss/loss_utils.py", line 72, in ForMaskedLMLoss\n    loss = cross_entropy(\n'


@pytest.mark.parametrize(
    ("code", "below", "error", "named"),
    [
        ("pooled = self.bert(ids, mask)[1]", ITEM, "IndexError: tuple index out of range", [KIND]),
        ("x = outputs[0]", ITEM, "IndexError: tuple index out of range", []),
        ("trainer.train()", LOSS, "ValueError: Expected input batch_size (32) to match target batch_size (4).", [KIND]),
        ("trainer.train()", LOSS, "ValueError: Expected input batch_size (30) to match target batch_size (4).", []),
    ],
)
def test_parts_and_answers_that_only_other_classes_give(code: str, below: str, error: str, named: list[str]) -> None:
    told = explain_kind(error, f"{script(code, below)}{error}")
    assert ([] if told is None else [told.code]) == named


PEFT = f'  File "{SITE}/peft/peft_model.py", line 1900, in __init__\n    self.base_model_prepare_inputs = (\n'
NO_GENERATION = "AttributeError: '{}' object has no attribute 'prepare_inputs_for_generation'"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (NO_GENERATION.format("BertForSequenceClassification"), KIND),
        (NO_GENERATION.format("Qwen2Model"), KIND),
        (NO_GENERATION.format("BloomForCausalLM"), None),
        ("TypeError: WhisperForConditionalGeneration.forward() got an unexpected keyword argument 'input_ids'",
         "settings-refused"),
    ],
)  # fmt: skip
def test_a_task_that_peft_was_told_is_not_that_of_the_model(line: str, named: str | None) -> None:
    told = explain_kind(line, f"{script('model = get_peft_model(model, config)', PEFT)}{line}")
    assert (None if told is None else told.code) == named


def test_a_program_that_prints_which_models_it_takes_is_no_converter() -> None:
    line = "[ERROR] Architecture GPT2LMHeadModel is not supported by this script"
    assert codes(f"Loading checkpoint shards\n{line}\n") == [KIND]


@pytest.mark.parametrize(("owner", "known"), [("T5TokenizerFast", True), ("NllbTokenizerFast", False)])
def test_a_method_of_the_tokenizers_of_other_families(owner: str, known: bool) -> None:
    line = f"AttributeError: '{owner}' object has no attribute 'lang_code_to_id'"
    assert (explain_kind(line, f"{script('x = tokenizer.lang_code_to_id[args.tgt]')}{line}") is not None) == known


@pytest.mark.parametrize(
    ("file", "name"), [("feature_extraction_utils", "attention_mask"), ("tokenization_utils_base", "token_type_ids")]
)
def test_what_a_processor_of_another_family_does_not_give(file: str, name: str) -> None:
    below = f'  File "{SITE}/transformers/{file}.py", line 87, in __getitem__\n    return self.data[item]\n'
    assert codes(f"{script(f'mask = inputs.{name}', below)}KeyError: '{name}'\n") == [KIND]


@pytest.mark.parametrize(("owner", "known"), [("LlamaModel", True), ("VisionEncoderDecoderModel", False)])
def test_a_model_without_a_head_generates_nothing(owner: str, known: bool) -> None:
    line = f"AttributeError: '{owner}' object has no attribute 'generate'"
    assert (explain_kind(line, f"{script('out = model.generate(**inputs)')}{line}") is not None) == known
