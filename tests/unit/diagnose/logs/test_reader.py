"""Every signature's own sample is recognised as what it says, in every disguise that logs put on."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest

from envpin.core.findings import SEVERITY_ORDER
from envpin.diagnose.catalogue.catalogue import load_catalogue
from envpin.diagnose.logs.reader import diagnose_log
from envpin.diagnose.logs.said_better import SAID_BETTER
from envpin.diagnose.logs.signatures.signature import load_signatures
from tests.support.logs import codes, diagnose

if TYPE_CHECKING:
    from envpin.diagnose.logs.signatures.signature import Signature

CASES = [pytest.param(one, id=f"{one.code}:{one.anchor[:20]}") for one in load_signatures()]

# A line that speaks of backticks and braces, and says nothing without them.
OF_BACKTICKS = "Exception: expected `,` or `}` at line 219 column 7"


def expected_of(signature: Signature) -> list[str]:
    """Its code; where the line leaves two causes open, one of which is a warning, both."""
    same = [one for one in load_signatures() if one.sample == signature.sample]
    if not any(one.severity == "warning" for one in same):
        return [signature.code]
    severity = {one.code: one.severity or load_catalogue()[one.code].severity for one in same}
    return sorted(severity, key=lambda code: SEVERITY_ORDER[severity[code]])


def test_no_release_takes_the_end_of_its_sentence_along() -> None:
    """`which requires 2.41.1.`: the last dot is the sentence's, and would stand in a command."""
    for one in load_signatures():
        found = re.search(one.pattern, one.sample)
        values = found.groupdict().values() if found is not None else ()
        assert not [value for value in values if value and re.fullmatch(r"\d[\d.]*\.", value)], one.anchor


@pytest.mark.parametrize("signature", CASES)
def test_its_sample_is_recognised(signature: Signature) -> None:
    assert signature.code in load_catalogue()
    context = f'  File "site-packages/{signature.after}/x.py", line 1\n' if signature.after else ""
    plain = f"{context}{signature.sample}\n"
    if signature.in_field:
        assert codes(plain) == [], "any program may print it"
        plain = f"import transformers\n{plain}"
    assert codes(plain) == expected_of(signature)
    assert codes(plain.replace("\n", "\r\n")) == expected_of(signature)
    if signature.sample != OF_BACKTICKS:
        assert codes(plain.replace("`", "")) == expected_of(signature), "pages that show Markdown take backticks away"
    assert codes(plain.replace(" ", " \x1b[31m", 1).replace(".", "\x1b[0m.", 1)) == expected_of(signature)
    assert codes("".join(f"[rank{rank}]: {line}\n" for line in plain.splitlines() for rank in range(2))) == expected_of(
        signature
    )
    assert codes(b"\xff\xfe" + plain.encode("utf-16-le")) == expected_of(signature)
    alone = diagnose_log(io.BytesIO(plain.encode()), (signature,))
    assert [one.code for one in alone.findings] == [signature.code], "another signature recognised its sample"


SIZE = (
    "size mismatch for {}: copying a param with shape torch.Size({}) from checkpoint, "
    "the shape in current model is torch.Size({})."
)


@pytest.mark.parametrize(
    ("name", "found", "expected", "code"),
    [
        ("base_model.model.model.embed_tokens.weight", [32001, 4096], [32000, 4096], "vocab-grown"),
        ("base_model.model.lm_head.weight", [151665, 3584], [152064, 3584], "vocab-shrunk-padded"),
        ("base_model.model.lm_head.weight", [321, 64], [384, 64], "padding-mismatch"),
        ("base_model.model.lm_head.weight", [32000, 64], [32001, 64], "vocab-mismatch"),
        ("base_model.model.model.embed_tokens.weight", [151665, 3584], [128256, 4096], "wrong-base-hidden-size"),
        (
            "base_model.model.model.layers.0.mlp.gate_proj.lora_B.default.weight",
            [0],
            [14336, 16],
            "empty-tensors-zero3",
        ),
        (
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
            [16, 4096],
            [8, 4096],
            "rank-mismatch",
        ),
        (
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
            [8, 64],
            [8, 128],
            "wrong-base-hidden-size",
        ),
        ("model.layers.0.self_attn.q_proj.weight", [4096, 4096], [8388608, 1], "quantized-base-packed"),
        ("model.layers.0.mlp.experts.gate_up_proj", [64, 128], [128, 64], "moe-layout"),
        ("classifier.weight", [3, 768], [2, 768], "task-head"),
    ],
)
def test_shapes_tell_the_cause(name: str, found: list[int], expected: list[int], code: str) -> None:
    assert codes(SIZE.format(name, found, expected)) == [code]
    table = f"{name} | MISMATCH | Reinit due to size mismatch ckpt: torch.Size({found}) vs model:torch.Size({expected})"
    assert codes(table) == [code]


def test_four_hundred_lines_have_one_cause() -> None:
    text = "\n".join(
        SIZE.format(
            f"base_model.model.model.layers.{at}.self_attn.q_proj.lora_A.default.weight", [16, 3584], [16, 4096]
        )
        for at in range(400)
    )
    found = diagnose(f"RuntimeError: Error(s) in loading state_dict:\n{text}\n")
    assert [one.code for one in found.findings] == ["wrong-base-hidden-size"]
    assert len(found.mismatches) == 400
    assert found.findings[0].evidence[0].line == 2


