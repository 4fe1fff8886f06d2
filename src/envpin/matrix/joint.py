"""What has to go together: a model, what it is wanted for, and the tools for it, as environments to resolve. Pure.

The plan is asked of uv by `envpin.envs.refs.joint`; nothing here knows whether it can be met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from envpin.core.eras import SETTLING_DAYS
from envpin.core.errors import InputError, ResolutionError
from envpin.matrix.joint_bounds import ASKED, SERVERS, StackCase, bounds_of, days_after, first_day, floors_of
from envpin.matrix.listing import listing_of, names_of
from envpin.matrix.parts import quantization_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from envpin.matrix.joint_bounds import StackBound, StackFacts
    from envpin.matrix.listing import ModelNames
    from envpin.matrix.match import Match
    from envpin.matrix.stack import Stack

Purpose = Literal["train", "merge", "serve"]
PURPOSES: tuple[Purpose, ...] = ("train", "merge", "serve")
# What a merge needs, and a training run besides.
_MERGE = ("transformers", "peft", "torch")
_TRAIN = (*_MERGE, "accelerate")
# What loads weights that a config says are quantized so; nothing where transformers and torch do it themselves.
QUANTIZED_WITH: Mapping[str, tuple[str, ...]] = {
    "bitsandbytes": ("bitsandbytes",), "gptq": ("optimum", "gptqmodel"), "awq": ("gptqmodel",),
    "compressed-tensors": ("compressed-tensors",), "torchao": ("torchao",), "hqq": ("hqq",), "aqlm": ("aqlm",),
    "quanto": ("optimum-quanto",), "auto-round": ("auto-round",), "mxfp4": ("kernels", "triton"), "eetq": ("eetq",),
    "fbgemm_fp8": ("fbgemm-gpu",), "vptq": ("vptq",), "spqr": ("spqr-quant",), "fp_quant": ("fp-quant",),
}  # fmt: skip
# The extras that hold what these packages need to be of use; releases that need none ignore them.
EXTRAS: Mapping[str, str] = {"sglang": "srt", "unsloth": "huggingface"}
# They import triton, which up to 3.1 (torch 2.5) imports setuptools and does not declare it.
_WITH_TRITON = frozenset({"bitsandbytes", "liger-kernel", "unsloth", "deepspeed", "torchao"})
# Which of the model's pins are kept, the proved set first.
_KEPT: tuple[tuple[str, ...], ...] = (
    ("transformers", "peft", "torch"),
    ("transformers", "peft"),
    ("transformers",),
    (),
)


class StackQuestion(NamedTuple):
    """What `resolve` was asked for besides the model. `cuda` is the newest that the machine's driver runs."""

    purposes: tuple[Purpose, ...] = ()
    tools: tuple[str, ...] = ()
    python: str | None = None
    cuda: str | None = None
    newest: bool = False


class Attempt(NamedTuple):
    """One way to ask: exact pins, how they are called, and the day that nothing else is newer than."""

    pins: Mapping[str, str]
    title: str
    exclude_newer: str | None


class EnvironmentPlan(NamedTuple):
    """One environment: what it is for, its packages, bounds on them, and the ways to ask for it, best first."""

    purposes: tuple[Purpose, ...]
    packages: tuple[str, ...]
    bounds: tuple[StackBound, ...]
    attempts: tuple[Attempt, ...]


class StackPlan(NamedTuple):
    """`whole` holds everything; `parts` are the two environments where that cannot be one, or empty. `sources` are
    packages without wheels, which are left out; `python` is that of every environment."""

    whole: EnvironmentPlan
    parts: tuple[EnvironmentPlan, ...]
    python: str
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def plan_stack(
    question: StackQuestion, found: Match, config: Mapping[str, object] | None, name: str | None, facts: StackFacts
) -> StackPlan:
    """
    Raises:
        InputError: a tool is no requirement.
        ResolutionError: no release can be had: of a tool that lists the model, of torch for the CUDA.
    """
    wanted = _requirements(question.tools)
    case = StackCase(found, names_of(config, name, found), quantization_of(config), question.cuda, facts)
    purposes, chosen = _purposes(question, wanted, case.model, facts.stack)
    packages = {**wanted, **{one: "" for one in (*chosen, *_undeclared(wanted)) if one not in wanted}}
    if {"train", "merge"} & set(purposes):
        packages.update({one: "" for one in QUANTIZED_WITH.get(case.method or "", ()) if one not in packages})
    sources = tuple(one for one in packages if _is_source(one, facts.stack))
    notes = [f"`{one}` has no wheels on the index: build it inside the finished environment" for one in sources]
    bounds = bounds_of(case, packages, notes)
    present = [one for one in packages if one not in sources]

    def environment(of: tuple[Purpose, ...], names: Iterable[str]) -> EnvironmentPlan:
        return _environment(of, tuple(names), bounds, case, newest=question.newest)

    parts: tuple[EnvironmentPlan, ...] = ()
    if "serve" in purposes and len(purposes) > 1:
        parts = (
            environment(
                tuple(one for one in purposes if one != "serve"), (one for one in present if one not in SERVERS)
            ),
            environment(("serve",), (one for one in present if one in SERVERS)),
        )
    python = question.python or found.python or "3.11"
    return StackPlan(environment(purposes, present), parts, python, tuple(dict.fromkeys(notes)), sources)


