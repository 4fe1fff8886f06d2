"""From a reference to an environment: adapters, locks and pins, by real uv from a folder of synthetic wheels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from envpin.core.errors import InputError, ResolutionError
from envpin.core.events import Event, Note, Step
from envpin.envs.machine import default_python
from envpin.envs.refs.lock_request import lock_request
from envpin.envs.refs.pins import Resolver
from envpin.envs.refs.resolve import resolve
from envpin.envs.store.store import Store
from tests.support.wheels import lock_of, make_wheel

if TYPE_CHECKING:
    from pathlib import Path

CLOSURE = ("torch", "transformers", "peft", "safetensors", "tokenizers", "accelerate", "huggingface-hub", "numpy")


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The merge closure in versions 1.0 and 2.0, and no index."""
    folder = tmp_path / "wheels"
    for name in CLOSURE:
        for version in ("1.0", "2.0"):
            make_wheel(folder, name, version, requires=["companion"] if name == "peft" else ())
    for version in ("1.0", "1.5", "2.0"):
        make_wheel(folder, "companion", version)
    settings = tmp_path / "uv.toml"
    settings.write_text("no-index = true\n", encoding="utf-8")
    monkeypatch.setenv("UV_CONFIG_FILE", str(settings))
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return folder


def adapter(folder: Path, distributions: dict[str, str] | None, **config: Any) -> Path:
    folder.mkdir()
    document = {"peft_type": "LORA", **config}
    (folder / "adapter_config.json").write_text(json.dumps(document), encoding="utf-8")
    if distributions is not None:
        manifest = {
            "schema": 1,
            "distributions": [{"name": name, "version": version} for name, version in distributions.items()],
            "python": {"version": f"{default_python()}.1"},
        }
        (folder / "envpin.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def versions(text: str, root: Path, **how: Any) -> dict[str, str]:
    spec = resolve(text, Resolver(root=root, **how))
    return {package.name: str(package.version) for package in spec.lock.packages}


def test_a_manifest_gives_its_merge_closure_and_holds_companions(tmp_path: Path) -> None:
    recorded = {"torch": "1.0+cu121", "transformers": "2.0", "peft": "1.0", "companion": "1.5", "deepspeed": "0.14"}
    folder = adapter(tmp_path / "adapter", recorded)
    for text in (str(folder), str(folder / "envpin.json")):
        found = versions(text, tmp_path / "store")
        assert {name: found[name] for name in ("torch", "transformers", "peft", "companion")} == {
            "torch": "1.0",
            "transformers": "2.0",
            "peft": "1.0",
            "companion": "1.5",
        }
        assert set(found) == {*CLOSURE, "companion"}
    assert resolve(str(folder), Resolver(root=tmp_path / "store")).python == default_python()


def test_a_companion_that_nobody_has_does_not_stop_it(tmp_path: Path) -> None:
    recorded = {"torch": "1.0", "transformers": "2.0", "peft": "1.0", "companion": "1.5.dev3"}
    folder = adapter(tmp_path / "adapter", {**recorded, "companion": "9.9"})
    events: list[Event] = []
    assert versions(str(folder), tmp_path / "store", listener=events.append)["companion"] == "2.0"
    assert any(isinstance(event, Note) for event in events)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 99}', '{"schema": 1, "distributions": 3}'])
def test_a_manifest_that_cannot_be_read_is_exit_2(tmp_path: Path, content: str) -> None:
    folder = adapter(tmp_path / "adapter", None)
    (folder / "envpin.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError):
        resolve(str(folder), Resolver(root=tmp_path / "store"))
    with pytest.raises(InputError):
        lock_request(str(folder))


def test_a_manifest_without_the_three_names_them(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter", {"torch": "1.0"})
    with pytest.raises(InputError, match="`transformers`, `peft`"):
        resolve(str(folder), Resolver(root=tmp_path / "store"))


def test_an_unrecorded_adapter_goes_by_its_base_and_says_so(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    config = {"model_type": "llama", "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    folder = adapter(tmp_path / "adapter", None, base_model_name_or_path=str(base))
    request = lock_request(str(folder))
    assert request.name == "llama3.1"
    assert "transformers==4.43.1" in request.requirements
    events: list[Event] = []
    found = versions(str(folder), tmp_path / "store", listener=events.append)
    assert found["transformers"] == "4.43.1"
    assert any(isinstance(event, Note) and "llama3.1" in event.message for event in events)


def test_literal_pins_are_resolved_once_until_refreshed(tmp_path: Path, wheels: Path) -> None:
    events: list[Event] = []

    def ask(*, refresh: bool = False) -> str:
        spec = Resolver(root=tmp_path / "store", listener=events.append, refresh=refresh).pins(["companion"])
        return spec.lock.versions_of("companion")[0]

    assert ask() == "2.0"
    make_wheel(wheels, "companion", "3.0")
    assert ask() == "2.0"
    assert sum(isinstance(event, Step) and event.state == "start" for event in events) == 1
    assert ask(refresh=True) == "3.0"
    assert ask() == "3.0"


def test_what_was_resolved_offline_is_not_remembered(tmp_path: Path) -> None:
    Resolver(root=tmp_path / "store", offline=True).pins(["companion"])
    assert not (tmp_path / "store" / "resolutions").exists()


def test_a_lock_is_for_its_python(tmp_path: Path, wheels: Path) -> None:
    lock = tmp_path / "pylock.mine.toml"
    text = lock_of(wheels / "companion-1.0-py3-none-any.whl", requires_python=">=3.8,<3.10")
    lock.write_text(text, encoding="utf-8")
    assert resolve(str(lock)).python == "3.8"
    assert resolve(str(lock)).name == "mine"
    assert resolve(str(lock), Resolver(python="3.9")).python == "3.9"
    with pytest.raises(ResolutionError, match=r"not 3\.12"):
        resolve(str(lock), Resolver(python="3.12"))


def test_local_wheels_work_in_an_environment(tmp_path: Path) -> None:
    spec = Resolver(root=tmp_path / "store").pins(["torch==1.0"])
    wheels = [wheel for package in spec.lock.packages for wheel in package.wheels or ()]
    assert any(wheel.path is not None or str(wheel.url).startswith("file:") for wheel in wheels)
    store = Store(tmp_path / "store")
    assert store.verify(store.ensure(spec)) == ()


def test_a_package_for_a_later_patch_of_this_python_is_resolved_for_the_interpreter_that_is_here(
    wheels: Path, tmp_path: Path
) -> None:
    make_wheel(wheels, "late", "1.0", requires_python=f">={default_python()}.1")
    spec = Resolver(root=tmp_path / "store").pins(("late==1.0",))
    assert Store(tmp_path / "store").ensure(spec).python.is_file()
    again = Resolver(root=tmp_path / "store").lock(spec.lock, name="late")
    assert again.python == default_python()
    make_wheel(wheels, "later", "1.0", requires_python=f">={default_python()}.99")
    with pytest.raises(ResolutionError, match="later"):
        Resolver(root=tmp_path / "store").pins(("later==1.0",))