def test_several_errors_of_one_log_are_all_named() -> None:
    # a notebook's head of a traceback makes all that follows it a part of that
    some = [one for one in load_signatures() if one.after is None and "Traceback (" not in one.sample][::4]
    # frames of the sample before are no frames of an error
    text = "import transformers\n" + ("\n" + "noise\n" * 15).join(one.sample for one in some)
    said_better = {*SAID_BETTER}
    of_another_meaning_in_a_training = {"vocab-rows-not-saved", "task-head"}
    assert set(codes(text)) >= {one.code for one in some} - said_better - of_another_meaning_in_a_training


def test_lines_of_one_code_that_say_different_things_are_findings_of_their_own() -> None:
    lines = [
        "ImportError: cannot import name 'HfFolder' from 'huggingface_hub'",
        "TypeError: SFTConfig.__init__() got an unexpected keyword argument 'max_seq_length'",
        "ImportError: cannot import name 'HfFolder' from 'huggingface_hub'",
    ]
    found = diagnose("\n".join(lines)).findings
    assert [one.code for one in found] == ["library-api-changed"] * 2
    assert [one.evidence[0].line for one in found] == [1, 2], "as the log has them"
    assert ("HfFolder" in found[0].message, "(2 lines)" in found[0].message) == (True, True)
    assert ("SFTConfig" in found[1].message, "line" in found[1].message) == (True, False)


def test_a_line_that_two_signatures_know_is_one_line() -> None:
    (found,) = diagnose("ImportError: /x/flash_attn_2_cuda.so: undefined symbol: _ZN3c104cuda9SetDeviceEi").findings
    assert "lines)" not in found.message


def test_so_many_different_things_are_said_of_one_code_and_the_rest_in_the_catalogues_words() -> None:
    names = ("HfFolder", "cached_download", "Repository", "list_metrics", "hf_hub_url_x")
    text = "\n".join(f"ImportError: cannot import name '{name}' from 'huggingface_hub'" for name in names)
    found = [one for one in diagnose(text).findings if one.code == "library-api-changed"]
    assert 2 <= len(found) <= 4
    assert sum(len(one.evidence) for one in found) >= 4


def test_nothing_is_said_about_nothing() -> None:
    assert codes("") == []
    assert codes(b"\x00\xff\xfe" * 1000) == []
    assert codes("Traceback (most recent call last):\nValueError: nope\n") == []


def test_a_line_that_was_wrapped_is_read_as_one() -> None:
    found = diagnose_log(io.BytesIO(
        b"\tsize mismatch for base_model.model.lm_head.weight: copying a param with shape torch.Size([32001, 64])\n"
        b"from checkpoint, the shape in current\r\nmodel is torch.Size([32000, 64]).\nand more\n"
    ))  # fmt: skip
    assert [one.code for one in found.findings] == ["vocab-grown"]
    assert [(one.parameter, one.found, one.expected) for one in found.mismatches] == [
        ("base_model.model.lm_head.weight", (32001, 64), (32000, 64))
    ]


def test_a_report_of_transformers_5_is_explained_by_its_shapes_where_it_has_some() -> None:
    last = "RuntimeError: You set `…` to `False`, thus raising an error. For details look at the above report!\n"
    shapes = "ckpt: torch.Size([32001, 64]) vs model:torch.Size([32000, 64])"
    row = f"lm_head.weight | MISMATCH | Reinit due to size mismatch - {shapes}\n"
    assert codes(last) == ["architecture-drift"]
    assert codes(row + last) == ["vocab-grown"]


@pytest.mark.parametrize(
    "line",
    [
        "`flash-attention` package not found, consider installing it: No module named 'flash_attn'.",
        "Failed to load the fast kernel, falling back to the slow one",
        "WARNING: cannot import triton: optional kernels are skipped",
    ],
)
def test_what_goes_on_without_something_has_no_cause(line: str) -> None:
    assert codes(f"{line}\nDone.\n") == []


def test_the_code_of_a_frame_is_no_message() -> None:
    found = diagnose(
        '  File "/srv/transformers/trainer.py", line 2, in train\n'
        '    raise ValueError(f"No valid checkpoint found in output directory ({args.output_dir})")\n'
        "    ^^^^^^^^^^^^^^^^^\n"
        "ValueError: No valid checkpoint found in output directory (out)\n"
    ).findings
    assert ["`out`" in one.message for one in found] == [True]


def test_what_a_line_passes_on_is_said_once() -> None:
    text = (
        "HFValidationError: Repo id must be in the form 'a/b': '/srv/models/x'. Use `repo_type` argument if needed.\n"
        "OSError: Incorrect path_or_model_id: '/srv/models/x'. Please provide either the path to a local folder\n"
    )
    (found,) = diagnose(text).findings
    assert "`/srv/models/x` is no folder" in found.message
    (found,) = diagnose(
        "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the "
        "cached files.\n"
    ).findings
    assert "could not be reached" in found.message


def test_names_that_were_cut_off_leave_the_catalogue_s_words() -> None:
    (found,) = diagnose("OSError: Incorrect path_or_model_id").findings
    assert "``" not in found.message


def test_a_config_that_is_not_of_its_weights_is_said_to_be() -> None:
    lines = [
        SIZE.format("transformer.h.0.mlp.c_fc.weight", [64, 256], [128, 512]),
        SIZE.format("transformer.h.0.mlp.c_proj.weight", [256, 64], [512, 128]),
        SIZE.format("transformer.h.0.attn.c_attn.weight", [64, 192], [128, 384]),
    ]
    offer = "\tYou may consider adding `ignore_mismatched_sizes=True` in the model `from_pretrained` method."
    (found,) = diagnose("\n".join([*lines, offer])).findings
    assert found.code == "architecture-drift"
    assert "hidden size 64 (here 128)" in found.message
    assert "intermediate size 256 (here 512)" in found.message
    (found,) = diagnose("\n".join(lines)).findings
    assert found.code == "wrong-base-hidden-size"
