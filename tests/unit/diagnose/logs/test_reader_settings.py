"""Arguments and settings that a script misspells, folders that it cannot write, and what a library raises of them."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.context.askers import by_a_script
from envpin.diagnose.logs.context.folders import explain_folder
from envpin.diagnose.logs.facts.arguments import explain
from tests.support.logs import codes

SITE = '  File "/x/lib/python3.11/site-packages/'
OWN = 'Traceback (most recent call last):\n  File "/home/user/train.py", line 20, in <module>\n    config = Make(\n'
PEFT = f'{SITE}peft/config.py", line 140, in from_peft_type\n    return config_cls(**kwargs)\n'
LOAD = f'{SITE}transformers/modeling_utils.py", line 4971, in from_pretrained\n    model = cls(config, **kwargs)\n'
MAKES = f'{SITE}transformers/trainer.py", line 693, in __init__\n    os.makedirs(self.args.output_dir, exist_ok=True)\n'
READS = f'{SITE}transformers/utils/hub.py", line 3, in f\n    with open(path) as file:\n'
UNEXPECTED = "TypeError: {}.__init__() got an unexpected keyword argument '{}'"


@pytest.mark.parametrize(
    ("owner", "argument", "before", "code", "says"),
    [
        ("LoraConfig", "lora_alfa", OWN, "settings-refused", "misspelt for `lora_alpha`"),
        ("LoraConfig", "lora_alfa", OWN + PEFT, "adapter-needs-newer-peft", "wrote the config"),
        ("TrainingArguments", "num_train_epoch", OWN, "settings-refused", "is `num_train_epochs` meant?"),
        ("SFTConfig", "packng", OWN, "settings-refused", "no `packng`"),
        ("LlamaForCausalLM", "low_cpu_mem_usages", OWN + LOAD, "settings-refused", "`low_cpu_mem_usage` is meant"),
    ],
)
def test_who_wrote_an_unknown_argument(owner: str, argument: str, before: str, code: str, says: str) -> None:
    line = UNEXPECTED.format(owner, argument)
    told = explain(line, before)
    assert told is not None
    told = by_a_script(told, line, before)
    assert says in told.says
    assert codes(f"{before}{line}\n") == [code]


def test_an_argument_of_a_model_that_is_like_none_is_not_called_misspelt() -> None:
    assert explain(UNEXPECTED.format("LlamaForCausalLM", "rope_kernel"), OWN + LOAD) is None
    assert explain(UNEXPECTED.format("LlamaForCausalLM", "low_cpu_mem_usages"), OWN) is None


@pytest.mark.parametrize(
    ("line", "before", "known"),
    [
        ("PermissionError: [Errno 13] Permission denied: '/data/out'", MAKES, True),
        ("FileExistsError: [Errno 17] File exists: 'out'", MAKES, True),
        ("OSError: [Errno 30] Read-only file system: 'out'", MAKES, True),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'model.bin'", READS, False),
        ("PermissionError: [Errno 13] Permission denied: '/data/out'", OWN, False),
    ],
)
def test_an_output_folder_that_cannot_be_written(line: str, before: str, known: bool) -> None:
    assert (explain_folder(line, before) is not None) == known


def test_what_a_library_raised_on_an_error_of_its_own_is_the_cause() -> None:
    log = (
        f"{OWN}{LOAD}    device = torch.device(name)\nRuntimeError: Expected one of cpu, cuda device type\n\n"
        f"During handling of the above exception, another exception occurred:\n\n{OWN}{LOAD}    raise ValueError(\n"
        "ValueError: `tp_plan` must be 'auto' or a dictionary\n"
    )
    assert codes(log) == ["settings-refused"]


@pytest.mark.parametrize("norm", ["0.387", "'1.5'", "2e-05"])
def test_gradients_that_are_logged_refute_that_none_are_required(norm: str) -> None:
    warning = "UserWarning: None of the inputs have requires_grad=True. Gradients will be None\n"
    assert codes(warning) == ["nothing-requires-grad"]
    assert codes(f"{warning}{{'loss': 0.69, 'grad_norm': {norm}}}\n") == []
    assert codes(f"{warning}{{'loss': 0.69, 'grad_norm': 0.0}}\n") == ["nothing-requires-grad"]


@pytest.mark.parametrize(
    "line", ["NameError: name 'label' is not defined", "AttributeError: 'Foo' object has no attribute 'x'"]
)
def test_a_function_of_the_script_that_a_library_called_is_the_scripts_own(line: str) -> None:
    calls = f'{SITE}transformers/trainer.py", line 4000, in evaluation_loop\n    metrics = self.compute_metrics(x)\n'
    own = '  File "/home/user/train.py", line 22, in compute_metrics\n    return preds == label\n'
    assert codes(f"{OWN}{calls}{own}{line}\n") == []


def test_a_launcher_that_passes_an_error_on_adds_nothing_to_it() -> None:
    own = f"{OWN}ValueError: set DATA_DIR first\n"
    launch = (
        f'Traceback (most recent call last):\n{SITE}accelerate/commands/launch.py", line 780, in simple_launcher\n'
        "    raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)\n"
        "subprocess.CalledProcessError: Command '['/usr/bin/python', 'train.py']' returned non-zero exit status 1.\n"
    )
    assert codes(own + launch) == []


@pytest.mark.parametrize(
    ("path", "code", "line", "expected"),
    [
        ("sentence_transformers/base/trainer.py", "set(dataset.column_names)",
         "'list' object has no attribute 'column_names'", "data-not-as-expected"),
        ("transformers/generation/utils.py", "inputs_tensor.shape[0]", "'list' object has no attribute 'shape'",
         "inputs-do-not-fit"),
        ("transformers/generation/utils.py", "assistant_model.config.vocab_size",
         "'str' object has no attribute 'config'", "settings-refused"),
    ],
)  # fmt: skip
def test_an_object_of_another_kind_is_told_by_what_is_asked_of_it(
    path: str, code: str, line: str, expected: str
) -> None:
    log = f'{OWN}{SITE}{path}", line 3, in f\n    x = {code}\nAttributeError: {line}\n'
    assert codes(log) == [expected]


def test_a_look_for_an_adapter_that_every_load_makes_is_no_adapter_that_is_not_there() -> None:
    log = (
        "'[Errno -2] Name or service not known' thrown while requesting HEAD "
        "https://huggingface.co/me/model/resolve/main/adapter_config.json\n"
    )
    assert codes(log) == ["base-not-found"]
