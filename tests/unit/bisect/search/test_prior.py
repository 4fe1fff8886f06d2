"""What wheels hint at: weights that steer and never exclude."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envpin.bisect.search.prior import ProbeSubject, Reading, exported, guess, imported, read

MODEL = "transformers/models/qwen2/modeling_qwen2.py"
AUTO = "transformers/models/auto/configuration_auto.py"
ROPE = "transformers/modeling_rope_utils.py"
INIT = "transformers/__init__.py"


def test_a_model_type_that_appears_outweighs_everything() -> None:
    subject = ProbeSubject(package="transformers", model_type="qwen2")
    assert {AUTO, MODEL} <= set(subject.members("4.37.0"))
    old = read(subject, {AUTO: b'    ("llama", "LlamaConfig"),\n'})
    new = read(
        subject, {AUTO: b'    ("llama", "LlamaConfig"),\n    ("qwen2", "Qwen2Config"),\n', MODEL: b"class A: ..."}
    )
    made = guess(["4.36.0", "4.36.1", "4.37.0", "4.38.0"], [old, old, new, new])
    assert made.weights[2] > 20 * max(made.weights[1], made.weights[3])
    assert made.reasons[2] == "model type `qwen2` appears"


def test_mappings_of_new_releases_are_read_as_well() -> None:
    subject = ProbeSubject(package="transformers", model_type="qwen2")
    text = b'CONFIG_MAPPING_NAMES = OrderedDict[str, str]([\n        ("qwen2", "Qwen2Config"),\n    ])'
    assert read(subject, {"transformers/models/auto/auto_mappings.py": text}).marks == {"model type `qwen2`"}


def test_rope_types_fused_experts_and_renamed_keys_are_marks() -> None:
    subject = ProbeSubject(package="transformers", model_type="qwen2", rope_type="llama3")
    marks = read(subject, {ROPE: b'ROPE = {"llama3": f}', MODEL: b"_checkpoint_conversion_mapping = {}"}).marks
    assert marks == {"rope type `llama3`", "a renaming of checkpoint keys"}
    fused = b"self.gate_up_proj = nn.Parameter(torch.empty(self.num_experts, 2))"
    assert "experts fused into one parameter" in read(subject, {MODEL: fused}).marks


def test_a_name_that_one_imports_and_the_other_lacks_is_a_mark() -> None:
    peft = {"peft/peft_model.py": b"from transformers import (\n    Cache,\n    EncoderDecoderCache,  # noqa\n)\n"}
    subject = ProbeSubject(package="peft", exports=exported('"Cache", "DynamicCache"'))
    assert read(subject, peft).marks == {"import of `EncoderDecoderCache`, which the held transformers lacks"}
    assert imported(["from transformers import Aa, Bb as Cc\nfrom transformers.x import Dd\n"]) == {"Aa", "Bb", "Cc"}
    held = ProbeSubject(package="transformers", imports=frozenset({"HybridCache"}))
    assert read(held, {INIT: b'"HybridCache"'}).marks == frozenset()
    assert read(held, {INIT: b'"Cache"'}).marks == {"lack of `HybridCache`, which the held peft imports"}
    many = ProbeSubject(package="transformers", imports=frozenset("abcdefgh"))
    assert read(many, {INIT: b"import structure"}).marks == frozenset(), "the file lists folders, not names"


def test_a_torch_floor_above_the_held_torch_is_a_mark() -> None:
    subject = ProbeSubject(package="transformers", torch="2.4.0+cpu")
    (name,) = [member for member in subject.members("5.0.0") if member.endswith("METADATA")]
    assert name == "transformers-5.0.0.dist-info/METADATA"
    low = b'Requires-Dist: torch>=2.4 ; extra == "torch"\nRequires-Dist: torch; extra == "all"\n'
    high = b'Requires-Dist: torch (>=2.5.1,!=2.6); extra == "torch"\n'
    assert read(subject, {name: low}).marks == frozenset()
    assert read(subject, {name: high}).marks == {"a torch floor above 2.4.0+cpu"}


def test_harm_that_comes_breaks_and_harm_that_goes_mends() -> None:
    fine, harmed = Reading(), Reading(marks=frozenset({"lack of `X`, which the held peft imports"}))
    versions = ["1.0", "1.1", "1.2"]
    assert set(guess(versions, [fine, harmed, fine], "broke").reasons) == {1}
    assert set(guess(versions, [fine, harmed, fine], "fixed").reasons) == {2}


def test_other_packages_have_nothing_to_read() -> None:
    assert ProbeSubject(package="numpy").members("1.0") == ()
    made = guess(["1.0", "1.1", "1.1.1", "2.0"], [None] * 4)
    assert made.weights[3] > made.weights[1] > made.weights[2] > 0
    assert not made.reasons


readings = st.one_of(
    st.none(),
    st.builds(
        Reading,
        marks=st.frozensets(st.sampled_from(["a", "b"])),
        names=st.frozensets(st.sampled_from(["x", "y"])),
        code=st.sampled_from([(), (("f", "1"),), (("f", "2"),)]),
    ),
)


@given(st.lists(readings, min_size=1, max_size=20))
def test_no_release_is_ever_excluded(found: list[Reading | None]) -> None:
    made = guess([f"1.{number}" for number in range(len(found))], found)
    assert len(made.weights) == len(found)
    assert all(weight > 0 for weight in made.weights)


@given(st.dictionaries(st.sampled_from([AUTO, MODEL, ROPE, INIT]), st.binary(max_size=200)))
def test_whatever_a_wheel_holds_can_be_read(members: dict[str, bytes]) -> None:
    for package in ("transformers", "peft"):
        read(ProbeSubject(package=package, model_type="qwen2", rope_type="x", imports=frozenset({"A"})), members)
