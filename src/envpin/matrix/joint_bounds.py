"""Bounds on the packages of a stack, each with its reason: from the model, the tools' registries, CUDA. Pure."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envpin.core.errors import ResolutionError
from envpin.matrix.listing import STRICT, listing_of, method_listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from envpin.matrix.listing import ModelNames
    from envpin.matrix.match import Match
    from envpin.matrix.stack import Stack
    from envpin.matrix.support import Support

# The engines that serve a model, in the order in which one is chosen where none is named.
SERVERS = ("vllm", "sglang", "lmdeploy", "mlx-lm", "exllamav3", "ctranslate2", "gguf", "optimum-onnx")
# A companion is no older than this before the transformers that it goes with: what came long before never met it.
_SLACK_DAYS = 90
ASKED = "as asked"


class StackFacts(NamedTuple):
    """What is known: of the tools, and of transformers and peft."""

    stack: Stack
    support: Support


class StackBound(NamedTuple):
    """Versions of a package that are let in, and why. A `floor` only keeps releases of another time out."""

    package: str
    versions: str
    reason: str
    floor: bool = False


class StackCase(NamedTuple):
    """The model: its match, what registries may call it, and the method that its weights are quantized with. `cuda` is
    the newest that the machine's driver runs."""

    found: Match
    model: ModelNames
    method: str | None
    cuda: str | None
    facts: StackFacts


def bounds_of(case: StackCase, packages: Mapping[str, str], notes: list[str]) -> tuple[StackBound, ...]:
    """The bounds on packages, given with the versions that were asked for; what limits nothing goes to `notes`.

    Raises:
        ResolutionError: no release can be had: of a tool that lists the model, of torch for the CUDA.
    """
    stack, model = case.facts.stack, case.model
    bounds = [StackBound(one, versions, ASKED) for one, versions in packages.items() if versions]
    bounds += _of_model(case.found)
    bounds += _of_cuda(case.cuda, stack)
    if "setuptools" in packages:
        bounds.append(StackBound("setuptools", ">=40", "triton imports it, and before 3.2 does not declare it"))
    for name in packages:
        tool = stack.tools.get(name)
        if tool is None:
            if name not in {"transformers", "peft", "torch", "accelerate", "setuptools"}:
                notes.append(f"nothing was collected about `{name}`: its newest release that fits")
            continue
        listing = listing_of(tool, model) if name not in {"peft", "transformers"} else None
        if listing is not None and listing.releases:
            bounds.append(StackBound(name, listing.versions, listing.reason))
        elif listing is not None and name in STRICT:
            raise ResolutionError(_unlisted(name, model, stack), hint=_elsewhere(name, model, stack))
        elif listing is not None:
            notes.append(
                f"`{name}` up to {tool.releases[-1].version} does not list this model; it may take it all the same"
            )
    if case.method is not None:
        bounds += [one for one in _of_method(case.method, packages, stack, notes) if _is_news(one, case.found)]
    return tuple(bounds)


def _is_news(bound: StackBound, found: Match) -> bool:
    return all((one.package, one.versions) != (bound.package, bound.versions) for one in found.needs)


def _of_model(found: Match) -> list[StackBound]:
    bounds = [StackBound(one.package, one.versions, one.reason) for one in found.needs]
    if found.window:
        first, last = found.window
        versions = f">={first}" + (f",<={last}" if last else "")
        if not any((one.package, one.versions) == ("transformers", versions) for one in bounds):
            reason = f"the releases that know the type `{found.model_type}`"
            bounds.append(StackBound("transformers", versions, reason))
    return bounds


def _of_cuda(cuda: str | None, stack: Stack) -> list[StackBound]:
    if cuda is None or "torch" not in stack.tools:
        return []
    limit, releases = Version(cuda), stack.tools["torch"].releases
    fitting = [one for one in releases if one.cuda is not None and Version(one.cuda) <= limit and not one.yanked]
    if not fitting:
        raise ResolutionError(f"no torch since {releases[0].version} brings CUDA {cuda} or older in its wheel")
    newest = fitting[-1]
    reason = f"the wheels up to it bring CUDA {newest.cuda} or older; those after it bring a newer one than {cuda}"
    above = [one.version for one in releases[: releases.index(newest)] if one.cuda and Version(one.cuda) > limit]
    return [StackBound("torch", ",".join([f"<={newest.version}", *(f"!={one}" for one in above)]), reason)]


def _of_method(method: str, packages: Mapping[str, str], stack: Stack, notes: list[str]) -> list[StackBound]:
    """Which releases know the quantization that the config names."""
    bounds: list[StackBound] = []
    for name in ("transformers", *(one for one in packages if one in SERVERS)):
        listing = method_listing(stack.tools[name], method) if name in stack.tools and name in packages else None
        if listing is not None and listing.releases:
            first = listing.releases[0]
            if first != listing.tool.read[0]:
                bounds.append(
                    StackBound(name, f">={first.version}", f"the weights are quantized: knows {method} since")
                )
        elif listing is not None and name == "transformers":
            raise ResolutionError(
                f"the weights are quantized with {method}, which no release of transformers up to "
                f"{listing.tool.releases[-1].version} loads",
                hint="train on, and merge into, the original that they were quantized from; or `--for serve`",
            )
        elif listing is not None:
            notes.append(f"the weights are quantized with {method}, which no release of `{name}` lists")
    return bounds


def _unlisted(name: str, model: ModelNames, stack: Stack) -> str:
    called = ", ".join(f"`{one}`" for one in model.architectures) or f"the type `{model.model_type}`"
    return f"no release of `{name}` up to {stack.tools[name].releases[-1].version} lists {called}"


def _elsewhere(name: str, model: ModelNames, stack: Stack) -> str:
    others = []
    for one in SERVERS:
        listing = listing_of(stack.tools[one], model) if one != name and one in stack.tools else None
        if listing is not None and listing.releases and one in STRICT:
            others.append(f"{one} {listing.versions}")
    return "these list it: " + "; ".join(others) if others else "envpin matrix collect --stack"


def days_after(day: str, days: int) -> str:
    """The day so many days after (`2024-07-23`)."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def first_day(bound: StackBound, stack: Stack) -> str | None:
    """The day of the first release that a bound lets in, of a collected tool."""
    tool = stack.tools.get(bound.package)
    if tool is None or not any(one.operator in {">=", "==", "~=", ">"} for one in SpecifierSet(bound.versions)):
        return None
    window = SpecifierSet(bound.versions)
    return next((one.date for one in tool.releases if window.contains(one.version) and not one.yanked), None)


def floors_of(
    names: Iterable[str], pinned: str | None, bounds: Sequence[StackBound], facts: StackFacts
) -> list[StackBound]:
    """A floor for companions without one: what was current three months before the oldest transformers let in."""
    windows = [SpecifierSet(one.versions) for one in bounds if one.package == "transformers"]
    known = [one.version for one in facts.support.transformers]
    lowest = pinned or next((one for one in known if all(window.contains(one) for window in windows)), None)
    released = facts.support.date(lowest) if lowest else None
    if not released:
        return []
    day = days_after(released, -_SLACK_DAYS)
    found: list[StackBound] = []
    for name in names:
        tool = facts.stack.tools.get(name)
        current = tool.current_at(day) if tool is not None and name not in {"transformers", "torch"} else None
        if (
            current is not None
            and current.date <= day
            and not any(one.package == name and (">=" in one.versions or one.reason == ASKED) for one in bounds)
        ):
            reason = f"the release of its time: transformers {lowest} appeared on {released}"
            found.append(StackBound(name, f">={current.version}", reason, floor=True))
    return found
