"""What was collected: its file, and what follows from it for peft beside transformers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envpin.core.errors import InputError
from envpin.evidence.collect import with_fitting
from envpin.matrix.support import encode_support, load_support, shipped_path

if TYPE_CHECKING:
    from pathlib import Path
SUPPORT = load_support(shipped_path())
USABLE = [one.version for one in SUPPORT.transformers if not one.yanked and Version(one.version) >= Version("4.36")]
# peft, and the transformers that it can be imported beside: read from issues and tried by hand, before and apart from
# what is collected. Yanked releases are left out: 4.52.0 is one.
IMPORTABLE = [
    ("<=0.13.2", ">=4.36"), (">=0.14.0,<=0.15.2", ">=4.43.0"), (">=0.16.0,<=0.17.1", ">=4.44.0,<5.0"),
    ("==0.18.0", ">=4.52.1"), ("==0.18.1", ">=4.43.0"), (">=0.19.0", ">=4.43.0"),
]  # fmt: skip


@pytest.mark.parametrize(("peft", "transformers"), IMPORTABLE)
def test_what_peft_can_be_imported_beside(peft: str, transformers: str) -> None:
    pefts = [one for one in SUPPORT.peft if SpecifierSet(peft).contains(one.version)]
    assert pefts
    for one in pefts:
        found = [version for version in USABLE if not SUPPORT.missing_names(one, version)]
        assert found == list(SpecifierSet(transformers).filter(USABLE)), one.version


@pytest.mark.parametrize(
    ("release", "package", "declared"),
    [
        ("4.44.2", "tokenizers", "<0.20,>=0.19"), ("4.46.3", "tokenizers", "<0.21,>=0.20"),
        ("4.55.4", "tokenizers", "<0.22,>=0.21"), ("5.15.0", "tokenizers", "<=0.23.0,>=0.22.0"),
        ("4.57.6", "huggingface-hub", "<1.0,>=0.34.0"), ("4.42.4", "numpy", "<2.0,>=1.17"),
        ("4.46.3", "python", ">=3.8.0"), ("4.47.0", "python", ">=3.9.0"), ("5.0.0", "python", ">=3.10.0"),
        ("5.21.0", "python", ">=3.11"), ("5.1.0", "torch", ">=2.4"),
        ("5.15.0", "torch", ">=2.5"), ("5.20.0", "torch", ">=2.6"),
        ("5.18.0", "peft", ">=0.20.0"),
    ],
)  # fmt: skip
def test_windows(release: str, package: str, declared: str) -> None:
    assert SpecifierSet(SUPPORT.requirements(release)[package]) == SpecifierSet(declared)


def test_yanked_releases() -> None:
    yanked = {one.version for one in SUPPORT.transformers if one.yanked}
    assert {"4.46.0", "4.52.0", "4.57.0", "5.10.0"} <= yanked


def test_the_file_is_what_is_read() -> None:
    data = encode_support(SUPPORT)
    assert data == shipped_path().read_bytes()
    assert encode_support(with_fitting(SUPPORT)) == data


def test_spans_that_last_are_open_in_the_file() -> None:
    document = json.loads(shipped_path().read_bytes())
    assert document["releases"] == len(SUPPORT.transformers)
    assert document["model_types"]["llama"] == [[SUPPORT.positions["4.28.0"]]]
    assert SUPPORT.model_types["llama"] == ((SUPPORT.positions["4.28.0"], len(SUPPORT.transformers) - 1),)


def changed(**parts: Any) -> str:
    return json.dumps({**json.loads(shipped_path().read_bytes()), **parts})


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 2}', changed(transformers=[{"date": "x"}]), changed(peft=3),
     changed(model_types={"llama": [[999]]}), changed(model_types={"llama": [[-1, 3]]}), changed(model_types=[1])],
)  # fmt: skip
def test_another_file_is_an_input_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "support.json"
    with pytest.raises(InputError, match="cannot be read"):
        load_support(path)
    path.write_text(text)
    with pytest.raises(InputError, match="is not collected support data"):
        load_support(path)


def test_the_users_own_is_taken_where_it_knows_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENVPIN_MATRIX")
    monkeypatch.setenv("ENVPIN_HOME", str(tmp_path))
    document = json.loads(shipped_path().read_bytes())
    newer = {"version": "9.0.0", "date": "2030-01-01"}
    longer = {**document, "releases": document["releases"] + 1, "transformers": [*document["transformers"], newer]}
    own = tmp_path / "support.json"
    own.write_text(json.dumps(longer, separators=(",", ":")))
    assert load_support().newest() == "9.0.0"
    assert load_support().window("llama") == ("4.28.0", None)
    own.write_text(json.dumps({**longer, "transformers": 3}, separators=(",", ":")))
    assert load_support().newest() == SUPPORT.newest()
    own.write_text(json.dumps({**document, "releases": 3}, separators=(",", ":")))
    assert load_support().newest() == SUPPORT.newest()
    monkeypatch.setenv("ENVPIN_MATRIX", "")
    own.write_text(json.dumps(longer, separators=(",", ":")))
    assert load_support().newest() == SUPPORT.newest()
