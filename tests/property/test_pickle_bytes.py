"""Pickles of any bytes, and zips that swell, are read without harm."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from envpin.inference.pickle_names import class_paths

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@given(st.binary(max_size=300))
def test_any_bytes_are_read(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(data)
    class_paths(path)
    path.write_bytes(b"PK\x03\x04" + data)
    class_paths(path)


def test_a_zip_that_swells_is_not_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02" + b"N0" * 40_000_000)
    path = tmp_path / "training_args.bin"
    path.write_bytes(buffer.getvalue())
    assert class_paths(path) == ()
