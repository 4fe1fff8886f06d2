"""Objects of another kind than a library works with: a list for a data set, numbers for a tensor, a name for a model.

The script gave them; no release is at fault. Told by the member that the library asks for, in its own frame. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.facts.model_types import MODELS_OWN
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of, known_libraries, shown_name

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_MEMBER = re.compile(
    r"AttributeError: '(?P<kind>list|str|dict|set|DataFrame|Subset|DatasetDict|\w+Config)' object has no attribute "
    r"'(?P<name>\w+)'"
)
_CALLED = known_libraries() - {"transformers_modules", "datasets"}
_OF_A_SET = frozenset({
    "column_names", "features", "remove_columns", "with_format", "set_format", "train_test_split", "select_columns",
    "rename_column", "to_iterable_dataset", "shard", "map", "filter", "select", "shuffle", "num_rows",
})  # fmt: skip
# A trainer looks at the first row: of several splits it gets the name of the first one, and of no set at all nothing.
_FIRST_ROW = re.compile(
    r"(?s:.*)next\(iter\((?P<name>\w*dataset)\)\)|(?s:.*)\bin (?:is_conversational\w*|_prepare_dataset)\b"
)
_NO_SET = re.compile(r"TypeError: 'NoneType' object is not (?:iterable|subscriptable|an iterator)")
_OF_A_TENSOR = frozenset({"shape", "size", "dim", "ndim", "device", "dtype", "new_ones", "long", "unsqueeze"})
# What is called so in the code that asks was given to the model; other lists are the library's own.
_INPUTS = re.compile(r"(?:input\w*|labels?|attention_mask|\w*_ids|pixel_values)\.\w+[^\n]*\n(?:[ \t~^│|]*\n)*[^\n]*\Z")
_MODELS = re.compile(r"model\w*\.\w+[^\n]*\n(?:[ \t~^│|]*\n)*[^\n]*\Z")


def explain_given(line: str, before: str) -> Explained | None:
    """What was given and what is wanted; None where the member is of no such object, or a script asked for it."""
    found = _MEMBER.search(line)
    if found is None and _NO_SET.search(line) is None:
        return None
    frames = frames_of(before)
    told = _of_a_config(found) or _of_the_first_row(found, before, frames[-1] if frames else None)
    if told is not None or found is None or not frames or frames[-1].library not in _CALLED:
        return told
    kind, name, package = found["kind"], found["name"], shown_name(str(frames[-1].library))
    given = f"and was given a `{kind}` (it asks for `{name}`, in `{frames[-1].path}`)"
    if name in _OF_A_SET:
        return Explained("data-not-as-expected", f"{package} wants a data set of `datasets`, {given}", (
            "of a list: Dataset.from_list(rows); of a table: Dataset.from_pandas(table)",
            "of several splits, give one of them: dataset[\"train\"]",
        ))  # fmt: skip
    if kind in {"list", "str"} and name in _OF_A_TENSOR and _INPUTS.search(before) is not None:
        return Explained("inputs-do-not-fit", f"{package} wants a tensor, {given}", (
            "let the tokenizer make them: tokenizer(texts, return_tensors=\"pt\", padding=True)",
            "of a data set: dataset.set_format(\"torch\")",
        ))  # fmt: skip
    if kind == "str" and name in MODELS_OWN and _MODELS.search(before) is not None:
        return Explained("settings-refused", f"{package} wants a model, {given}: most likely its name or path", (
            "load it first, and give what from_pretrained returns",
        ))  # fmt: skip
    return None


def _of_a_config(found: re.Match[str] | None) -> Explained | None:
    if found is None or not found["kind"].endswith("Config") or found["name"] not in MODELS_OWN:
        return None
    says = f"a config (`{found['kind']}`) is given where the model itself is wanted: `{found['name']}` is a model's"
    load = "load the model and give that: AutoModel.from_pretrained(FOLDER); AutoConfig reads config.json alone"
    return Explained("settings-refused", says, (load,))


def _of_the_first_row(found: re.Match[str] | None, before: str, place: Frame | None) -> Explained | None:
    """What a trainer of trl stops at as it looks at the first row of what it was given."""
    code = "\n".join(before.split("\n")[-6:])
    looks = _FIRST_ROW.search(code) if place is not None and place.library == "trl" else None
    if looks is None:
        return None
    if found is None:
        which = f"`{looks['name']}`" if looks["name"] else "a data set"
        return Explained("settings-refused", f"the trainer was given no {which} (it is None)", (
            "give it the rows: train_dataset=dataset; a function that loads them and returns nothing gives None",
        ))  # fmt: skip
    if found["kind"] != "str" or found["name"] not in {"keys", "get", "items"}:
        return None
    says = "the trainer takes rows, and was given strings: all splits at once (a DatasetDict), or a list of texts"
    return Explained("data-not-as-expected", says, (
        "of several splits, give one of them: dataset[\"train\"], or load_dataset(…, split=\"train\")",
        "of texts, make rows: Dataset.from_dict({\"text\": texts})",
    ))  # fmt: skip
