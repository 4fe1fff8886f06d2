"""A stack plan asked of uv: one environment, or two where they cannot be one, with what its releases declare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet

from envpin.core.errors import ResolutionError
from envpin.core.torch_builds import FOLLOWERS, is_companion, oldest_driver
from envpin.core.versions import label_of, release_of
from envpin.envs.refs.family import as_time
from envpin.matrix.joint import EXTRAS, plan_stack
from envpin.matrix.joint_bounds import StackBound
from envpin.matrix.listing import named_breaks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from envpin.envs.refs.pins import Resolver
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.matrix.joint import Attempt, EnvironmentPlan, Purpose, StackQuestion
    from envpin.matrix.joint_bounds import StackFacts
    from envpin.matrix.match import Match
    from envpin.matrix.stack import Stack
    from envpin.matrix.types import Break, Matrix, Relation

# Each round leaves out a release that a break names, or bounds what a chosen release's extra declares.
_ROUNDS = 4
_SERVING = frozenset({"import", "load", "forward", "generate", "tokenizer", "remote-code"})


class _Known(NamedTuple):
    """What the matrix knows not to work: the breaks of the family, and relations between packages."""

    breaks: tuple[Break, ...]
    relations: tuple[Relation, ...]

    def of_purposes(self, purposes: Collection[str]) -> _Known:
        """Without the breaks of adapters and training, where a model is only served."""
        if set(purposes) != {"serve"}:
            return self
        return self._replace(breaks=tuple(one for one in self.breaks if _SERVING & {*one.affects}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """What a chosen release declares about another package of the same environment."""

    package: str
    version: str
    other: str
    versions: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JointEnvironment:
    """One environment that uv resolved: the versions of the packages that were asked for, and what bounds them."""

    purposes: tuple[Purpose, ...]
    pins: Mapping[str, str]
    bounds: tuple[StackBound, ...]
    attempt: Attempt
    spec: EnvironmentSpec
    declared: tuple[Declared, ...] = ()
    cuda: str | None = None
    driver: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def requirements(self) -> tuple[str, ...]:
        """The pins as requirement lines."""
        return tuple(f"{name}=={version}" for name, version in self.pins.items())


@dataclass(frozen=True, kw_only=True, slots=True)
class JointAnswer:
    """The environments, and why they are two, where they are."""

    environments: tuple[JointEnvironment, ...]
    python: str
    why_two: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def resolve_stack(
    question: StackQuestion, found: Match, config: Mapping[str, object] | None, name: str | None, *,
    facts: StackFacts, matrix: Matrix, resolver: Resolver,
) -> JointAnswer:  # fmt: skip
    """Plan, and let uv resolve.

    Raises:
        InputError, ResolutionError: as `plan_stack`; or uv finds no versions, in two environments either.
        NoInterpreterError, NetworkError, DiskFullError
    """
    plan = plan_stack(question, found, config, name, facts)
    resolver = replace(resolver, python=plan.python)
    known = _Known(tuple(named_breaks(found, matrix)), matrix.relations)

    def environment(part: EnvironmentPlan) -> JointEnvironment:
        return _resolved(part, resolver, facts.stack, known.of_purposes(part.purposes))

    try:
        whole = environment(plan.whole)
        return JointAnswer(environments=(whole,), python=plan.python, notes=(*plan.notes, *whole.notes))
    except ResolutionError as refusal:
        if not plan.parts:
            raise
        environments = tuple(environment(one) for one in plan.parts)
        why = _why_two(environments, refusal, facts.stack)
    notes = dict.fromkeys([*plan.notes, *(note for one in environments for note in one.notes)])
    return JointAnswer(environments=environments, python=plan.python, why_two=why, notes=tuple(notes))


def _resolved(plan: EnvironmentPlan, resolver: Resolver, stack: Stack, known: _Known) -> JointEnvironment:
    """The first attempt that uv resolves.

    Raises:
        ResolutionError: none of them; uv's last words about it.
    """
    refusal: ResolutionError | None = None
    for attempt in plan.attempts:
        try:
            return _within(plan, attempt, resolver, stack, known)
        except ResolutionError as fault:
            refusal = fault
    assert refusal is not None  # noqa: S101  a plan has an attempt
    raise refusal


def _within(
    plan: EnvironmentPlan, attempt: Attempt, resolver: Resolver, stack: Stack, known: _Known
) -> JointEnvironment:
    """One attempt; what comes out broken, or against what an extra declares, is asked again without it.

    Raises:
        ResolutionError: uv's; or what was asked for is known not to work.
    """
    constraints = [f"{one.package}{one.versions}" for one in plan.bounds]
    requirements = [f"{one}=={attempt.pins[one]}" if one in attempt.pins else _wanted(one) for one in plan.packages]
    spec, kept_out = _asked(resolver, requirements, constraints, attempt), list[StackBound]()
    for _ in range(_ROUNDS):
        versions, pinned = _versions(spec), {*attempt.pins, *_exact(plan)}
        outside = _out_of_breaks(versions, pinned, known.breaks)
        more = [
            *(f"{one.package}{one.versions}" for one in outside),
            *_of_extras(versions, attempt.pins, stack),
            *_of_followers(versions, stack),
        ]
        more = [one for one in more if one not in constraints]
        ways = _out_of_relations(versions, pinned, known.relations)
        if not more and not ways:
            break
        for way in ways or [()]:
            given = [*constraints, *more, *(f"{one.package}{one.versions}" for one in way)]
            try:
                spec = _asked(resolver, requirements, given, attempt)
            except ResolutionError:
                continue
            constraints, kept_out = given, [*kept_out, *outside, *way]
            break
        else:
            break
    spec, notes = _of_one_build(spec, lambda more: _asked(resolver, requirements, [*constraints, *more], attempt))
    versions = _versions(spec)
    _refuse_what_is_known(versions, known)
    shown = dict.fromkeys(
        [*plan.packages, *(one for one in ("transformers", "peft", "torch", *FOLLOWERS, "numpy") if one in versions)]
    )
    pins = {one: versions[one] for one in shown}
    torch = stack.tools["torch"].release(versions.get("torch", "")) if "torch" in stack.tools else None
    cuda = torch.cuda if torch is not None else None
    return JointEnvironment(
        purposes=plan.purposes, pins=pins, attempt=attempt, spec=spec,
        bounds=(*(one for one in plan.bounds if not (one.floor and one.package in attempt.pins)), *kept_out),
        declared=tuple(_declared(pins, stack)), cuda=cuda,
        driver=oldest_driver(cuda) if cuda else None, notes=notes,
    )  # fmt: skip


def _wanted(package: str) -> str:
    return f"{package}[{EXTRAS[package]}]" if package in EXTRAS else package


def _asked(
    resolver: Resolver, requirements: Sequence[str], constraints: Sequence[str], attempt: Attempt
) -> EnvironmentSpec:
    limit = as_time(attempt.exclude_newer) if attempt.exclude_newer else None
    return resolver.pins(requirements, exclude_newer=limit, constraints=constraints)


def _versions(spec: EnvironmentSpec) -> dict[str, str]:
    """Name to release of everything in a resolution; the label of a local build says nothing about the release."""
    return {one.name: release_of(str(one.version)) for one in spec.lock.packages if one.version is not None}


def _exact(plan: EnvironmentPlan) -> set[str]:
    """Packages of which one version was asked for."""
    return {one.package for one in plan.bounds if one.versions.startswith("==") and "*" not in one.versions}


def _out_of_breaks(versions: Mapping[str, str], pinned: Collection[str], breaks: Sequence[Break]) -> list[StackBound]:
    """Bounds that leave out what, together with the others, is one of a known break."""
    found: list[StackBound] = []
    for one in breaks:
        if _holds(one.windows, versions):
            first = next((name for name in one.windows if name not in pinned), None)
            if first is not None:
                found.append(StackBound(first, _outside(one.windows[first], versions[first]), one.title))
    return found


def _out_of_relations(
    versions: Mapping[str, str], pinned: Collection[str], relations: Sequence[Relation]
) -> list[tuple[StackBound, ...]]:
    """Ways out of the first relation that does not hold: the other package as it is needed, or this one out of the
    releases that need it."""
    for one in relations:
        if _broken(one, versions):
            ways = [
                StackBound(one.other, one.needs, one.reason),
                StackBound(one.package, _outside(one.versions, versions[one.package]), one.reason),
            ]
            return [(way,) for way in ways if way.package not in pinned]
    return []


def _broken(one: Relation, versions: Mapping[str, str]) -> bool:
    other = versions.get(one.other)
    held = other is None or SpecifierSet(one.needs).contains(other, prereleases=True)
    return not held and _holds({one.package: one.versions}, versions)


def _holds(windows: Mapping[str, str], versions: Mapping[str, str]) -> bool:
    return all(name in versions and SpecifierSet(window).contains(versions[name]) for name, window in windows.items())


def _outside(window: str, version: str) -> str:
    """The versions outside of a window with one end; of another, all but `version`."""
    turned = {">=": "<", "<": ">=", ">": "<=", "<=": ">"}
    (own, *others) = SpecifierSet(window)
    return f"{turned[own.operator]}{own.version}" if not others and own.operator in turned else f"!={version}"


def _refuse_what_is_known(versions: Mapping[str, str], known: _Known) -> None:
    """Raises: ResolutionError: a relation or a break of the matrix says that these do not work together."""
    for one in known.relations:
        if _broken(one, versions):
            pair = f"{one.package} {versions[one.package]} does not go with {one.other} {versions[one.other]}"
            raise ResolutionError(
                f"{pair}: {one.reason}",
                hint=f"--with '{one.other}{one.needs}'",
            )
    for known_break in known.breaks:
        if _holds(known_break.windows, versions):
            pair = " with ".join(f"{name} {versions[name]}" for name in known_break.windows)
            raise ResolutionError(
                f"{pair}: {known_break.title}", hint=f"the way out: {'; or '.join(known_break.ways_out)}"
            )


def _of_extras(versions: Mapping[str, str], pinned: Mapping[str, str], stack: Stack) -> list[str]:
    """Bounds that the extras of chosen releases declare, and that nobody enforces where the extra is not asked for."""
    found: list[str] = []
    for name, version in versions.items():
        release = stack.tools[name].release(version) if name in stack.tools else None
        for other, window in release.optional.items() if release else ():
            outside = other in versions and not SpecifierSet(window).contains(versions[other])
            if outside and other not in pinned:
                found.append(f"{other}{window}")
    return found


def _of_followers(versions: Mapping[str, str], stack: Stack) -> list[str]:
    """Bounds that leave out a torchvision or torchaudio that goes with another torch and does not declare so."""
    return [
        f"{name}!={versions[name]}"
        for name in FOLLOWERS
        if name in versions
        and name in stack.tools
        and (window := stack.tools[name].torch_of(versions[name])) is not None
        and "torch" in versions
        and not SpecifierSet(window).contains(versions["torch"])
    ]


def _of_one_build(
    spec: EnvironmentSpec, ask: Callable[[Sequence[str]], EnvironmentSpec]
) -> tuple[EnvironmentSpec, tuple[str, ...]]:
    """The environment with torch and what is compiled against it of one build, and what to say where it has two: the
    followers in torch's build where the index has them, else torch in theirs."""
    labels = _labels(spec)
    torch, others = labels.get("torch"), [one for one in FOLLOWERS if one in labels]
    apart = [one for one in others if label_of(labels[one]) != label_of(torch)]
    if torch is None or not apart:
        return spec, ()
    build = label_of(torch)
    ways = [[f"{one}=={release_of(labels[one])}+{build}" for one in apart]] if build else []
    ways.append([f"torch!={torch}"] if build else [f"{one}!={labels[one]}" for one in apart])
    for way in ways:
        try:
            found = ask(way)
        except ResolutionError:
            continue
        # Another torchvision makes uv go back to releases of the tools that need none: that is no answer.
        same = _without_cuda(found) == _without_cuda(spec)
        if same and len({label_of(one) for one in _labels(found).values()}) == 1:
            return found, ()
    said = ", ".join(f"`{one}` {labels[one]}" for one in apart)
    return spec, (f"{said} and torch {torch} are other builds: what is compiled for one does not load with the other",)


