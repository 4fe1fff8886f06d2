"""The environment that a manifest recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from envpin.core.errors import ResolutionError
from envpin.envs.refs.pins import Resolver
from envpin.envs.refs.recorded import resolve_recorded
from envpin.manifest.types import Distribution, Manifest

if TYPE_CHECKING:
    from envpin.envs.store.identity import EnvironmentSpec


@dataclass(frozen=True, kw_only=True)
class NothingFits(Resolver):
    def pins(self, *_: Any, **__: Any) -> EnvironmentSpec:
        raise ResolutionError("there is no version of peft==0.19.0.dev0")


def test_a_failure_names_the_packages_that_no_index_need_have(tmp_path: Any) -> None:
    listed = {"torch": None, "transformers": "file:///src/transformers", "peft": "git+https://host/peft@abc"}
    made = Manifest(
        schema=2,
        distributions=tuple(
            Distribution(name=name, version="1.0", direct_url=url, editable=name == "transformers")
            for name, url in listed.items()
        ),
    )
    with pytest.raises(ResolutionError) as failed:
        resolve_recorded(made, NothingFits(root=tmp_path), name="adapter")
    assert "no version of peft" in failed.value.message
    assert "\n  transformers 1.0: installed in editable mode\n  peft 1.0: installed from source" in failed.value.message
    assert "--environment" in (failed.value.hint or "")
