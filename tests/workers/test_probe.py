"""The probe worker in real environments: each action, failures as data, and adapters that silently became nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from envpin.bisect.question import ProbeQuestion
from envpin.bisect.session.prober import Prober
from envpin.core.errors import InfrastructureError
from envpin.host import worker
from envpin.host.session import WorkerSession
from envpin.host.verbs import ProbeCall, ProbeError, ProbeReply, TinyModelCall
from tests.support.environments import pinned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("probe")
# The libraries are imported once for each environment; every request has a fork of its own. `Prober`, below, starts a
# process for each.
SESSIONS: dict[str, WorkerSession] = {}
CLOSING = contextlib.ExitStack()


@pytest.fixture(scope="module", autouse=True)
def _sessions_end() -> Iterator[None]:
    yield
    SESSIONS.clear()
    CLOSING.close()


def session(environment: str) -> WorkerSession:
    if environment not in SESSIONS:
        SESSIONS[environment] = CLOSING.enter_context(
            WorkerSession(
                pinned(environment).python, imports=("torch", "transformers", "peft"), env={"OMP_NUM_THREADS": "1"}
            )
        )
    return SESSIONS[environment]


def probe(
    environment: str,
    action: str,
    folder: Path,
    *,
    model: str | None = None,
    adapter: str | None = None,
    reference: str | None = None,
    write_reference: str | None = None,
) -> ProbeReply:
    call = ProbeCall(
        action=action, model=model or str(folder / "model"), adapter=adapter or str(folder / "adapter"), float32=True,
        reference=reference, write_reference=write_reference,
    )  # fmt: skip
    return session(environment).call(call)


def tiny(environment: str, family: str, folder: Path, *, weights: bool = True) -> None:
    adapter = str(folder / "adapter") if weights else None
    call = TinyModelCall(family=family, folder=str(folder / "model"), weights=weights, adapter=adapter)
    session(environment).call(call)


def number(answer: ProbeReply, name: str) -> float:
    found = answer.details[name]
    assert isinstance(found, float)
    return found


def error_of(answer: ProbeReply) -> ProbeError:
    assert answer.error is not None, answer
    return answer.error


def test_every_action_passes_on_a_healthy_pair(tmp_path: Path) -> None:
    tiny("peft012", "llama3.1", tmp_path)
    for action in ("config", "generate", "train", "load-adapter", "merge"):
        answer = probe("peft012", action, tmp_path)
        assert answer.status == "passed", (action, answer)
    assert number(answer, "ratio") < 1e-3
    assert number(answer, "moved") > 0.01


def test_a_release_too_old_for_the_family_fails_as_its_user_sees_it(tmp_path: Path) -> None:
    tiny("peft012", "qwen3-moe", tmp_path, weights=False)
    answer = probe("peft012", "load", tmp_path)
    assert answer.status == "failed"
    assert error_of(answer).type == "ValueError"
    assert "`qwen3_moe` but Transformers does not recognize this architecture" in error_of(answer).message
    assert "transformers/models/auto/configuration_auto.py" in error_of(answer).modules
    assert error_of(answer).traceback.startswith("Traceback")


def test_an_adapter_that_a_new_release_turns_into_nothing_is_bad(tmp_path: Path) -> None:
    tiny("vlm", "qwen2-vl", tmp_path)
    reference = str(tmp_path / "reference.json")
    assert probe("vlm", "merge", tmp_path, write_reference=reference).status == "passed"
    assert number(probe("vlm", "merge", tmp_path, reference=reference), "effect_change") < 1e-6
    answer = probe("latest", "merge", tmp_path, reference=reference)
    assert error_of(answer).type == "AdapterDoesNothingError"
    assert number(answer, "moved") == 0.0


def test_own_files_are_held_against_what_they_answered_at_the_good_end(tmp_path: Path) -> None:
    tiny("vlm", "qwen2-vl", tmp_path)
    adapter, base = tmp_path / "adapter", tmp_path / "model"
    question = ProbeQuestion(action="merge", adapter=str(adapter), base=str(base))
    prober = Prober(question, tmp_path / "search" / "probe")
    good = pinned("vlm")
    prober.prepare(good)
    assert prober.lacks_reference
    outcome = prober.run(good, is_good_end=True, variables={})
    assert outcome.status == "passed", outcome
    assert not prober.lacks_reference
    assert prober.run(pinned("latest"), is_good_end=False, variables={}).error_type == "AdapterDoesNothingError"
    (tmp_path / "search" / "probe" / "reference.json").write_text("{")
    with pytest.raises(InfrastructureError, match="reference answers"):
        prober.run(good, is_good_end=False, variables={})
    adapter.rename(tmp_path / "moved")
    with pytest.raises(InfrastructureError, match="not there any more"):
        prober.run(good, is_good_end=False, variables={})


def test_half_an_adapter_and_another_base_are_told_apart(tmp_path: Path) -> None:
    tiny("peft012", "llama3", tmp_path)
    reference = str(tmp_path / "reference.json")
    probe("peft012", "merge", tmp_path, write_reference=reference)
    import json

    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    halved = tmp_path / "halved"
    halved.mkdir()
    (halved / "adapter_model.safetensors").write_bytes(
        (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes()
    )
    (halved / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": config["lora_alpha"] / 2}))
    answer = probe("peft012", "merge", tmp_path, reference=reference, adapter=str(halved))
    assert error_of(answer).type == "AdapterEffectDiffersError"
    other = tmp_path / "other"
    session("peft012").call(TinyModelCall(family="llama3", folder=str(other / "model"), seed=7))
    answer = probe("peft012", "merge", tmp_path, reference=reference, model=str(other / "model"))
    assert error_of(answer).type == "BaseDiffersError"


def test_trouble_of_the_machine_is_an_error_and_not_an_outcome(tmp_path: Path) -> None:
    with pytest.raises(worker.WorkerError) as caught:
        probe("peft012", "sing", tmp_path)
    assert caught.value.worker_kind == "unknown-action"
    with pytest.raises(worker.WorkerError) as caught:
        tiny("peft012", "no-such-family", tmp_path, weights=False)
    assert caught.value.worker_kind == "unknown-family"
