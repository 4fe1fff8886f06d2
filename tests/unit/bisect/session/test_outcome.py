"""Statuses first, verdicts second: what an outcome means, and how a command's output is read."""

from __future__ import annotations

import pytest

from envpin.bisect.session.outcome import ProbeOutcome, as_seen, from_command, from_worker, judge, same_failure
from envpin.host.verbs import ProbeError, ProbeReply

FAILED = ProbeOutcome(status="failed", error_type="KeyError", message="'qwen2'", text="Traceback …\nKeyError: 'qwen2'")


@pytest.mark.parametrize(
    ("outcome", "expect", "verdict"),
    [
        (ProbeOutcome(status="passed"), None, "good"),
        (ProbeOutcome(status="passed"), "anything", "good"),
        (FAILED, None, "bad"),
        (FAILED, r"^KeyError: 'qwen\d'$", "bad"),
        (FAILED, "ImportError", "other-fail"),
        (ProbeOutcome(status="crashed", text="SIGSEGV"), None, "bad"),
        (ProbeOutcome(status="crashed", text="SIGSEGV"), "KeyError", "other-fail"),
        (ProbeOutcome(status="timed-out"), None, "untestable"),
        (ProbeOutcome(status="declined"), None, "untestable"),
        (ProbeOutcome(status="unresolvable"), None, "untestable"),
        (ProbeOutcome(status="uninstallable"), None, "untestable"),
    ],
)
def test_verdicts(outcome: ProbeOutcome, expect: str | None, verdict: str) -> None:
    assert judge(outcome, expect) == verdict


def test_the_older_end_is_before_whatever_is_searched_for() -> None:
    assert [as_seen("good", find="broke"), as_seen("bad", find="broke")] == ["before", "after"]
    assert [as_seen("good", find="fixed"), as_seen("bad", find="fixed")] == ["after", "before"]
    assert {as_seen(verdict, find=find) for verdict in ("other-fail", "untestable") for find in ("broke", "fixed")} == {
        "untestable"
    }


def test_a_command_is_read_by_its_status_and_its_last_traceback() -> None:
    stderr = (
        "Traceback (most recent call last):\n"
        '  File "/home/me/probe.py", line 1, in <module>\n'
        '  File "/store/key/lib/python3.11/site-packages/pkg/core.py", line 4, in run\n'
        "pkg.errors.ShapeError: size mismatch for x\n"
    )
    outcome = from_command(1, "hello\n", stderr, seconds=1.0, folder="/store/key")
    assert (outcome.status, outcome.error_type, outcome.message) == ("failed", "ShapeError", "size mismatch for x")
    assert outcome.modules == ("pkg/core.py",)
    sought = (
        "ImportError: cannot import name 'X' from 'pkg.a' (/store/key/lib/python3.11/site-packages/pkg/a/__init__.py)"
    )
    assert from_command(1, "", sought, seconds=1.0, folder="/store/key").modules == ("pkg/a/__init__.py",)
    assert from_command(0, "", stderr, seconds=1.0, folder="/x").status == "passed"
    assert from_command(125, "cannot tell", "", seconds=1.0, folder="/x").status == "declined"
    crashed = from_command(-11, "", "", seconds=1.0, folder="/x")
    assert (crashed.status, crashed.error_type) == ("crashed", "signal 11")
    assert from_command(3, "no good", "", seconds=1.0, folder="/x").first_lines == "exit status 3: no good"


def test_a_worker_answer_becomes_an_outcome() -> None:
    assert from_worker(ProbeReply(status="passed", seconds=1.5, details={"moved": 0.2})).details == {"moved": 0.2}
    error = ProbeError(type="ValueError", message="bad\n\nworse", traceback="…", modules=("a.py",))
    outcome = from_worker(ProbeReply(status="failed", seconds=1.5, details={}, error=error))
    assert outcome.first_lines == "ValueError: bad\nworse"
    assert outcome.modules == ("a.py",)


def test_signatures_see_through_numbers_paths_and_names() -> None:
    one = ProbeOutcome(status="failed", error_type="ImportError", message="cannot import 'A' from /store/1/x.py")
    two = ProbeOutcome(status="failed", error_type="ImportError", message="cannot import 'B' from /store/2/y.py")
    three = ProbeOutcome(status="failed", error_type="KeyError", message="cannot import 'B' from /store/2/y.py")
    assert one.signature == two.signature != three.signature
    assert ProbeOutcome(status="passed").signature is None


def test_a_reworded_failure_is_the_same_one() -> None:
    def failure(kind: str, message: str) -> ProbeOutcome:
        return ProbeOutcome(status="failed", error_type=kind, message=message)

    old = failure("ValueError", "`rope_scaling` must be a dictionary with with two fields, `type` and `factor`, got 1")
    new = failure("ValueError", "`rope_scaling` must be a dictionary with two fields, `type` and `factor`, got {2}")
    assert same_failure(old, new)
    assert not same_failure(old, failure("TypeError", old.message or ""))
    assert not same_failure(old, failure("ValueError", "shapes do not match"))
    assert not same_failure(old, ProbeOutcome(status="passed"))


def test_numbers_past_the_limit_are_one_failure() -> None:
    end = ProbeOutcome(status="failed", error_type="Metric", message="the bad end has 5.49 ± 0.008 (6 runs)")
    later = ProbeOutcome(status="failed", error_type="Metric", message="5.5 over 2 runs is past the limit of 5.25")
    assert same_failure(end, later)
    assert not same_failure(end, ProbeOutcome(status="failed", error_type="ImportError", message=end.message))
