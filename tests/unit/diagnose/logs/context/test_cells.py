"""Values of rows that are of another type than a script's line takes them for."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.context.cells import explain_cell, explain_decoding

_OWN = '  File "/home/user/bert_ner/prepare.py", line 12, in clean\n    {code}\n    ^^^^\n'


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("text = row['output'].strip()", "AttributeError: 'NoneType' object has no attribute 'strip'", "`output`"),
        ("df['text'].apply(lambda t: t.lower())", "AttributeError: 'float' object has no attribute 'lower'", "`text`"),
        ("if re.search(KANA, text) is None:", "TypeError: cannot use a string pattern on a bytes-like object", "numpy"),
        ("re.search(KANA, row['lyric'])", "TypeError: expected string or bytes-like object, got 'float'", "`lyric`"),
        ("q = 'Q: ' + ex['question']", 'TypeError: can only concatenate str (not "float") to str', "`question`"),
        ("n = len(sample['tokens'])", "TypeError: object of type 'NoneType' has no len()", "`tokens`"),
        ("for m in row['messages']:", "TypeError: 'NoneType' object is not iterable", "`messages`"),
        ("text = item['conversations'][0]['value']", "TypeError: string indices must be integers, not 'str'", "text"),
        ("for k in data['train']:", "TypeError: list indices must be integers or slices, not str", "a list"),
        ("y = [LABELS.index(one) for one in labels]", "ValueError: 'dog ' is not in list", "'dog '"),
        ("word, tag = line.split('\\t')", "ValueError: not enough values to unpack (expected 2, got 1)", "2 parts"),
        ("texts = [PROMPT.format(**r) for r in rows]", "KeyError: 'context'", "`{context}`"),
        ("torch.tensor(self.labels[i])", "RuntimeError: Could not infer dtype of str", "text"),
        ("longest = max(len(t) for t in texts)", "ValueError: max() arg is an empty sequence", "empty"),
        ("dev = random.sample(rows, 200)", "ValueError: Sample larger than population or is negative", "more rows"),
        ("root = ET.parse(path)", "ParseError: no element found: line 1, column 0", "XML"),
        ("texts = [ex[source_lang] for ex in rows]", "KeyError: 'en'", "`source_lang`"),
    ],
)
def test_explain_cell_names_the_field_and_what_it_holds(code: str, error: str, words: str) -> None:
    told = explain_cell(error, f"{_OWN.format(code=code)}{error}")
    assert told is not None
    assert told.code == "data-not-as-expected"
    assert words in told.says


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("model.config.name.lower()", "AttributeError: 'NoneType' object has no attribute 'lower'"),
        ("name = os.environ.get('X').lower()", "AttributeError: 'NoneType' object has no attribute 'lower'"),
        ("lr = args.lr.strip()", "AttributeError: 'float' object has no attribute 'strip'"),
        ("a, b = f(x)", "ValueError: not enough values to unpack (expected 2, got 1)"),
        ("a = PORTS.index(port)", "ValueError: 80 is not in list"),
    ],
)
def test_explain_cell_is_silent_of_what_is_no_row(code: str, error: str) -> None:
    assert explain_cell(error, f"{_OWN.format(code=code)}{error}") is None


def test_explain_decoding_tells_of_ids_beyond_the_tokenizer() -> None:
    error = "TypeError: sequence item 113: expected str instance, NoneType found"
    frame = '  File "/v/site-packages/transformers/models/qwen2/tokenization_qwen2.py", line 285, in'
    told = explain_decoding(error, f'{frame} convert_tokens_to_string\n    text = "".join(tokens)\n{error}')
    assert told is not None
    assert told.code == "padding-mismatch"
