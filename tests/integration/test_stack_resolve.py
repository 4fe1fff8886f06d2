"""A stack over a small index, collected and resolved by the real uv: one environment, two, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from envpin.core.errors import ResolutionError
from envpin.core.torch_builds import FOLLOWERS
from envpin.envs.refs.joint import JointAnswer, resolve_stack
from envpin.envs.refs.pins import Resolver
from envpin.evidence.stack.collect import collect_stack
from envpin.matrix.joint import StackQuestion
from envpin.matrix.joint_bounds import StackFacts
from envpin.matrix.match import Match
from envpin.matrix.support import PeftFacts, ReleaseFacts, Support
from envpin.matrix.types import Break, Family, Matrix, Relation
from envpin.remote.index import Index
from tests.support.simple_index import SimpleIndex
from tests.support.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAYS = {"1": "2024-01-10T00:00:00Z", "2": "2024-05-10T00:00:00Z", "3": "2024-09-10T00:00:00Z"}
CUDA = {"1.0": "12.1.105", "2.0": "12.4.127", "3.0": "13.0.2"}
REGISTRY = "vllm/model_executor/models/registry.py"
SUPPORT = Support(
    transformers=tuple(ReleaseFacts(f"{major}.0", day[:10]) for major, day in DAYS.items()),
    model_types={"x": ((0, 2),)}, peft=(PeftFacts("1.0", "2024-01-10"),),
)  # fmt: skip


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleIndex]:
    monkeypatch.setenv("ENVPIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_FIND_LINKS", "")
    with SimpleIndex() as served:
        monkeypatch.setenv("UV_DEFAULT_INDEX", served.url)

        def add(name: str, version: str, *requires: str, files: dict[str, str] | None = None) -> None:
            wheel = make_wheel(tmp_path / "wheels", name, version, requires=requires, files=files)
            served.add(wheel.name, wheel.read_bytes(), uploaded=DAYS[version[0]])

        for version, cuda in CUDA.items():
            add("torch", version, f"nvidia-cuda-runtime-cu12 (=={cuda}) ; sys_platform == 'linux'")
            add("transformers", version)
            add("peft", version)
            add("accelerate", version)
            add("nvidia-cuda-runtime-cu12", cuda) if cuda[0] == "1" else None
        add("trl", "1.0", "transformers>=1")
        add("trl", "2.0", "transformers>=2,<3")
        lists = {REGISTRY: '_MODELS = {"XForCausalLM": ("x", "X")}\n'}
        add("vllm", "1.0", "torch==1.0", "transformers>=1", files={REGISTRY: "_MODELS = {'Other': 1}\n"})
        add("vllm", "2.0", "torch==2.0", "transformers>=1", files=lists)
        add("vllm", "3.0", "torch==3.0", "transformers>=3", files=lists)
        yield served


def ask(
    index: SimpleIndex, tmp_path: Path, pins: dict[str, str], matrix: Matrix | None = None, **asked: object
) -> JointAnswer:
    packages = ("torch", "transformers", "peft", "accelerate", "trl", "vllm", *({*FOLLOWERS} & {*index.pages}))
    stack = collect_stack(Index(index.url, cache=tmp_path / "cache"), packages=packages)
    match = Match(
        family=Family(title="X", id="x", breaks=("b",)), certainty="exact", basis="config", model_type="x", pins=pins,
        python="3.11", exclude_newer="2024-06-01", window=SUPPORT.window("x"),
    )  # fmt: skip
    return resolve_stack(
        StackQuestion(**asked), match, {"architectures": ["XForCausalLM"]}, "a/x",  # type: ignore[arg-type]
        facts=StackFacts(stack, SUPPORT), matrix=matrix or Matrix(schema=1), resolver=Resolver(root=tmp_path / "root"),
    )  # fmt: skip


def test_the_pins_hold_where_everything_goes_with_them(index: SimpleIndex, tmp_path: Path) -> None:
    pins = {"transformers": "2.0", "peft": "2.0", "torch": "2.0"}
    (one,) = ask(index, tmp_path, pins, tools=("trl", "vllm")).environments
    assert dict(one.pins) == {**pins, "trl": "2.0", "vllm": "2.0", "accelerate": "2.0"}
    assert (one.cuda, one.driver) == ("12.4", "525.60.13")
    assert ("vllm", "torch", "==2.0") in [(each.package, each.other, each.versions) for each in one.declared]


def test_a_pin_gives_way_before_a_second_environment(index: SimpleIndex, tmp_path: Path) -> None:
    pins = {"transformers": "2.0", "peft": "2.0", "torch": "1.0"}
    (one,) = ask(index, tmp_path, pins, tools=("vllm",)).environments
    assert (one.pins["torch"], one.pins["vllm"], one.pins["transformers"]) == ("2.0", "2.0", "2.0")
    assert one.attempt.title == "the pins of x: transformers 2.0, peft 2.0"


def test_two_environments_where_one_cannot_be_and_why(index: SimpleIndex, tmp_path: Path) -> None:
    pins = {"transformers": "2.0", "peft": "2.0", "torch": "2.0"}
    answer = ask(index, tmp_path, pins, tools=("trl==2.0", "vllm>=3"))
    assert [one.purposes for one in answer.environments] == [("train", "merge"), ("serve",)]
    train, serve = (dict(one.pins) for one in answer.environments)
    assert (train["trl"], train["transformers"], serve["vllm"], serve["transformers"]) == ("2.0", "2.0", "3.0", "3.0")
    assert "trl 2.0 declares transformers <3,>=2, and to serve needs transformers 3.0" in answer.why_two
    assert "vllm 3.0 declares torch ==3.0, and to train and merge needs torch 2.0" in answer.why_two


def test_cuda_bounds_torch_and_so_the_server(index: SimpleIndex, tmp_path: Path) -> None:
    (one,) = ask(index, tmp_path, {}, tools=("vllm",), cuda="12.4", newest=True).environments
    assert (one.pins["vllm"], one.pins["torch"], one.cuda) == ("2.0", "2.0", "12.4")
    with pytest.raises(ResolutionError):
        ask(index, tmp_path, {}, tools=("vllm",), cuda="12.1", newest=True)


def test_newest_takes_what_came_later(index: SimpleIndex, tmp_path: Path) -> None:
    pins = {"transformers": "1.0", "peft": "1.0", "torch": "1.0"}
    (one,) = ask(index, tmp_path, pins, newest=True).environments
    assert set(one.pins.values()) == {"3.0"}
    (other,) = ask(index, tmp_path, pins).environments
    assert (other.pins["transformers"], other.pins["accelerate"]) == ("1.0", "2.0")


def test_a_pair_that_a_break_names_is_left_out(index: SimpleIndex, tmp_path: Path) -> None:
    broken = Break(package="peft", versions=">=3", alongside={"transformers": ">=3"}, title="t", affects=("x",),
                   ways_out=("peft < 3",), source="s", id="b")  # fmt: skip
    matrix = Matrix(schema=1, breaks={"b": broken})
    (one,) = ask(index, tmp_path, {}, matrix, newest=True).environments
    assert (one.pins["peft"], one.pins["transformers"]) == ("2.0", "3.0")


PAIR = Break(package="peft", versions=">=3", alongside={"transformers": ">=3"}, title="it dies", affects=("reload",),
             ways_out=("peft < 3",), source="s", id="b")  # fmt: skip


def test_another_package_gives_way_where_one_of_the_pair_was_asked_for(index: SimpleIndex, tmp_path: Path) -> None:
    matrix = Matrix(schema=1, breaks={"b": PAIR})
    (one,) = ask(index, tmp_path, {}, matrix, tools=("peft==3.0",), newest=True).environments
    assert (one.pins["peft"], one.pins["transformers"]) == ("3.0", "2.0")
    assert ("transformers", "<3", "it dies") in [(each.package, each.versions, each.reason) for each in one.bounds]


@pytest.mark.parametrize(
    ("tools", "pins"),
    [
        (("transformers==3.0",), ("2.0", "3.0")),
        (("peft==3.0",), ("3.0", "2.0")),
        ((), ("3.0", "2.0")),
    ],
)
def test_what_a_relation_needs_is_looked_for_before_it_is_refused(
    index: SimpleIndex, tmp_path: Path, tools: tuple[str, ...], pins: tuple[str, str]
) -> None:
    relation = Relation(package="peft", versions=">=3", other="transformers", needs="<3", reason="it imports x")
    (one,) = ask(index, tmp_path, {}, Matrix(schema=1, relations=(relation,)), tools=tools, newest=True).environments
    assert (one.pins["peft"], one.pins["transformers"]) == pins
    assert "it imports x" in [each.reason for each in one.bounds]


def test_a_break_of_adapters_is_none_of_a_server(index: SimpleIndex, tmp_path: Path) -> None:
    matrix, asked = Matrix(schema=1, breaks={"b": PAIR}), ("vllm", "peft==3.0", "transformers==3.0")
    assert ask(index, tmp_path, {}, matrix, tools=asked, purposes=("serve",)).environments
    loading = msgspec.structs.replace(PAIR, affects=("load",))
    with pytest.raises(ResolutionError, match="it dies"):
        ask(index, tmp_path, {}, Matrix(schema=1, breaks={"b": loading}), tools=asked, purposes=("serve",))


def test_what_was_asked_for_and_is_known_to_break_is_refused(index: SimpleIndex, tmp_path: Path) -> None:
    asked = ("peft==3.0", "transformers==3.0")
    with pytest.raises(ResolutionError, match=r"peft 3\.0 with transformers 3\.0: it dies"):
        ask(index, tmp_path, {}, Matrix(schema=1, breaks={"b": PAIR}), tools=asked)
    relation = Relation(package="peft", versions=">=3", other="transformers", needs="<3", reason="it imports x")
    with pytest.raises(ResolutionError, match=r"peft 3\.0 does not go with transformers 3\.0: it imports x"):
        ask(index, tmp_path, {}, Matrix(schema=1, relations=(relation,)), tools=asked)


def test_a_break_of_another_family_or_of_a_crossing_alone_refuses_nothing(index: SimpleIndex, tmp_path: Path) -> None:
    asked = ("peft==3.0", "transformers==3.0")
    crossing = msgspec.structs.replace(PAIR, silent=True, affects=("load-adapter", "merge"))
    for matrix in (Matrix(schema=1, breaks={"other": PAIR}), Matrix(schema=1, breaks={"b": crossing})):
        assert ask(index, tmp_path, {}, matrix, tools=asked).environments


def built_for_torch(index: SimpleIndex, tmp_path: Path) -> None:
    """torchvision declares its torch; of torchaudio 3.0, only the release after it does."""
    for name, version, requires in (
        ("torchvision", "1.0", "torch==1.0"), ("torchvision", "2.0", "torch==2.0"), ("torchaudio", "2.0", "torch==2.0"),
        ("torchaudio", "3.0", ""), ("torchaudio", "3.1", "torch>=3.0"),
        ("tool", "1.0", ""), ("tool", "1.1", "torchvision"),
    ):  # fmt: skip
        wheel = make_wheel(tmp_path / "wheels", name, version, requires=[requires] if requires else [])
        index.add(wheel.name, wheel.read_bytes(), uploaded=DAYS[version[0]])


def test_a_torchaudio_of_another_torch_is_left_out_though_it_declares_none(index: SimpleIndex, tmp_path: Path) -> None:
    built_for_torch(index, tmp_path)
    tools = ("torchaudio", "torchvision", "torch==2.0")
    (one,) = ask(index, tmp_path, {"transformers": "3.0"}, tools=tools, newest=True).environments
    assert {name: one.pins[name] for name in ("torch", *FOLLOWERS)} == {
        "torch": "2.0", "torchvision": "2.0", "torchaudio": "2.0"
    }  # fmt: skip
    declared = {(each.package, each.other): each.versions for each in one.declared}
    assert declared["torchvision", "torch"] == "==2.0"


@pytest.mark.parametrize("has_both", [True, False])
def test_what_is_compiled_for_torch_comes_in_torchs_build_or_torch_in_theirs(
    has_both: bool, index: SimpleIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_for_torch(index, tmp_path)
    links = tmp_path / "links"
    make_wheel(links, "torch", "2.0+cpu")
    if has_both:
        make_wheel(links, "torchvision", "2.0+cpu", requires=["torch==2.0"])
    monkeypatch.setenv("UV_FIND_LINKS", str(links))
    pins = {"transformers": "2.0", "peft": "2.0", "torch": "2.0"}
    answer = ask(index, tmp_path, pins, tools=("tool",))
    (one,) = answer.environments
    locked = {str(each.name): str(each.version) for each in one.spec.lock.packages}
    label = "+cpu" if has_both else ""
    assert locked["tool"] == "1.1", "not one that needs no torchvision"
    assert (locked["torch"], locked["torchvision"]) == (f"2.0{label}", f"2.0{label}")
    assert answer.notes == ("nothing was collected about `tool`: its newest release that fits",)


def test_two_builds_that_cannot_be_one_are_said(
    index: SimpleIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_for_torch(index, tmp_path)
    make_wheel(tmp_path / "links", "torch", "2.1+cpu")
    wheel = make_wheel(tmp_path / "wheels", "torchvision", "2.1", requires=["torch==2.1"])
    index.add(wheel.name, wheel.read_bytes(), uploaded=DAYS["2"])
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "links"))
    answer = ask(index, tmp_path, {"transformers": "2.0"}, tools=("tool", "torchvision==2.1"))
    assert "`torchvision` 2.1 and torch 2.1+cpu are other builds" in answer.notes[-1]
