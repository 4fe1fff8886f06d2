"""A guess by likeness: when there is one, what it says, and when there is none."""

from __future__ import annotations

import pytest

from envpin.diagnose.catalogue.catalogue import load_catalogue
from envpin.diagnose.logs.ending.nearest import explain_nearest, features_of, package_in, vote
from envpin.diagnose.logs.ending.unexplained import Unexplained, UnexplainedError

LIKE_MANY = "AttributeError: 'Qwen9ForCausalLM' object has no attribute '_supports_sdpa_9'"
SCRIPT = 'Traceback (most recent call last):\n  File "/srv/project/app.py", line 12, in main\n    go()\n'
TRL = (
    'Traceback (most recent call last):\n  File "/srv/lib/python3.12/site-packages/trl/x.py", line 1, in go\n    y()\n'
)


def test_an_error_like_known_ones_is_guessed_and_says_so() -> None:
    told = explain_nearest(LIKE_MANY)
    assert told is not None
    assert told.code == "transformers-api-changed"
    assert told.says.startswith("a guess by likeness")
    assert "transformers 5." in told.says, "a guess that blames a version names it"
    assert told.fix[0].startswith("read how the nearest one was resolved: https://github.com/")
    assert told.code in load_catalogue()


def test_a_guess_names_the_release_that_the_log_states() -> None:
    told = explain_nearest(LIKE_MANY, "transformers==4.53.1\n")
    assert told is not None
    assert "this log names transformers 4.53.1" in told.says


@pytest.mark.parametrize(
    "text",
    [
        SCRIPT + "AttributeError: 'Invoice' object has no attribute '_supports_refunds'",
        SCRIPT + LIKE_MANY.replace("Qwen9ForCausalLM", "RouterForCars"),
        "KeyError: 'total'",
        "TypeError: Order.__init__() got an unexpected keyword argument 'slug'",
        "",
    ],
)
def test_an_error_of_another_field_is_not_guessed(text: str) -> None:
    assert explain_nearest(text) is None


def test_a_strong_guess_needs_more_agreement() -> None:
    weak = TRL + "ValueError: the qlora window has to be even"
    assert explain_nearest(weak, strong=True) is None
    same = vote(features_of("ValueError: 'aimv2' is already used by a Transformers config, pick another name."))
    assert same is not None
    assert same.share == pytest.approx(1.0)
    assert same.likeness > 0.9


def test_the_same_error_is_left_out_on_demand() -> None:
    features = features_of("ValueError: 'aimv2' is already used by a Transformers config, pick another name.")
    first = vote(features)
    assert first is not None
    other = vote(features, {first.source})
    assert other is not None
    assert other.source != first.source
    assert other.likeness <= first.likeness


def test_what_loggers_put_before_lines_is_no_feature() -> None:
    plain = features_of("ValueError: no such adapter\n")
    assert features_of("[rank3]: ValueError: no such adapter\n") == plain
    assert (
        features_of("(EngineCore_DP0 pid=759) ERROR 10-15 18:25:16 [core.py:708] ValueError: no such adapter") == plain
    )


def test_a_package_is_told_by_the_deepest_frame_then_by_names() -> None:
    assert package_in(TRL + "KeyError: 'x'") == "trl"
    assert package_in("AttributeError: 'GRPOConfig' object has no attribute 'x'") == "trl"
    assert package_in("KeyError: 'x'") is None


def error(line: int, text: str, before: str = "") -> UnexplainedError:
    return UnexplainedError(line, text, f"{before}{text}", "")


def test_what_a_library_says_itself_comes_before_a_guess() -> None:
    some = Unexplained()
    some.keep(error(1, LIKE_MANY), named=True)
    some.keep(error(9, "IndexError: list index out of range", TRL), named=True)
    answer = some.answer()
    assert answer is not None
    assert (answer.error.line, answer.told.code, answer.guess) == (9, "library-fault", False)


def test_complaints_are_asked_only_where_no_exception_is_named() -> None:
    some = Unexplained()
    some.keep(error(1, "Bitsandbytes was compiled without GPU support"), named=False)
    answer = some.answer()
    assert answer is not None
    assert (answer.told.code, answer.guess) == ("torch-companion-mismatch", True)
    some.keep(error(2, "KeyError: 'total'", SCRIPT), named=True)
    assert some.answer() is None
    assert Unexplained().answer() is None
