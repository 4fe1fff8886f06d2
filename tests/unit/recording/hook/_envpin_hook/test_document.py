"""Secrets in what a run was given: hyperparameters, data, paths and command pass one door before they are written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from envpin.recording.injected import hook

SECRET = "hf_" + "aB3dE5gH7jK9mN1pQ3sT5vW7"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

GIVEN: dict[str, Any] = {
    "argument": {"training": {"arguments": {"run_name": f"try {SECRET}"}}},
    "argument named as a secret": {"training": {"arguments": {"hub_token": "plain words"}}},
    "nested argument": {"training": {"arguments": {"model_init_kwargs": {"token": SECRET, "more": [SECRET]}}}},
    "optimizer": {"training": {"optimizer": {"name": "own.AdamW", "groups": [{"note": SECRET}]}}},
    "dataset": {"training": {"datasets": [{"name": "json", "files": {f"https://me:{SECRET}@host/a.json": {}}}]}},
    "dataset of the trainer": {"training": {"dataset": {"kind": "list", "columns": [SECRET]}}},
    "output": {"training": {"output": f"/runs/{SECRET}/out"}},
    "resumed": {"training": {"resumed_from": f"/runs/{SECRET}/checkpoint-1"}},
    "argv": {"run": {"argv": ["train.py", "--hub_token", SECRET]}},
    "code": {"code": {"script": f"/home/{SECRET}/train.py"}},
    "adapter config": {"saved": {"config": {"base_model_name_or_path": f"https://me:{SECRET}@host/base"}}},
    "fault": {"faults": [f"reading: no access with {SECRET}"]},
}


@pytest.mark.parametrize("where", sorted(GIVEN))
def test_no_secret_passes_the_door(where: str) -> None:
    document = json.loads(json.dumps(GIVEN[where]))
    hook("document")._redact(document)
    written = json.dumps(document)
    assert SECRET not in written
    assert "plain words" not in written


def test_tensors_named_like_keys_keep_their_digests() -> None:
    tensors = {"base_model.k_proj.key.lora_A.weight": DIGEST[:16]}
    document = {"training": {"initial": {"adapter": {"digest": DIGEST, "tensors": tensors}}}}
    hook("document")._redact(document)
    assert document == {"training": {"initial": {"adapter": {"digest": DIGEST, "tensors": tensors}}}}
