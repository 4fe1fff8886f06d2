"""What `matrix collect` read in wheels, held against the libraries themselves, installed beside boundaries."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from envpin.core import process
from envpin.core.errors import NetworkError
from envpin.core.files import write_atomically
from envpin.evidence.collect import collect
from envpin.matrix.support import encode_support, load_support, shipped_path
from envpin.remote.index import Index
from tests.support.environments import literal

if TYPE_CHECKING:
    from pathlib import Path

SUPPORT = load_support(shipped_path())
# (last release without, first release with, a model type that tells them apart); both without torch, on Python 3.11.
BOUNDARIES = [
    ("4.44.2", "4.45.0", "mllama"), ("5.22.0", "5.23.0", "internlm3"), ("5.1.0", "5.2.0", "qwen3_5"),
    ("4.27.4", "4.28.0", "llama"), ("4.33.3", "4.34.0", "mistral"), ("4.36.2", "4.37.0", "qwen2"),
    ("4.45.2", "4.46.1", "phimoe"), ("4.50.3", "4.51.0", "qwen3"), ("4.51.3", "4.52.1", "qwen2_5_omni"),
    ("4.56.2", "4.57.1", "qwen3_next"), ("4.57.6", "5.0.0", "glmasr"),
]  # fmt: skip
ASK = """
import json, sys
from transformers import AutoConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
try:
    made = type(AutoConfig.for_model(sys.argv[1])).__name__
except ValueError as error:
    made = None
print(json.dumps({"types": sorted(CONFIG_MAPPING.keys()), "made": made}))
"""


def asked(release: str, kind: str) -> tuple[set[str], str | None]:
    """The model types that an installed transformers has, and the class that AutoConfig makes of `kind`, if any."""
    environment = literal(f"transformers=={release}", "numpy==1.26.4")
    completed = process.run([str(environment.python), "-c", ASK, kind], env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert completed.status == 0, completed.stderr
    answer = json.loads(completed.stdout.splitlines()[-1])
    return set(answer["types"]), answer["made"]


@pytest.mark.parametrize(
    ("before", "after", "kind"), BOUNDARIES if os.environ.get("ENVPIN_TEST_ALL") else BOUNDARIES[:2]
)
def test_it_says_what_installed_releases_say(before: str, after: str, kind: str) -> None:
    for release, there in ((before, False), (after, True)):
        types, made = asked(release, kind)
        assert types == {one for one in SUPPORT.model_types if SUPPORT.knows(release, one)}
        assert (kind in types, made is not None) == (there, there)


def test_boundaries_are_boundaries() -> None:
    for before, after, kind in BOUNDARIES:
        assert (SUPPORT.knows(before, kind), SUPPORT.knows(after, kind)) == (False, True)


def test_a_second_reading_asks_the_wheels_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envpin.evidence.collect.FIRST", Version("5.20"))
    first = collect(Index(cache=tmp_path))
    monkeypatch.setattr(Index, "members", lambda *_: pytest.fail("read a wheel again"))
    again = collect(Index(cache=tmp_path, offline=True))
    assert encode_support(first) == encode_support(again)
    own = tmp_path / "support.json"
    write_atomically(own, encode_support(first), parents=True)
    assert encode_support(load_support(own)) == encode_support(first)
    assert load_support(own).knows("5.20.0", "llama")


def test_offline_and_empty_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="offline"):
        collect(Index(cache=tmp_path, offline=True))
