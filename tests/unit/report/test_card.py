"""The model card: written twice it is the same, and what somebody else wrote stays as it is, byte for byte."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from envpin.core.errors import InputError
from envpin.manifest.types import Manifest
from envpin.report.card import BEGIN, END, manifest_part, merge_part, update_card, without_paths
from tests.support.manifests import FULL
from tests.support.merge_records import merge_record

PART = merge_part(merge_record(), name="merged")
FOREIGN = """---
# chosen with care
license: apache-2.0
tags: [ 'chat',   "x" ]   # two
language:
- en
---

# Ada's model

Text with | pipes, <b>tags</b> and trailing spaces.  \n
"""


def metadata(text: str) -> dict[str, object]:
    data = vars(ModelCard(text).data)
    return {key: value for key, value in data.items() if value is not None and value != []}


def test_new_card_has_the_title_the_section_and_the_metadata() -> None:
    text = update_card(None, PART).text
    assert metadata(text) == {
        "base_model": "org/base", "base_model_relation": "finetune", "library_name": "transformers", "tags": ["envpin"]
    }  # fmt: skip
    assert "# merged\n" in text
    assert "`org/base` at commit `" + "c" * 40 in text
    assert "| verdict | identical; base weights: equal |" in text
    assert "| outputs | the merge is off by 0.004 of what the adapter moves |" in text


@pytest.mark.parametrize("text", [None, "", "x", "# A\n", FOREIGN, FOREIGN.replace("\n", "\r\n"), "---\n---\nx", "﻿# A"])
def test_card_written_twice_is_the_same(text: str | None) -> None:
    once = update_card(text, PART).text
    assert update_card(once, PART).text == once
    assert once.count(BEGIN) == once.count(END) == 1


@pytest.mark.parametrize("text", [FOREIGN, FOREIGN.replace("\n", "\r\n")])
def test_foreign_card_keeps_its_text_comments_and_order(text: str) -> None:
    found = update_card(text, PART)
    newline = "\r\n" if "\r\n" in text else "\n"
    assert found.kept == ("tags",)
    start, end = found.text.index(BEGIN), found.text.index(END) + len(END)
    rest = (found.text[:start] + found.text[end:]).removesuffix(newline)
    added = [f"{one}{newline}" for one in ("base_model: org/base", "base_model_relation: finetune")]
    added.append(f"library_name: transformers{newline}")
    for line in added:
        assert rest.count(line) == 1
        rest = rest.replace(line, "")
    assert rest == text
    assert found.text.count("\n") == found.text.count(newline)
    assert metadata(found.text)["tags"] == ["chat", "x"]


def test_section_is_replaced_where_it_is() -> None:
    other = merge_part(merge_record(kind="unrecorded"), name="merged")
    once = update_card(FOREIGN + "\n## After\n", PART).text
    moved = once.replace("\n## After\n", "") + "\n## After\n"
    text = update_card(moved, other).text
    assert text.endswith("\n## After\n")
    assert "unrecorded" in text
    assert "identical" not in text


def test_metadata_that_says_something_else_is_kept_and_told() -> None:
    found = update_card("---\nbase_model: other/base\n---\n", PART)
    assert found.kept == ("base_model",)
    assert metadata(found.text)["base_model"] == "other/base"
    assert update_card("---\nbase_model:\n- org/base\ntags: [a, envpin]\n---\n", PART).kept == ()


@pytest.mark.parametrize(
    "text", [BEGIN, f"{END} {BEGIN}", f"{BEGIN} {BEGIN} {END}", "---\na: [\n---\nx", "---\n- a list\n---\nx"]
)
def test_card_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        update_card(text, PART)


def test_nothing_of_a_record_breaks_the_section() -> None:
    hostile = f"x | y\n# title {END} `code` <script>"
    part = merge_part(merge_record(notes=[hostile], base_id=hostile), name="m")
    text = update_card("text\n", part).text
    assert text.count(END) == 1
    assert "<script>" not in text.split("## How this model was merged")[1].split("`envpin-merge.json`")[1]
    assert update_card(text, part).text == text
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.replace("\\|", "").count("|") == 3


def test_no_path_of_this_machine_is_published() -> None:
    record = merge_record(notes=["the base /home/ada/base was read"], base_id=None)
    text = update_card(None, merge_part(record, name="m")).text
    assert "/home/ada" not in text
    assert "base_model" not in text
    assert "/home/ada" not in str(without_paths(record))
    assert without_paths(record).base.path == "base"


def test_card_of_a_recorded_adapter() -> None:
    text = update_card(None, manifest_part(FULL, name="adapter")).text
    assert metadata(text) == {"base_model": "org/base", "library_name": "peft", "tags": ["envpin"]}
    assert "320 to 321 rows" in text
    empty = update_card(None, manifest_part(Manifest(schema=1), name="a")).text
    assert "| base | not recorded |" in empty
