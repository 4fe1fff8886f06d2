"""Objects of another kind than a library works with: a list for a data set, numbers for a tensor, a name for a model.

The script gave them; no release is at fault. Told by the member that the library asks for, in its own frame. Pure.
"""

from __future__ import annotations

import re

from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of, known_libraries, shown_name

_MEMBER = re.compile(
    r"AttributeError: '(?P<kind>list|str|dict|set|DataFrame|Subset|DatasetDict)' object has no attribute "
    r"'(?P<name>\w+)'"
)
_CALLED = known_libraries() - {"transformers_modules", "datasets"}
_OF_A_SET = frozenset({
    "column_names", "features", "remove_columns", "with_format", "set_format", "train_test_split", "select_columns",
    "rename_column", "to_iterable_dataset", "shard",
})  # fmt: skip
_OF_A_TENSOR = frozenset({"shape", "size", "dim", "ndim", "device", "dtype", "new_ones", "long", "unsqueeze"})
_OF_A_MODEL = frozenset({
    "config", "parameters", "named_parameters", "named_modules", "generate", "forward", "generation_config",
    "get_input_embeddings",
})  # fmt: skip
# What is called so in the code that asks was given to the model; other lists are the library's own.
_INPUTS = re.compile(r"(?:input\w*|labels?|attention_mask|\w*_ids|pixel_values)\.\w+[^\n]*\n(?:[ \t~^│|]*\n)*[^\n]*\Z")
_MODELS = re.compile(r"model\w*\.\w+[^\n]*\n(?:[ \t~^│|]*\n)*[^\n]*\Z")


def explain_given(line: str, before: str) -> Explained | None:
    """What was given and what is wanted; None where the member is of no such object, or a script asked for it."""
    found = _MEMBER.search(line)
    frames = [] if found is None else frames_of(before)
    if found is None or not frames or frames[-1].library not in _CALLED:
        return None
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
    if kind == "str" and name in _OF_A_MODEL and _MODELS.search(before) is not None:
        return Explained("settings-refused", f"{package} wants a model, {given}: most likely its name or path", (
            "load it first, and give what from_pretrained returns",
        ))  # fmt: skip
    return None
