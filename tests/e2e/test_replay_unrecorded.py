"""Adapters without a manifest, for real: an inferred environment is proved by what it does; else the next is tried."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.core.errors import CheckFailedError, InputError, WrongEnvironmentError
from envpin.core.events import Event, Note
from envpin.envs.locks.portable import LockRequest
from envpin.envs.refs.adapter import Unrecorded
from envpin.envs.refs.lock_request import lock_request
from envpin.envs.store.store import Store
from envpin.replay import attempts as unrecorded
from envpin.replay.attempts import Manner, is_unrecorded, merge_unrecorded
from envpin.replay.options import MergeOptions
from tests.support.adapters import copy
from tests.support.command import variables
from tests.support.environments import PINS, find_links, store_root
from tests.support.walks import HOW_TO, Walk

if TYPE_CHECKING:
    from envpin.replay.merge import Merged

STATED = "### Framework versions\n\n- PEFT 0.12.0\n- Transformers 4.43.1\n- Pytorch 2.13.0+cpu\n- Tokenizers 0.19.1\n"


def forgotten(name: str, to: Path) -> Path:
    """A copy of a trained adapter, its manifest deleted."""
    pair = copy(name, to)
    (pair / "adapter" / "envpin.json").unlink()
    return pair


def choice(pins: str) -> Unrecorded:
    request = LockRequest(name=pins, requirements=PINS[pins], python="3.11")
    return Unrecorded(basis="inferred", title=pins, family=None, request=request, evidence=(), confidence="low")


def merged_in(pair: Path, monkeypatch: pytest.MonkeyPatch, *order: str, attempts: int = 4) -> tuple[Merged, list[str]]:
    """Merge with these environments as what inference says, in this order; the notes that the user saw."""
    monkeypatch.setenv("UV_FIND_LINKS", ",".join(find_links()))
    monkeypatch.setattr(unrecorded, "unrecorded_choices", lambda *_args, **_options: tuple(map(choice, order)))
    seen: list[Event] = []
    merged = merge_unrecorded(
        pair / "adapter", out=pair / "merged", store=Store(store_root()), options=MergeOptions(), listener=seen.append,
        manner=Manner(max_attempts=attempts),
    )  # fmt: skip
    return merged, [event.message for event in seen if isinstance(event, Note)]


def test_what_its_files_state_is_what_it_is_merged_in(tmp_path: Path) -> None:
    pair = forgotten("grown", tmp_path)
    (pair / "adapter" / "README.md").write_text(STATED)
    (pair / "my_script.py").write_text("import peft\nprint('peft', peft.__version__)\n")
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    walk = Walk("merge-an-unrecorded-adapter.md", pair, variables({"PATH": tools}))
    assert "transformers" in walk.type()
    walk.type()
    record = json.loads((pair / "merged" / "envpin-merge.json").read_text())
    walk.take("text")  # of an environment that gives way: below
    ran = walk.type()
    walk.end()
    assert record["environment"]["basis"] == "inferred"
    packages = record["environment"]["packages"]
    assert (packages["peft"], packages["transformers"]) == ("0.12.0", "4.43.1")
    assert record["verification"]["probe"]["ratio"] < 0.1
    assert any("confidence: stated" in note for note in record["notes"])
    # The other commands that take an adapter infer the same.
    request = lock_request(str(pair / "adapter"))
    assert {"peft==0.12.0", "transformers==4.43.1", "torch==2.13.0"} <= set(request.requirements)
    assert "peft 0.12.0\n" in ran
    assert "inferred transformers 4.43.1, peft 0.12.0" in ran


def test_an_environment_that_drops_the_adapter_gives_way_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = forgotten("qwen2-vl", tmp_path)
    merged, notes = merged_in(pair, monkeypatch, "latest", "vlm", "peft012")
    assert merged.record.environment.packages["transformers"] == "4.51.3"
    assert merged.record.verification["probe"]["ratio"] < 0.1
    shown = (HOW_TO / "merge-an-unrecorded-adapter.md").read_text(encoding="utf-8")
    assert any(note.startswith("not in latest: ") for note in notes)
    assert "trying the next most likely environment: vlm" in notes
    assert "warning: not in " in shown
    assert "warning: trying the next most likely environment: " in shown
    assert any(note.startswith("tried before: latest: ") for note in merged.record.notes)
    assert not any("peft012" in note for note in notes)


def test_rows_of_a_tied_head_that_training_never_saved_need_no_second_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = forgotten("grown-embedding", tmp_path)
    merged, notes = merged_in(pair, monkeypatch, "latest", "peft012")
    assert merged.record.environment.packages["transformers"] == "5.23.0"
    assert not any(note.startswith("tried before") for note in (*merged.record.notes, *notes))
    assert merged.record.merge["rows"] == 321
    assert merged.record.merge["made_rows"] == {"lm_head.weight": (320, 321)}
    assert any(note.startswith("rows 320 to 320 of `lm_head.weight` were never saved") for note in notes)
    assert merged.record.verification["probe"]["ratio"] < 0.1


def test_the_tries_are_bounded_and_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = forgotten("qwen2-vl", tmp_path)
    with pytest.raises(WrongEnvironmentError):
        merged_in(pair, monkeypatch, "latest", "vlm", attempts=1)
    with pytest.raises(CheckFailedError, match="in any of 2 environments"):
        merged_in(pair, monkeypatch, "latest", "latest", "vlm", attempts=2)
    assert {path.name for path in pair.iterdir()} == {"adapter", "base", "done"}


def test_what_no_environment_can_mend_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = forgotten("plain", tmp_path)
    config = pair / "adapter" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "target_modules": ["q_proj"], "r": 8}))
    with pytest.raises(CheckFailedError) as caught:
        merged_in(pair, monkeypatch, "peft012", "latest")
    assert not isinstance(caught.value, WrongEnvironmentError)
    with pytest.raises(InputError):
        merge_unrecorded(
            tmp_path / "nowhere",
            out=tmp_path / "out",
            store=Store(store_root()),
            options=MergeOptions(),
            manner=Manner(),
        )


def test_a_reference_of_the_user_wins(tmp_path: Path) -> None:
    pair = forgotten("plain", tmp_path)
    assert is_unrecorded(open_checkpoint(pair / "adapter"), MergeOptions())
    assert not is_unrecorded(open_checkpoint(pair / "adapter"), MergeOptions(environment="llama3.1"))
    assert not is_unrecorded(open_checkpoint(copy("grown", tmp_path) / "adapter"), MergeOptions())
