"""The files of signatures: their form, what breaks it, and the schemas that are published of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError
from envpin.diagnose.catalogue.catalogue import load_catalogue
from envpin.diagnose.logs.signatures.signature import FOLDER, Matcher, load_signatures, read_signatures
from envpin.diagnose.schema import PUBLISHED, schema_text
from tests.support.places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = ROOT / "docs" / "reference"
ENTRY = '[[signature]]\ncode = "lfs-pointer"\nanchor = "a"\npattern = "a"\nsample = "a"\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (ENTRY, "missing required field `source`"),
        (ENTRY + 'source = "x"\nafterwards = "b"\n', "unknown field `afterwards`"),
        (ENTRY + 'source = "x"\nseverity = "fatal"\n', "'fatal'"),
        (ENTRY + "source = 3\n", "Expected `str`, got `int`"),
        (ENTRY + 'source = "x"\nsource = "y"\n', "Cannot overwrite a value"),
        (ENTRY + "source = \n", "Invalid value"),
    ],
)
def test_read_signatures_rejects_what_breaks_the_schema(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "files.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=re.escape(complaint)):
        read_signatures(file)


def test_every_code_of_a_signature_is_in_the_catalogue() -> None:
    assert {one.code for one in load_signatures()} <= load_catalogue().keys()


def test_every_pattern_compiles_without_a_name_left_in_it() -> None:
    names = {name for path in FOLDER.glob("*.toml") for name in read_signatures(path).words}
    assert names
    for one in load_signatures():
        matcher = Matcher(one)
        for pattern in (matcher.pattern, matcher.unless):
            assert pattern is None or not any(
                name in pattern.pattern for name in {*names, "FIELDS", "MODEL_TYPES", "REMOVED_TYPES"}
            )


def test_a_name_of_words_is_defined_once_and_used() -> None:
    names = [name for path in FOLDER.glob("*.toml") for name in read_signatures(path).words]
    assert len(names) == len(set(names))
    assert all(any(name in f"{one.pattern} {one.near}" for one in load_signatures()) for name in names)


def test_codes_of_one_group_are_in_one_file() -> None:
    by_group: dict[str, set[str]] = {}
    for path in FOLDER.glob("*.toml"):
        group = by_group.setdefault(path.stem.partition("_")[0], set())  # `settings_of_commands` is of `settings`
        group |= {one.code for one in read_signatures(path).signature}
    codes = [code for some in by_group.values() for code in some]
    assert len(codes) == len(set(codes)), "look for the file that has the code, and add the signature there"


def test_no_signature_is_written_twice() -> None:
    forms = [
        (one.code, one.anchor, one.pattern, one.after, one.unless, one.unless_after, one.near)
        for one in load_signatures()
    ]
    assert len(forms) == len(set(forms))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_schema_is_fresh(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == schema_text(name), (
        "run: .venv/bin/python -m envpin.diagnose.schema docs/reference"
    )
