"""Builds of torch by their labels: real uv, from an index in this process that has some, lacks hashes, or lies."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import BuildError, EnvpinError, ResolutionError
from envpin.core.events import Event, Note
from envpin.envs.locks.torch_wish import TorchWish
from envpin.envs.machine import default_python
from envpin.envs.refs.pins import Resolver
from envpin.envs.refs.recorded import find_ready
from envpin.envs.refs.resolve import resolve
from envpin.envs.store.store import Store
from envpin.envs.store.torch_installed import installed_torch, torch_findings
from envpin.manifest.closure import closure_of
from envpin.manifest.read import read_manifest
from envpin.replay.merge import rebuilt_state
from envpin.replay.verdict import judge
from tests.support.command import answer, envpin
from tests.support.simple_index import SimpleIndex
from tests.support.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="builds of torch have no labels on a Mac")
OTHERS = ("transformers", "peft", "safetensors", "tokenizers", "accelerate", "huggingface-hub", "numpy")


def torch_wheel(
    folder: Path, version: str, *, cuda: str | None, hip: str | None = None, requires: tuple[str, ...] = ()
) -> Path:
    """A torch that says of itself what it was built for."""
    said = f"__version__ = {version!r}\ncuda: Optional[str] = {cuda!r}\nhip: Optional[str] = {hip!r}\n"
    files = {"torch/__init__.py": "", "torch/version.py": f"from typing import Optional\n{said}"}
    return make_wheel(folder, "torch", version, files=files, requires=requires)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleIndex]:
    """torch 2.3.0 as the index's own build (CUDA, with what it brings along), for the CPU, and, without a hash, for
    CUDA 12.1 and for ROCm; and torch 2.4.0 only as the index's own."""
    folder, index = tmp_path / "wheels", SimpleIndex()
    wheels = [make_wheel(folder, name, "1.0") for name in (*OTHERS, "nvidia-cublas-cu12")]
    wheels += [
        torch_wheel(folder, "2.3.0", cuda="12.1", requires=("nvidia-cublas-cu12",)),
        torch_wheel(folder, "2.4.0", cuda="12.4", requires=("nvidia-cublas-cu12",)),
        torch_wheel(folder, "2.3.0+cpu", cuda=None),
    ]
    for wheel in wheels:
        index.add(wheel.name, wheel.read_bytes())
    for wheel in (
        torch_wheel(folder, "2.3.0+cu121", cuda="12.1"),
        torch_wheel(folder, "2.3.0+rocm6.2", cuda=None, hip="6.2.1"),
    ):
        index.add(wheel.name, wheel.read_bytes(), sha256="")
    for name in ("UV_FIND_LINKS", "UV_INDEX", "UV_TORCH_BACKEND", "ENVPIN_TORCH_BACKEND", "ENVPIN_TORCH_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    # PyTorch's own indexes are out of reach of a test, at once.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        yield index


def adapter(folder: Path, torch: str, **said: str) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}', encoding="utf-8")
    names = {"torch": torch, **dict.fromkeys(OTHERS, "1.0")}
    manifest = {
        "schema": 1,
        "distributions": [{"name": name, "version": version} for name, version in names.items()],
        "python": {"version": f"{default_python()}.1"},
        "torch": {"version": torch, **said},
    }
    (folder / "envpin.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("recorded", "cuda"), [("2.3.0+cpu", None), ("2.3.0+cu121", "12.1"), ("2.3.0+rocm6.2", None)])
def test_each_label_resolves_to_its_build_and_installs_as_recorded(
    tmp_path: Path, index: SimpleIndex, recorded: str, cuda: str | None
) -> None:
    assert index.pages
    folder = adapter(tmp_path / "adapter", recorded)
    events: list[Event] = []
    store = Store(tmp_path / "store")
    spec = resolve(str(folder), Resolver(root=store.root, listener=events.append))
    assert spec.lock.versions_of("torch") == (recorded,)
    assert all(wheel.hashes for package in spec.lock.packages for wheel in package.wheels or ())
    environment = store.ensure(spec)
    torch = installed_torch(environment.path)
    assert torch is not None
    assert (torch.version, torch.cuda) == (recorded, cuda)
    manifest = read_manifest(folder / "envpin.json")
    assert not [
        one
        for one in judge(manifest, closure_of(manifest), rebuilt_state(environment)).differences
        if one.what == "torch"
    ]
    assert not [event for event in events if isinstance(event, Note)]


def test_a_build_that_no_index_has_is_said_with_its_size_and_named_in_the_verdict(
    tmp_path: Path, index: SimpleIndex
) -> None:
    folder = adapter(tmp_path / "adapter", "2.4.0+cpu")
    events: list[Event] = []
    store = Store(tmp_path / "store")
    spec = resolve(str(folder), Resolver(root=store.root, listener=events.append))
    assert spec.lock.versions_of("torch") == ("2.4.0",)
    (note,) = [event for event in events if isinstance(event, Note)]
    assert note.level == "warning"
    assert "`cpu` was recorded" in note.message
    assert "torch 2.4.0 is used instead" in note.message
    assert "to download" in note.message
    assert not any("torch-2.4.0-" in path and span is None for path, span in index.requests)
    manifest = read_manifest(folder / "envpin.json")
    verdict = judge(manifest, closure_of(manifest), rebuilt_state(store.ensure(spec)))
    assert ("torch", "2.4.0+cpu", "2.4.0", "torch-build") in [
        (one.what, one.recorded, one.rebuilt, one.cls) for one in verdict.differences
    ]


def test_the_answer_depends_on_what_was_asked_and_not_on_what_was_asked_before(
    tmp_path: Path, index: SimpleIndex
) -> None:
    assert index.pages
    store = Store(tmp_path / "store")
    cuda = adapter(tmp_path / "cuda", "2.3.0+cu121")
    cpu = adapter(tmp_path / "cpu", "2.3.0+cpu")
    store.ensure(resolve(str(cuda), Resolver(root=store.root)))
    assert find_ready(read_manifest(cuda / "envpin.json"), store, python=default_python()) is not None
    assert find_ready(read_manifest(cpu / "envpin.json"), store, python=default_python()) is None
    for folder, wanted in ((cpu, "2.3.0+cpu"), (cuda, "2.3.0+cu121"), (cpu, "2.3.0+cpu")):
        assert resolve(str(folder), Resolver(root=store.root)).lock.versions_of("torch") == (wanted,)


def test_what_an_unreachable_index_decided_is_not_remembered(tmp_path: Path, index: SimpleIndex) -> None:
    folder = adapter(tmp_path / "adapter", "2.4.0+cpu")
    resolver = Resolver(root=tmp_path / "store")
    assert resolve(str(folder), resolver).lock.versions_of("torch") == ("2.4.0",)
    wheel = torch_wheel(tmp_path / "wheels", "2.4.0+cpu", cuda=None)
    index.add(wheel.name, wheel.read_bytes())
    import os
    import shutil

    shutil.rmtree(os.environ["UV_CACHE_DIR"])  # it holds the page for ten minutes
    assert resolve(str(folder), resolver).lock.versions_of("torch") == ("2.4.0+cpu",)


def test_a_build_that_was_asked_for_is_required(tmp_path: Path, index: SimpleIndex) -> None:
    assert index.pages
    asked = Resolver(root=tmp_path / "store", torch=TorchWish(label="cu121", required=True))
    assert asked.pins(["torch==2.3.0"]).lock.versions_of("torch") == ("2.3.0+cu121",)
    with pytest.raises(ResolutionError, match="`cu121`"):
        asked.pins(["torch==2.4.0"])
    with pytest.raises(ResolutionError):
        Resolver(root=tmp_path / "store").pins(["torch==2.4.0+cpu"])


def test_a_wheel_that_lies_about_its_build_is_not_installed(tmp_path: Path, index: SimpleIndex) -> None:
    wheel = torch_wheel(tmp_path / "lies", "2.5.0+cpu", cuda="12.4")
    index.add(wheel.name, wheel.read_bytes())
    store = Store(tmp_path / "store")
    spec = Resolver(root=store.root).pins(["torch==2.5.0+cpu"])
    with pytest.raises(BuildError, match=r"names the build `cpu`, and the torch in it says CUDA 12\.4"):
        store.ensure(spec)
    assert store.list() == ()


def test_a_page_that_lies_about_a_hash_installs_nothing(tmp_path: Path, index: SimpleIndex) -> None:
    wheel = torch_wheel(tmp_path / "lies", "2.6.0+cpu", cuda=None)
    index.add(wheel.name, wheel.read_bytes(), sha256="0" * 64)
    store = Store(tmp_path / "store")
    with pytest.raises(EnvpinError):
        store.ensure(Resolver(root=store.root).pins(["torch==2.6.0+cpu"]))
    assert store.list() == ()


def test_an_old_driver_and_two_cuda_majors_are_findings(tmp_path: Path, index: SimpleIndex) -> None:
    wheel = make_wheel(tmp_path / "wheels", "nvidia-nccl-cu11", "2.0")
    index.add(wheel.name, wheel.read_bytes())
    store = Store(tmp_path / "store")
    environment = store.ensure(Resolver(root=store.root).pins(["torch==2.3.0+cu121", "nvidia-nccl-cu11"]))
    artifacts = environment.receipt.artifacts
    old, mixed = torch_findings(environment.path, lambda: artifacts, driver="470.82.01")
    assert (old.code, mixed.code) == ("cuda-driver-too-old", "cuda-majors-mixed")
    assert "525.60.13" in old.message
    assert "470.82.01" in old.message
    assert [one.code for one in torch_findings(environment.path, lambda: artifacts, driver="525.60.13")] == [
        "cuda-majors-mixed"
    ]
    assert torch_findings(environment.path, lambda: artifacts[-1:], driver=None) == ()


@pytest.fixture
def mirror(tmp_path: Path, index: SimpleIndex, monkeypatch: pytest.MonkeyPatch) -> SimpleIndex:
    """The index with PyTorch's own beside it, in its layout: torch 2.2.0 in four builds that the index does not have,
    and an old copy of numpy, as there."""
    for label, cuda, hip in (("cpu", None, None), ("cu121", "12.1", None), ("rocm6.2", None, "6.2.1")):
        wheel = torch_wheel(tmp_path / "builds", f"2.2.0+{label}", cuda=cuda, hip=hip)
        index.add_build(label, wheel.name, wheel.read_bytes())
        old = make_wheel(tmp_path / "builds", "numpy", "0.9")
        index.add_build(label, old.name, old.read_bytes())
    plain = torch_wheel(tmp_path / "builds", "2.2.0", cuda="12.1")
    index.add(plain.name, plain.read_bytes())
    monkeypatch.setenv("ENVPIN_TORCH_INDEX", index.torch_url)
    return index


@pytest.mark.parametrize(("label", "cuda"), [("cpu", None), ("cu121", "12.1"), ("rocm6.2", None)])
def test_a_mirror_of_pytorchs_indexes_gives_the_build_that_is_asked_for(
    tmp_path: Path, mirror: SimpleIndex, label: str, cuda: str | None
) -> None:
    store = Store(tmp_path / "store")
    asked = Resolver(root=store.root, torch=TorchWish(label=label, required=True))
    spec = asked.pins(("torch==2.2.0", "numpy"))
    assert spec.lock.versions_of("torch") == (f"2.2.0+{label}",)
    assert spec.lock.versions_of("numpy") == ("1.0",), "only torch is taken from where torch is older"
    torch = installed_torch(store.ensure(spec).path)
    assert torch is not None
    assert (torch.version, torch.cuda) == (f"2.2.0+{label}", cuda)
    assert any(path == f"/whl/{label}/torch/" for path, _ in mirror.requests)
    recorded = adapter(tmp_path / "adapter", f"2.2.0+{label}")
    assert resolve(str(recorded), Resolver(root=store.root)).lock.versions_of("torch") == (f"2.2.0+{label}",)


def test_the_option_asks_a_mirror_and_a_build_that_it_lacks_is_refused(tmp_path: Path, mirror: SimpleIndex) -> None:
    home = {"ENVPIN_HOME": str(tmp_path / "store")}
    made = envpin("env", "create", "torch==2.2.0", "--torch-backend", "cpu", "--json", env=home)
    assert made.status == 0, made.stderr
    assert "torch-2.2.0+cpu" in json.dumps(answer("env", "show", "torch==2.2.0+cpu", env=home))
    chosen = {**home, "ENVPIN_TORCH_BACKEND": "cu121"}
    assert envpin("env", "create", "torch==2.2.0", env=chosen).status == 0
    lacking = envpin("env", "create", "torch==2.2.0", "--torch-backend", "cu118", env=home)
    assert lacking.status == 3
    newer = envpin("env", "create", "torch>=2.2", "--torch-backend", "cpu", env=home)
    assert (newer.status, "has no torch that is as new as" in newer.stderr) == (3, True), newer.stderr
    auto = envpin("env", "create", "torch==2.2.0", "--torch-backend", "auto", env=home)
    assert (auto.status, "ENVPIN_TORCH_INDEX" in auto.stderr) == (2, True), auto.stderr
    assert mirror.pages


def test_another_mirror_is_another_question(
    tmp_path: Path, mirror: SimpleIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Resolver(root=tmp_path / "store", torch=TorchWish(label="cpu"))
    assert asked.pins(("torch==2.2.0",)).lock.versions_of("torch") == ("2.2.0+cpu",)
    monkeypatch.setenv("ENVPIN_TORCH_INDEX", f"{mirror.torch_url}/nowhere")
    assert asked.pins(("torch==2.2.0",)).lock.versions_of("torch") == ("2.2.0",)
