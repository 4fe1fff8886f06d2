"""Any JSON is a manifest, or an input error."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from envpin.core.errors import InputError
from envpin.manifest.read import parse_manifest
from envpin.manifest.types import (
    Manifest,
)

texts = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*Manifest.__struct_fields__, "other"]), json_values, max_size=6))
def test_any_json_is_a_manifest_or_an_input_error(value: dict[str, Any]) -> None:
    try:
        parse_manifest(json.dumps(value).encode())
    except InputError:
        return
