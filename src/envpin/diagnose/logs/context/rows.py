"""What rows of data lack, told by the frames that ask them: a column, a split, a text that is None, a row at all. Pure.

Asked before the frames that blame a library: code that prepares rows is called by `datasets`, so that the deepest frame
is the script's own or that of datasets, and neither is at fault.
"""

from __future__ import annotations

import re

from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of, of_the_stack

_KEY = re.compile(r"KeyError: [\"'](?P<name>[^\"'\n]{1,120})[\"']\s*$")
# Rows and batches as `datasets` hands them to a function, and its dictionaries of splits.
_OF_A_ROW = re.compile(
    r"datasets[/\\]formatting[/\\]formatting\.py[^\n]*in (?:__getitem__|_check_valid_column_key)[^\0]{0,400}\Z"
    r"|datasets[/\\]arrow_dataset\.py[^\n]*in (?:apply_function|__getitem__|_getitem)[^\0]{0,1500}\Z"
)
_OF_SPLITS = re.compile(r"datasets[/\\]dataset_dict\.py[^\n]*in __getitem__[^\0]{0,300}\Z")
_MAPPED = re.compile(r"datasets[/\\]arrow_dataset\.py[^\n]*in (?:apply_function|function_wrapper|iter_outputs)")
_NONE = re.compile(
    r"TypeError: [^\n]*(?:not \"?NoneType|'NoneType'|found NoneType)|AttributeError: 'NoneType' object has no attribute"
)
# A function that forgot its `return`, or a tokenizer that was never made, are None as well: no row is to blame there.
_OTHER_NONE = re.compile(r"tokenizer\b[^\n]*\n[^\n]*\Z|chat_template")
_EMPTY = re.compile(r"packaged_modules[/\\](\w+)[/\\]\w+\.py[^\n]*in _split_generators[^\0]{0,500}\Z")
_FIRST_ROW = re.compile(r"next\(iter\([^\n]*(?:dataset|rows|examples|data)\b[^\n]*\n(?:[ \t~^]*\n)*[^\n]*\Z")
_FIRST = "print the first row and the names of the columns: print(dataset.column_names, dataset[0])"


def explain_row(line: str, before: str) -> Explained | None:
    """What rows lack; None where the lines before the error are not of code that reads rows."""
    if (found := _KEY.search(line)) is not None:
        return _of_key(found["name"], before)
    if line.strip() == "StopIteration":
        return _of_no_rows(before)
    if _NONE.search(line) is not None and _MAPPED.search(before) is not None and _OTHER_NONE.search(before) is None:
        return _said(
            "where the function that `map` calls wants a value it got None: a row has an empty field (null in JSON), "
            "or a function of the script, such as `formatting_func`, returned nothing for it",
            "leave such rows out before: dataset.filter(lambda row: all(value is not None for value in row.values()))",
            _FIRST,
        )
    return None


def _of_no_rows(before: str) -> Explained | None:
    if (kind := _EMPTY.search(before)) is not None:
        return _said(f"the {kind[1]} file that the data set is made of is empty", "look at the file: wc FILE")
    if _FIRST_ROW.search(before) is not None and of_the_stack(frames_of(before)):
        return _said("a library asks for the first row of a data set, and there is none: a filter, a split or the file "
                     "left no rows", "count them after each step: print(len(dataset))")  # fmt: skip
    return None


def _of_key(name: str, before: str) -> Explained | None:
    if _OF_SPLITS.search(before) is not None:
        return _said(
            f"the data set has no split `{name}`: one that is made of a file has `train` alone",
            "see the names of the splits: print(dataset)", "make one: dataset[\"train\"].train_test_split(0.1)",
        )  # fmt: skip
    if _OF_A_ROW.search(before) is not None:
        return _said(f"the rows have no column `{name}`, which the code asks for", _FIRST,
                     f"name it so before: dataset.rename_column(OLD, \"{name}\")")  # fmt: skip
    return None


def _said(says: str, *fix: str) -> Explained:
    return Explained("data-not-as-expected", says, fix)
