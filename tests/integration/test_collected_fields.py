"""What travels with envpin about fields, against the user's own index: a sample read anew from real wheels."""

from __future__ import annotations

import pytest

from envpin.core.errors import NetworkError
from envpin.evidence import collect_fields
from envpin.matrix.fields import load_fields
from envpin.remote.index import Index


@pytest.mark.parametrize(
    ("package", "version"), [("peft", "0.9.0"), ("peft", "0.21.2"), ("transformers", "4.47.1"), ("torch", "2.7.0")]
)
def test_a_release_read_anew_says_what_was_kept(package: str, version: str) -> None:
    readers = {
        "peft": collect_fields._peft,
        "transformers": collect_fields._transformers,
        "torch": collect_fields._marked("torch"),
    }
    index = Index()
    try:
        release = next(one for one in index.releases(package) if one.version == version)
        fresh = readers[package](index, release)
    except NetworkError as error:
        pytest.skip(f"no index: {error.message}")
    facts = load_fields().packages[package]
    at = facts.positions[version]
    kept = {
        name: {field for field, one in cls.fields.items() if any(first <= at <= last for first, last in one.spans)}
        for name, cls in facts.classes.items()
        if any(first <= at <= last for first, last in cls.spans)
    }
    assert {name: set(fields) for name, fields in fresh.classes.items()} == kept
    marks = {name for name, spans in facts.names.items() if any(first <= at <= last for first, last in spans)}
    assert {name for name in fresh.names if name in facts.names} == marks
