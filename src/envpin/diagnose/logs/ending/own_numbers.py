"""Text and empty cells of which a script makes numbers: a column of words, a cell without a value. Pure."""

from __future__ import annotations

import re

from envpin.diagnose.logs.ending.library_numbers import AS_NUMBER
from envpin.diagnose.logs.text.explained import Explained

_TEXT = re.compile(
    r"(?:invalid literal for int\(\) with base 10|could not convert string to (?:float|int)): (?P<value>.{0,80})"
)
_EMPTY = re.compile(
    r"cannot convert float NaN to integer|Cannot convert non-finite values \(NA or inf\) to integer|"
    r"cannot convert NA to integer"
)
_GIVEN = re.compile(
    r"os\.(?:environ|getenv)|sys\.argv|\b(?:args|cfg|config|conf|settings|params|opts?)\b[.\[]|\binput\("
)
_COLUMN = re.compile(r"\[\s*(?:[\"'](?P<name>[^\"'\]\n]{1,60})[\"']|(?P<variable>[A-Za-z_]\w{0,60}))\s*\]")
_FLOAT = re.compile(r"^[\"']-?\d+\.\d*[\"']")
_ROW_FIELD = re.compile(
    r"(?i)\b(?:row|example|sample|record|item|entry|ex|r|x|d|line|doc|utt\w*|seg\w*|turn)s?"
    r"(?:\[\s*[\"'](?P<name>\w{1,60})[\"']\s*\]|\.(?P<member>(?!get\b)[a-z_]\w{1,60})\b(?!\())"
)
# Numbers that settings give in nearly every script.
_TAKEN = re.compile(
    r"(?i)\b(?:range\(|num_|n_|max_|min_)?(?:\w*(?:epochs?|steps|batch_?size|lr|learning_rate|warmup|ratio|dropout|rank|alpha|"
    r"length|seq_len|temperature))\b"
)
_NO_VALUE = re.compile(r"^[\"'](?:nan|null|none|n/?a|\s*|-+|\?)[\"']$", re.IGNORECASE)
_D, _S = "data-not-as-expected", "settings-refused"


def of_a_number(message: str, code: str) -> Explained | None:
    """What a script's line could make no number of; None where the message is another."""
    if _EMPTY.search(message) is not None:
        return _of_an_empty_cell(code)
    found = _TEXT.search(message)
    if found is None:
        return None
    value = found["value"].strip()
    if _GIVEN.search(code) is not None:
        says = f"a setting or argument that the script makes a number of is {value}, which is no number"
        return Explained(_S, says, ("give it as a number, without a unit, a sign of thousands or quotes",))
    if _NO_VALUE.search(value) is not None:
        return _of_an_empty_cell(code)
    says = f"the script makes a number of {value}, which is text: {_place(code)} holds no number there"
    if _FLOAT.search(value) is not None:
        return Explained(_D, says, ("text of a number with a point: int(float(VALUE))",))
    return Explained(_D, says, (
        'words for labels: map them to the ids of the training, {"positive": 1, …} (model.config.label2id)',
        "numbers: look at the first lines of the file, for a heading, a unit, or columns in another order",
    ))  # fmt: skip


def of_text_in_a_line(message: str, code: str) -> Explained | None:
    """Text with which a script's line reckons: a field of a row, or a setting that was written in quotes."""
    if AS_NUMBER.search(message) is None:
        return None
    if (field := _ROW_FIELD.search(code)) is not None:
        name = field["name"] or field["member"]
        return Explained(_D, f"the script reckons with the field `{name}` of a row, and one holds text there", (
            f"write it as a number, without quotes, in all rows; or let the script make it one: float(row[\"{name}\"])",
        ))  # fmt: skip
    line = next(iter(code.strip().split("\n")), "").strip()
    if _GIVEN.search(code) is None and _TAKEN.search(line) is None:
        return None
    return Explained(_S, f"the script reckons with text where it wants a number, in `{line[:100]}`: a setting of that "
                         "line, or one of which it was made, is written in quotes or read without a type", (
        "write the numbers of the settings without quotes (YAML reads 2e-4 as text, and 2.0e-4 as a number)",
        "options of a command line: add_argument(…, type=int or float)",
    ))  # fmt: skip


def _of_an_empty_cell(code: str) -> Explained:
    says = f"the script makes a number of a cell that is empty (NaN): {_place(code)} has a row without a value"
    return Explained(_D, says, (
        "find such rows: df[df.isna().any(axis=1)]", "fill or drop them: df = df.dropna(subset=[COLUMN])",
    ))  # fmt: skip


def _place(code: str) -> str:
    """The column that the line asks for, as far as it names one."""
    named = [one["name"] or one["variable"] for one in _COLUMN.finditer(code)]
    return f"the column `{named[-1]}`" if len(named) == 1 else "the data"
