"""Numbers that a setting gave a script's own line, templates, and what metrics are given."""

from __future__ import annotations

import pytest

from tests.support.logs import SCRIPT, answer

FRAME = '  File "/srv/llm_eval/run.py", line 40, in main\n    {}\n'
SITE = '  File "/usr/lib/python3.11/site-packages/{}", line 36, in {}\n    {}\n'
REFUSED, DATA = "settings-refused", "data-not-as-expected"


@pytest.mark.parametrize(
    ("code", "line", "expected", "said"),
    [
        ("text = PROMPT.format(question=q)", "KeyError: '\"score\"'", REFUSED, "double them"),
        ("text = PROMPT.format(q)", "IndexError: Replacement index 1 out of range for positional args tuple", REFUSED,
         "takes them for a place to fill"),
        ("for at in range(0, seq_len, args.stride):", "ValueError: range() arg 3 must not be zero", REFUSED,
         "`args.stride`"),
        ("thr = torch.topk(flat, k).values[-1]", "RuntimeError: selected index k out of range", REFUSED, "0.53"),
        ("for w, sd in zip(weights, sds, strict=True):", "ValueError: zip() argument 2 is longer than argument 1",
         REFUSED, "one weight for each model"),
        ("for p, r in zip(preds, refs, strict=True):", "ValueError: zip() argument 2 is longer than argument 1", DATA,
         "other lengths"),
        ("ppl = torch.exp(torch.stack(nlls).mean())", "RuntimeError: stack expects a non-empty TensorList", DATA,
         "is empty"),
        ('preds = [json.loads(line)["prediction"] for line in f]', "KeyError: 'prediction'", DATA,
         "field `prediction`"),
        ('text = request.get_json()["text"]', "KeyError: 'text'", DATA, "field `text`"),
        ('n = cfg["num_local_experts"]', "KeyError: 'num_local_experts'", "model-of-another-kind",
         "no `num_local_experts`"),
        ('return {"label": LABELS[res["label"]]}', "KeyError: 'LABEL_2'", "model-of-another-kind", "id2label"),
        ("out.append(check(problems[task_id], completion))", "KeyError: 'HumanEval/9'", DATA, "`problems`"),
    ],
)  # fmt: skip
def test_an_amount_or_a_template_is_told_by_its_line(code: str, line: str, expected: str, said: str) -> None:
    codes, text = answer(f"{SCRIPT}{FRAME.format(code)}{line}\n")
    assert codes == [expected]
    assert said in text


@pytest.mark.parametrize(
    ("place", "line", "expected", "said"),
    [
        (("rouge_score/tokenize.py", "tokenize", "text = text.lower()"),
         "AttributeError: 'NoneType' object has no attribute 'lower'", DATA, "rouge-score was given a `NoneType`"),
        (("sacrebleu/metrics/bleu.py", "_get_tokenizer", "module_name, class_name = _TOKENIZERS[name].rsplit('.', 1)"),
         "KeyError: 'moses'", REFUSED, "no tokenizer 'moses'"),
        (("transformers/generation/utils.py", "beam_search", "batch_size = batch_size_unflattened // num_beams"),
         "ZeroDivisionError: integer division or modulo by zero", REFUSED, "divides by `num_beams`"),
        (("pandas/core/arrays/arrow/array.py", "__getitem__", "value = self._pa_array[item]"),
         "IndexError: index out of bounds", DATA, "fewer rows"),
    ],
)  # fmt: skip
def test_a_metric_is_given_what_it_does_not_take(
    place: tuple[str, str, str], line: str, expected: str, said: str
) -> None:
    codes, text = answer(f"{SCRIPT}{FRAME.format('s = score(r, p)')}{SITE.format(*place)}{line}\n")
    assert codes == [expected]
    assert said in text


@pytest.mark.parametrize(
    ("argument", "path", "code"),
    [("MODEL_DIR", "lama", "base-not-found"), ("--lora-path", "out", "adapter-not-found"),
     ("--input", "rows.jsonl", DATA), ("--config", "c.yaml", REFUSED)],
)  # fmt: skip
def test_a_path_that_a_command_line_refuses_is_told_by_its_name(argument: str, path: str, code: str) -> None:
    usage = "Usage: merge_lora.py [OPTIONS] MODEL_DIR\nTry 'merge_lora.py --help' for help.\n\n"
    codes, text = answer(f"{usage}Error: Invalid value for '{argument}': Path '{path}' does not exist.\n")
    assert codes == [code]
    assert path in text
