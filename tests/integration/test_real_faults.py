"""Every fault, made on real files by real transformers and peft in two eras, and what `check` says of it.

Where peft raises, the test shows that it does; where it stays silent, `check` is the only one to speak.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.diagnose.check import check
from envpin.diagnose.logs.reader import diagnose_log
from tests.support.faults import CROSSED, FAULTS, FORWARD, LATEST, Fault, Made, make_faults, reaction_of

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.diagnose.subject import CheckReport

pytestmark = pytest.mark.xdist_group("real-faults")
ERAS = ("old", "new")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_faults(tmp_path_factory.mktemp("faults"))


def checked(root: Path, fault: Fault) -> CheckReport:
    base = None if fault.base is None else root / fault.base
    if fault.adapter is None:
        assert base is not None
        return check(base, target=fault.target)
    return check(root / fault.adapter, base=base, target=fault.target)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code)
def test_the_fault_is_named(made: Made, fault: Fault, era: str) -> None:
    report = checked(made.old if era == "old" else made.new, fault)
    found = {one.code: one for one in report.findings}
    assert fault.code in found, list(found)
    assert found[fault.code].severity == fault.severity
    assert found[fault.code].fix
    if fault.severity == "blocker":
        assert report.findings[0].severity == "blocker"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("fault", [one for one in FAULTS if one.case], ids=lambda fault: fault.code)
def test_what_peft_does_with_it(made: Made, fault: Fault, era: str) -> None:
    results = made.old_reactions if era == "old" else made.new_reactions
    assert reaction_of(results[fault.case], results["healthy"]) == (fault.old if era == "old" else fault.new)


@pytest.mark.parametrize("era", ERAS)
def test_a_healthy_pair_has_no_finding(made: Made, era: str) -> None:
    root = made.old if era == "old" else made.new
    report = check(root / "healthy", base=root / "base")
    assert report.findings == ()
    assert report.mismatches == ()
    results = made.old_reactions if era == "old" else made.new_reactions
    assert results["healthy"]["raised"] is None
    assert results["healthy"]["effect"] == 4


@pytest.mark.parametrize("era", ERAS)
def test_an_adapter_with_as_many_rows_as_its_base(made: Made, era: str) -> None:
    root = made.old if era == "old" else made.new
    results = made.old_reactions if era == "old" else made.new_reactions
    assert open_checkpoint(root / "vocab-equal").embedding_rows == 320
    assert check(root / "vocab-equal", base=root / "base").findings == ()
    assert results["vocab-equal"]["raised"] is None


def test_qwen_behind_a_trainer_that_resizes(made: Made) -> None:
    """151,665 tokens of a vocabulary padded to 152,064: the rows go over the first ones, and nothing is lost."""
    report = check(made.old / "qwen", base=made.old / "qwen-base")
    assert [(one.code, one.severity) for one in report.findings] == [("vocab-shrunk-padded", "warning")]
    assert {(one.found, one.expected) for one in report.mismatches} == {((151_665, 8), (152_064, 8))}
    assert report.selective is not None
    assert report.selective.sound
    assert "151,665" in report.selective.steps[0]
    assert "[151665, 8]" in made.old_reactions["qwen"]["raised"]


@pytest.mark.parametrize("fault", CROSSED, ids=lambda fault: fault.code)
def test_what_a_newer_era_wrote(made: Made, fault: Fault) -> None:
    assert fault.code in [one.code for one in checked(made.new, fault).blockers]


def test_the_older_era_shows_it(made: Made) -> None:
    assert made.crossed["theta"]["theta"] == 10000.0  # of 500000, and nothing was said
    assert made.new_reactions["theta"]["theta"] == 500000.0
    assert "unexpected keyword argument" in made.crossed["healthy"]["raised"]
    assert "Tokenizer class" in made.crossed["healthy"]["tokenizer"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", ["pickle-weights", "legacy-bin", "sharded-bin", "pickled-adapter"])
def test_pickles_of_real_torch_are_listed_as_torch_loads_them(made: Made, name: str, era: str) -> None:
    root = made.old if era == "old" else made.new
    results = made.old_reactions if era == "old" else made.new_reactions
    adapter = name == "pickled-adapter"
    wanted = open_checkpoint(root / ("healthy" if adapter else "base"))
    found = open_checkpoint(root / name)
    assert {one.name: (one.shape, one.dtype) for one in found.tensors.values()} == {
        one.name: (one.shape, one.dtype) for one in wanted.tensors.values()
    }
    assert len(found.weight_files) == (2 if name == "sharded-bin" else 1)
    for one in found.tensors.values():  # the same bytes, where they are said to be
        other = wanted.tensors[one.name]
        with (root / name / one.file).open("rb") as stream, (wanted.path / other.file).open("rb") as reference:
            stream.seek(one.start)
            reference.seek(other.start)
            assert stream.read(one.end - one.start) == reference.read(other.end - other.start)
    report = check(root / name, base=root / "base") if adapter else check(root / "healthy", base=root / name)
    assert [one.code for one in report.findings] == ["pickle-weights"]
    assert (results[name]["raised"], results[name]["effect"]) == (None, 4)


@pytest.mark.parametrize("fault", FORWARD, ids=lambda fault: fault.case)
def test_what_an_older_era_wrote(made: Made, fault: Fault) -> None:
    """peft drops these experts: with a warning, or without one."""
    assert fault.code in [one.code for one in checked(made.old, fault).blockers]
    assert reaction_of(made.forward[fault.case], made.forward["healthy"]) == fault.new
    assert made.forward[fault.case]["experts"] == 0
    assert made.old_reactions[fault.case]["experts"] > 0


def test_experts_that_peft_converts_are_no_blocker(made: Made) -> None:
    report = check(made.old / "moe-whole", base=made.old / "moe-base", target=LATEST)
    assert [(one.code, one.severity) for one in report.findings] == [("moe-layout", "info")]
    assert made.forward["moe-whole"]["experts"] == 4


# Faults whose error text alone names the cause; a header error may have several.
SPEAKS = ("vocab-grown", "rank-mismatch", "empty-tensors-zero3", "wrong-base-hidden-size", "wrong-base-architecture",
          "truncated-file", "corrupt-header", "missing-shard")  # fmt: skip


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("code", SPEAKS)
def test_diagnose_names_what_peft_raised(made: Made, code: str, era: str) -> None:
    results = made.old_reactions if era == "old" else made.new_reactions
    text = results[code]["raised"]
    assert [one.code for one in diagnose_log(io.BytesIO(text.encode())).findings] == [code]


def test_every_mismatch_of_a_wrong_base_is_in_the_table(made: Made) -> None:
    report = check(made.old / "healthy", base=made.old / "wide")
    assert {one.parameter.split(".")[-3] for one in report.mismatches} == {"q_proj", "v_proj"}
    assert all(one.found != one.expected for one in report.mismatches)
    assert report.selective is not None
    assert not report.selective.sound


def test_selective_loading_is_offered_where_it_is_sound(made: Made) -> None:
    report = check(made.old / "vocab-shrunk-padded", base=made.old / "base448")
    assert report.selective is not None
    assert report.selective.sound