def _without_cuda(spec: EnvironmentSpec) -> dict[str, str]:
    """The versions of everything but what one build of torch brings along and another does not."""
    return {name: version for name, version in _versions(spec).items() if not is_companion(name)}


def _labels(spec: EnvironmentSpec) -> dict[str, str]:
    """The versions of torch and its followers with the label of their build."""
    names = {"torch", *FOLLOWERS}
    return {one.name: str(one.version) for one in spec.lock.packages if one.name in names and one.version is not None}


def _declared(pins: Mapping[str, str], stack: Stack) -> Iterable[Declared]:
    for name, version in pins.items():
        release = stack.tools[name].release(version) if name in stack.tools else None
        if release is not None:
            for other, versions in release.requires.items():
                if other in pins or other == "python":
                    yield Declared(package=name, version=version, other=other, versions=versions)


def _why_two(environments: Sequence[JointEnvironment], refusal: ResolutionError, stack: Stack) -> tuple[str, ...]:
    """Which declared window of one environment the other's version is outside of, and what uv said."""
    found: list[str] = []
    for own, other in (environments, environments[::-1]):
        for name, version in own.pins.items():
            release = stack.tools[name].release(version) if name in stack.tools else None
            for package, window in release.requires.items() if release else ():
                theirs = other.pins.get(package)
                if theirs is not None and not SpecifierSet(window).contains(theirs):
                    purposes = " and ".join(other.purposes)
                    found.append(
                        f"{name} {version} declares {package} {window}, and to {purposes} needs {package} {theirs}"
                    )
    said = refusal.message.splitlines()
    return tuple(dict.fromkeys([*found[:4], *([] if found else said[:6])]))
