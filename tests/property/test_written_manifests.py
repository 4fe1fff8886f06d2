"""Any manifest survives writing and reading."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from envpin.manifest import write
from envpin.manifest.read import parse_manifest
from envpin.manifest.types import (
    Manifest,
    RunInfo,
    SavedInfo,
    TokenizerInfo,
)
from tests.support.manifests import FULL

texts = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(
    st.builds(
        lambda config, argv, added: msgspec.structs.replace(
            FULL, saved=SavedInfo(config=config), run=RunInfo(argv=tuple(argv)), tokenizer=TokenizerInfo(added=added)
        ),
        st.dictionaries(texts, json_values, max_size=4),
        st.lists(texts, max_size=4),
        st.dictionaries(texts, st.integers(0, 2**40), max_size=4),
    )
)
def test_any_manifest_survives_writing(manifest: Manifest) -> None:
    assert parse_manifest(write.render_manifest(manifest).encode()) == manifest
