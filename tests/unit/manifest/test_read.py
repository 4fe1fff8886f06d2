"""Reading, writing, comparing manifests, and the published schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envpin.core.errors import DiskFullError, InputError
from envpin.manifest import schema, write
from envpin.manifest.compare import compare, compare_environment
from envpin.manifest.read import DEPTH_LIMIT, SIZE_LIMIT, parse_manifest, read_manifest
from envpin.manifest.types import (
    BaseModel,
    Distribution,
    GitState,
    Gpu,
    Manifest,
    PythonInfo,
    Resize,
    RunInfo,
    SavedInfo,
    TensorInfo,
    TokenizerInfo,
    TokenSample,
    TorchInfo,
    TrainerInfo,
)
from envpin.recording.injected import hook
from tests.support.places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "ab" * 32
H100 = Gpu(name="H100", capability="9.0", memory=80)
BASE = BaseModel(id="org/base", commit="d" * 40, embedding_rows=320, quantization={"bits": 4}, config_sha256=DIGEST)
TOKENIZER = TokenizerInfo(
    length=321, added={"<x>": 320}, files={"tokenizer.json": DIGEST}, source="saved",
    samples=(TokenSample(text="日本 🙂\u2028", ids=(1, 2)),),
)  # fmt: skip
SAVED = SavedInfo(
    kind="adapter", config={"r": 4, "target_modules": ["b", "a"], "nested": {"x": [None, 1.5]}},
    tensors=(TensorInfo(name="a.weight", shape=(4, 8), dtype="F32"),), files={"a.safetensors": DIGEST},
)  # fmt: skip
FULL = Manifest(
    schema=1,
    envpin="0.1.0",
    run=RunInfo(id="x", argv=("python", "t.py"), git=GitState(commit="c" * 40, dirty=False), seeds={"torch": 2**64 - 1},
                environment={"WORLD_SIZE": "2"}, world_size=2),
    python=PythonInfo(version="3.11.7", platform="linux", libc="glibc 2.36"),
    distributions=(Distribution(name="peft", version="0.12.0"), Distribution(name="torch", version="2.4.0+cu121"),
                   Distribution(name="mine", version="0.1", direct_url="file:///src", editable=True)),
    torch=TorchInfo(version="2.4.0+cu121", cuda="12.1", gpus=(H100,)),
    base=BASE,
    tokenizer=TOKENIZER,
    resizes=(Resize(new_num_tokens=321, rows_before=320, rows_after=321),),
    saved=SAVED,
    trainer=TrainerInfo(class_name="trl.SFTTrainer", seed=1),
    faults=("a: b",),
)  # fmt: skip


def document(**more: Any) -> dict[str, Any]:
    return {"schema": 1, **more}


def faults_of(value: Any) -> tuple[str, ...]:
    with pytest.raises(InputError) as raised:
        parse_manifest(json.dumps(value).encode())
    return raised.value.problems


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    write.write_manifest(tmp_path / "envpin.json", FULL)
    assert read_manifest(tmp_path) == read_manifest(tmp_path / "envpin.json") == FULL
    assert [path.name for path in tmp_path.iterdir()] == ["envpin.json"]


def test_the_hook_writes_what_the_controller_reads() -> None:
    text = hook("document").render(msgspec.to_builtins(FULL))
    assert parse_manifest(text.encode()) == FULL
    assert text == write.render_manifest(FULL), "completing a manifest changes only what it completes"


texts = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(
    st.builds(
        lambda config, argv, added: msgspec.structs.replace(
            FULL, saved=SavedInfo(config=config), run=RunInfo(argv=tuple(argv)), tokenizer=TokenizerInfo(added=added)
        ),
        st.dictionaries(texts, json_values, max_size=4),
        st.lists(texts, max_size=4),
        st.dictionaries(texts, st.integers(0, 2**40), max_size=4),
    )
)
def test_any_manifest_survives_writing(manifest: Manifest) -> None:
    assert parse_manifest(write.render_manifest(manifest).encode()) == manifest


@given(st.dictionaries(st.sampled_from([*Manifest.__struct_fields__, "other"]), json_values, max_size=6))
@settings(max_examples=200)
def test_any_json_is_a_manifest_or_an_input_error(value: dict[str, Any]) -> None:
    try:
        parse_manifest(json.dumps(value).encode())
    except InputError:
        return


@given(st.binary(max_size=60))
def test_any_bytes_are_a_manifest_or_an_input_error(data: bytes) -> None:
    try:
        parse_manifest(data)
    except InputError:
        return


def test_every_problem_is_told_at_once_with_its_path() -> None:
    assert faults_of(
        document(
            distributions=[{"name": "a"}, {"name": "b", "version": 3}],
            run={"argv": "x", "world_size": True, "environment": {"A": 1}},
            base=[], saved={"tensors": [{"name": "t", "shape": [1, "2"], "dtype": "F32"}]}, resizes=None,
        )
    ) == (
        "run.argv: must be a list, is a text",
        "run.world_size: must be an integer, is a truth value",
        "run.environment.A: must be a text, is an integer",
        "distributions[0].version: is missing",
        "distributions[1].version: must be a text, is an integer",
        "base: must be an object, is a list",
        "resizes: must be a list, is null",
        "saved.tensors[0].shape[1]: must be an integer, is a text",
    )  # fmt: skip


def test_what_reaches_an_installer_or_a_path_is_checked() -> None:
    found = faults_of(
        document(
            distributions=[{"name": "--index-url=x", "version": "1"}, {"name": "a", "version": "1; os_name"}],
            saved={"files": {"../../etc/passwd": DIGEST, "ok": "short"}, "tensors": [
                {"name": "t", "shape": [-1], "dtype": "F32"}]},
        )
    )  # fmt: skip
    assert len(found) == 5
    assert found[0].startswith("distributions[0].name: ")
    assert found[2] == "saved.files: '../../etc/passwd' is not a plain file name"


def test_a_later_schema_is_a_clear_error() -> None:
    with pytest.raises(InputError, match="has schema 2; this envpin reads up to 1") as raised:
        parse_manifest(b'{"schema": 2, "distributions": 7}')
    assert raised.value.hint is not None
    assert "upgrade" in raised.value.hint
    assert faults_of({}) == ("schema: is missing",)
    assert faults_of({"schema": 0}) == ("schema: must be at least 1",)
    assert parse_manifest(b'{"schema": 1, "from_a_newer_minor": {"x": 1}}') == Manifest(schema=1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"schema": 1, "run": {"arg', "cut off"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[]", "holds no JSON object"),
        (b'{"schema": NaN}', "NaN is not a JSON number"),
        (b'{"schema": 1, "saved": {"config": ' + b'{"a":' * 100000 + b"1" + b"}" * 100000 + b"}}", "nested too deeply"),
        (b'{"schema": 1, "x": ' + b"[" * (DEPTH_LIMIT + 1) + b"]" * (DEPTH_LIMIT + 1) + b"}", "not a valid manifest"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "cannot be read"),
    ],
)
def test_hostile_bytes(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_manifest(data)


def test_a_missing_and_an_oversized_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_manifest(tmp_path)
    big = tmp_path / "envpin.json"
    with big.open("wb") as stream:
        stream.truncate(SIZE_LIMIT + 1)
    with pytest.raises(InputError, match="a manifest has at most"):
        read_manifest(tmp_path)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "envpin.json"
    write.write_manifest(path, FULL)
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError):
        write.write_manifest(path, Manifest(schema=1))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["envpin.json"]
    monkeypatch.undo()
    with pytest.raises(InputError, match="cannot be written"):
        write.write_manifest(tmp_path / "no" / "envpin.json", FULL)


def test_the_published_schema_is_fresh() -> None:
    published = ROOT / "docs" / "reference" / "envpin.schema.json"
    assert published.read_text(encoding="utf-8") == schema.schema_text(), (
        "run: .venv/bin/python -m envpin.manifest.schema docs/reference/envpin.schema.json"
    )


def test_every_field_is_explained() -> None:
    page = (ROOT / "docs" / "reference" / "manifest.md").read_text(encoding="utf-8")
    for name, value in schema.manifest_schema()["$defs"].items():
        for field in value["properties"]:
            assert f"`{field}`" in page, f"docs/reference/manifest.md does not explain {name}.{field}"


def test_equal_manifests_do_not_differ() -> None:
    assert compare(FULL, FULL) == ()
    assert compare(Manifest(schema=1), Manifest(schema=1)) == ()


def changed(**parts: Any) -> Manifest:
    return msgspec.structs.replace(FULL, **parts)


def python(version: str, libc: str = "glibc 2.36") -> PythonInfo:
    return PythonInfo(version=version, platform="linux", libc=libc)


@pytest.mark.parametrize(
    ("other", "what", "cls"),
    [
        (changed(python=python("3.11.9")), "python.version", "python-patch"),
        (changed(python=python("3.12.7")), "python.version", "python-minor"),
        (changed(python=python("3.11.7", libc="musl")), "python.libc", "platform"),
        (changed(torch=TorchInfo(version="2.4.0+cpu", cuda="12.1", gpus=(H100,))), "torch.version", "torch-build"),
        (changed(base=msgspec.structs.replace(BASE, embedding_rows=321)), "base.embedding_rows", "base"),
        (changed(tokenizer=msgspec.structs.replace(TOKENIZER, length=322)), "tokenizer.length", "tokenizer"),
        (changed(resizes=()), "resizes", "resize"),
        (changed(trainer=TrainerInfo(class_name="trl.SFTTrainer", seed=2)), "trainer.seed", "trainer"),
        (changed(saved=msgspec.structs.replace(SAVED, tensors=())), "saved.tensors.a.weight", "tensors"),
    ],
)
def test_each_difference_has_its_class(other: Manifest, what: str, cls: str) -> None:
    (found,) = compare(FULL, other)
    assert (found.what, found.cls) == (what, cls)
    (back,) = compare(other, FULL)
    assert (back.before, back.after) == (found.after, found.before)


def test_distributions_differ_by_version_label_and_source() -> None:
    other = changed(
        distributions=(Distribution(name="peft", version="0.13.0"), Distribution(name="torch", version="2.4.0"),
                       Distribution(name="mine", version="0.1"), Distribution(name="more", version="1"))
    )  # fmt: skip
    found = {one.what: (one.before, one.after, one.cls) for one in compare(FULL, other)}
    assert found == {
        "distributions.peft": ("0.12.0", "0.13.0", "version"),
        "distributions.torch": ("2.4.0+cu121", "2.4.0", "torch-build"),
        "distributions.mine.source": ("editable file:///src", "an index", "source"),
        "distributions.more": ("absent", "1", "dependency"),
    }
    same = {one.name: one.version for one in FULL.distributions}
    assert compare_environment(FULL, same, python="3.11.7") == ()
    (only,) = compare_environment(FULL, {**same, "peft": "0.13.0"}, python="3.11.7")
    assert only.cls == "version"


def test_the_order_of_target_modules_is_no_difference() -> None:
    config = {**(SAVED.config or {}), "target_modules": ["a", "b"]}
    assert compare(FULL, changed(saved=msgspec.structs.replace(SAVED, config=config))) == ()