def _requirements(tools: Iterable[str]) -> dict[str, str]:
    """Normalized name to the requirement as it was written, which may carry versions."""
    found: dict[str, str] = {}
    for text in tools:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise InputError(f"`{text}` is not a package: {str(error).splitlines()[0].lower()}") from error
        if requirement.url:
            raise InputError(f"`{text}` is a URL; only versions from an index are resolved")
        found[str(canonicalize_name(requirement.name))] = str(requirement.specifier)
    return found


def _purposes(
    question: StackQuestion, wanted: Mapping[str, str], model: ModelNames, stack: Stack
) -> tuple[tuple[Purpose, ...], tuple[str, ...]]:
    """What it is for, and the packages that this needs."""
    named = [one for one in wanted if one in SERVERS]
    usual: tuple[Purpose, ...] = PURPOSES if named else ("train", "merge")
    asked = question.purposes or usual
    purposes = tuple(one for one in PURPOSES if one in asked)
    packages: list[str] = []
    if "train" in asked or "merge" in asked:
        packages += _TRAIN if "train" in asked else _MERGE
    if "serve" in asked and not named:
        packages.append(_engine(model, stack))
    return purposes, tuple(packages)


def _undeclared(wanted: Iterable[str]) -> tuple[str, ...]:
    """What tools import without declaring it: the triton that bitsandbytes, for one, imports imports setuptools, and
    an environment of Python 3.12 or of uv has none."""
    return ("setuptools",) if set(wanted) & _WITH_TRITON else ()


def _engine(model: ModelNames, stack: Stack) -> str:
    for name in SERVERS:
        listing = listing_of(stack.tools[name], model) if name in stack.tools else None
        if listing is not None and listing.releases:
            return name
    raise ResolutionError(
        f"no release of {', '.join(SERVERS)} up to {stack.collected} lists `{model.model_type}`",
        hint="envpin matrix collect --stack",
    )


def _is_source(name: str, stack: Stack) -> bool:
    tool = stack.tools.get(name)
    return tool is not None and bool(tool.releases) and tool.releases[-1].source


def _environment(
    purposes: tuple[Purpose, ...],
    names: tuple[str, ...],
    bounds: Sequence[StackBound],
    case: StackCase,
    *,
    newest: bool,
) -> EnvironmentPlan:
    """The bounds that concern these packages, with a floor for companions, and the ways to ask."""
    found, facts = case.found, case.facts
    own = [one for one in bounds if one.package in names or one.package in _MERGE]
    pins = {
        one: version
        for one, version in found.pins.items()
        if one in names
        and not newest
        and all(bound.package != one or SpecifierSet(bound.versions).contains(version) for bound in own)
    }
    own += floors_of(names, pins.get("transformers"), own, facts)
    limit = None if newest else _limit(own, case)
    attempts: list[Attempt] = []
    for kept in () if newest else _KEPT:
        exact: dict[str, str] = {one: pins[one] for one in kept if one in pins}
        if not attempts or attempts[-1].pins != exact:
            attempts += _of_their_days(exact, own, case, limit)
            attempts.append(Attempt(exact, _title(exact, found), limit))
    if limit is not None or not attempts:
        attempts.append(Attempt({}, "the newest releases within the bounds", None))
    return EnvironmentPlan(purposes, names, tuple(own), tuple(attempts))


def _limit(bounds: Sequence[StackBound], case: StackCase) -> str | None:
    """The day that nothing is newer than: that of the model's pins, or later where a bound asks for later releases."""
    days = [first_day(one, case.facts.stack) for one in bounds if one.package != "torch"]
    latest = [days_after(one, SETTLING_DAYS) for one in days if one]
    day = max([(case.found.exclude_newer or "")[:10], *latest], default="")
    return day or None


def _of_their_days(
    pins: Mapping[str, str], bounds: Sequence[StackBound], case: StackCase, limit: str | None
) -> list[Attempt]:
    """Where a tool was asked for exactly and no transformers is pinned: what was there in the days of the tool. A vLLM
    of 2025 declares no upper bound, and does not run with a transformers of 2026."""
    asked = [one for one in bounds if one.reason == ASKED and one.versions.startswith("==") and "*" not in one.versions]
    if "transformers" in pins or not any(first_day(one, case.facts.stack) for one in asked):
        return []
    day = _limit(bounds, case._replace(found=case.found._replace(exclude_newer=None)))
    if day is None or (limit is not None and day >= limit):
        return []
    named = ", ".join(f"{one.package} {one.versions.removeprefix('==')}" for one in asked)
    return [Attempt(pins, f"the newest releases of the days of {named} within the bounds", day)]


def _title(pins: Mapping[str, str], found: Match) -> str:
    if not pins:
        return "the newest releases of that day within the bounds"
    owner = f"of {found.family.id}" if found.family is not None else "of its type"
    return f"the pins {owner}: {', '.join(f'{name} {version}' for name, version in pins.items())}"
