"""The verdict of a repeated run, and its cause by elimination: what was equal is ruled out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from envpin.core.sizes import counted
from envpin.manifest.trace import Trace
from envpin.manifest.types import is_local
from envpin.replay.training.facts import Cause, FactDifference, differing_facts
from envpin.replay.training.steps import Apart, Gaps, compared_steps, first_apart, gaps, relative

if TYPE_CHECKING:
    from envpin.manifest.types import Manifest

TrainVerdict = Literal["identical", "equivalent", "diverged", "not comparable"]
Adapter = Literal["identical", "differs", "not compared"]

# What can make a run part at a sign, the most specific first. Packages and code can do anything; hardware rounds.
_ANYTHING: tuple[Cause, ...] = ("package", "code")
_COMPUTED: tuple[Cause, ...] = (
    "base weights", "precision", "attention", "dropout", "adapter config", "accumulation", "batch size",
    "hyperparameter", "seed", "environment variable", "kernel", *_ANYTHING, "hardware",
)  # fmt: skip
_OF_SIGN: dict[str, tuple[Cause, ...]] = {
    "initial adapter": ("adapter config", "precision", "seed", *_ANYTHING, "kernel"),
    "batch": (
        "accumulation",
        "batch size",
        "chat template",
        "tokenizer",
        "data",
        "data order",
        "seed",
        *_ANYTHING,
        "environment variable",
    ),
    "number of steps": ("learning rate", "accumulation", "batch size", "data", "hyperparameter", *_ANYTHING),
    "learning rate": ("learning rate", "accumulation", "batch size", "data", "hyperparameter", *_ANYTHING),
    "loss": _COMPUTED,
    "gradient norm": _COMPUTED,
    "adapter": ("optimizer", *_COMPUTED),
}
# Steps whose noise may not be larger than what was measured in them: later ones drift apart.
_TIGHT_STEPS = 10
_WEIGHTS = ("adapter_model", "model", "pytorch_model")
# How many times the measured noise is within it.
_FACTOR = 3.0


class Noise(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the repeat is from a second repeat of itself: the largest relative gap in the first steps, and in all."""

    first: float
    later: float
    steps: int


class TrainJudgement(msgspec.Struct, frozen=True, kw_only=True):
    """`first` is where the runs part, `cause` why, `because` the facts that say so; `also` are other facts that differ,
    `ruled_out` what was equal up to there. `certain`: one cause alone is left. `noise` is None where it was not
    measured; `steps` is how many were compared."""

    verdict: TrainVerdict
    steps: int
    adapter: Adapter = "not compared"
    first: Apart | None = None
    cause: Cause | None = None
    certain: bool = False
    because: tuple[FactDifference, ...] = ()
    also: tuple[FactDifference, ...] = ()
    ruled_out: tuple[str, ...] = ()
    noise: Noise | None = None
    gaps: Gaps | None = None
    note: str | None = None


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run as it is compared: its manifest, and its trace, where there is one."""

    manifest: Manifest
    trace: Trace | None = None


def judge(
    recorded: RunRecord, repeated: RunRecord, *, again: RunRecord | None = None, steps: int | None = None,
    more: tuple[FactDifference, ...] = (),
) -> TrainJudgement:  # fmt: skip
    """Hold a repeat against the record; `again` is a second repeat. With `steps`, only that many are compared, and the
    adapters are not. `more` are differences that the manifests alone do not tell."""
    facts = (*differing_facts(recorded.manifest, repeated.manifest), *more)
    known = _recorded_on_both(recorded.manifest, repeated.manifest)
    adapter = compare_adapters(recorded.manifest, repeated.manifest) if steps is None else "not compared"
    one, other = recorded.trace or Trace(), repeated.trace or Trace()
    compared = compared_steps(one, other, steps=steps)
    apart = first_apart(one, other, steps=steps)
    if adapter == "identical":
        return TrainJudgement(verdict="identical", steps=compared, adapter=adapter, also=facts, first=apart)
    if uncomparable := [fact for fact in facts if fact.cause in {"world size", "resume"}]:
        return TrainJudgement(verdict="not comparable", steps=compared, adapter=adapter, cause=uncomparable[0].cause,
                              certain=True, because=tuple(uncomparable), first=apart,
                              also=tuple(fact for fact in facts if fact not in uncomparable))  # fmt: skip
    if apart is None and adapter == "differs":
        apart = Apart(step=max((step.step for step in one.steps), default=0) if compared else 0, sign="adapter")
    if apart is None:
        return _nothing_apart(one, other, compared, facts, whole=steps is None)
    noise = measure(repeated.trace, again.trace, steps=steps) if again is not None else None
    judgement = _explained(apart, facts, noise, known | _seen(one, other))
    within = noise is not None and apart.step > 0 and within_noise(one, other, noise, steps=steps)
    return msgspec.structs.replace(
        judgement,
        verdict="equivalent" if within else "diverged",
        steps=compared,
        adapter=adapter,
        noise=noise,
        gaps=gaps(one, other, steps=steps),
    )


def _nothing_apart(
    one: Trace, other: Trace, compared: int, facts: tuple[FactDifference, ...], *, whole: bool
) -> TrainJudgement:
    """Nothing differs of what was compared: identical, where that was the steps asked for, or every trained tensor."""
    finals = [side.final.digest for side in (one, other) if side.final is not None and not side.final.sampled]
    if compared and (not whole or (len(finals) == 2 and finals[0] is not None)):
        return TrainJudgement(verdict="identical", steps=compared, also=facts)
    note = "no step was recorded on both sides, so nothing was compared"
    if compared:
        note = "every step that was recorded is equal, but nothing says what the weights were at the end"
    return TrainJudgement(verdict="not comparable", steps=compared, also=facts, note=note)


def compare_adapters(recorded: Manifest, repeated: Manifest) -> Adapter:
    """By the digests of the weights' files, of an adapter or a whole model; the config beside them may list its modules
    in another order. Files without a digest leave the rest to differ, never to be identical."""
    old, new = (_digests_of_weights(side) for side in (recorded, repeated))
    if not old or old.keys() != new.keys():
        return "not compared"
    if any(None not in (old[name], new[name]) and old[name] != new[name] for name in old):
        return "differs"
    return "not compared" if None in old.values() or None in new.values() else "identical"


def _digests_of_weights(manifest: Manifest) -> dict[str, str | None]:
    if manifest.saved is None:
        return {}
    found: dict[str, str | None] = {**dict.fromkeys(manifest.saved.undigested), **manifest.saved.files}
    return {
        name: digest
        for name, digest in found.items()
        if name.startswith(_WEIGHTS) and name.endswith((".safetensors", ".bin"))
    }


def measure(one: Trace | None, other: Trace | None, *, steps: int | None = None) -> Noise | None:
    """The noise between two repeats; None where they share no step."""
    if one is None or other is None:
        return None
    found = _relative_gaps(one, other, steps)
    if not found:
        return None
    first = min(found)
    early = [gap for step, gap in found.items() if step < first + _TIGHT_STEPS]
    return Noise(first=max(early, default=0.0), later=max(found.values()), steps=len(found))


def within_noise(one: Trace, other: Trace, noise: Noise, *, steps: int | None = None) -> bool:
    """Whether losses and norms are as close as a repeat is to itself. Batches and rates have no noise."""
    apart = first_apart(one, other, steps=steps)
    if apart is not None and apart.sign in {"initial adapter", "batch", "learning rate"}:
        return False
    found = _relative_gaps(one, other, steps)
    others = other.at()
    for step in one.steps:
        new = others.get(step.step)
        if new is None or (steps is not None and step.step > steps):
            continue
        if step.lr is not None and new.lr is not None and step.lr != new.lr:
            return False
        if step.batch is not None and new.batch is not None and step.batch.digest != new.batch.digest:
            return False
    if not found:
        return False
    first = min(found)
    return all(
        gap <= _FACTOR * (noise.first if step < first + _TIGHT_STEPS else noise.later) for step, gap in found.items()
    )


def _relative_gaps(one: Trace, other: Trace, steps: int | None) -> dict[int, float]:
    others = other.at()
    return {
        step.step: max(relative(step.loss, new.loss), relative(step.grad_norm, new.grad_norm))
        for step in one.steps
        if (new := others.get(step.step)) is not None and (steps is None or step.step <= steps)
    }


def _explained(
    apart: Apart, facts: tuple[FactDifference, ...], noise: Noise | None, known: frozenset[str]
) -> TrainJudgement:
    """The cause: what can show at this sign, without what is equal on both sides."""
    order = _OF_SIGN[apart.sign]
    if apart.sign in {"loss", "gradient norm"} and apart.step > 1:
        order = ("optimizer", *order)  # the steps before were equal, so what differs came with an update
    if apart.sign == "batch":
        order = _for_rows(apart, order)
    able = [fact for fact in facts if fact.cause in order]
    strong = sorted((fact for fact in able if not fact.weak), key=lambda fact: order.index(fact.cause))
    weak = sorted((fact for fact in able if fact.weak), key=lambda fact: order.index(fact.cause))
    ranked = strong or weak
    ruled_out = _ruled_out(apart, facts, known)
    if not ranked:
        cause, note = _unexplained(apart, noise)
        return TrainJudgement(verdict="diverged", steps=0, first=apart, cause=cause, certain=False, also=facts,
                              ruled_out=ruled_out, note=note)  # fmt: skip
    cause = ranked[0].cause
    because = tuple(fact for fact in ranked if fact.cause == cause)
    certain = bool(strong) and all(fact.cause == cause for fact in strong)
    return TrainJudgement(verdict="diverged", steps=0, first=apart, cause=cause, certain=certain, because=because,
                          also=tuple(fact for fact in facts if fact not in because), ruled_out=ruled_out)  # fmt: skip


def _for_rows(apart: Apart, order: tuple[Cause, ...]) -> tuple[Cause, ...]:
    """How the rows of a batch differ says which causes come first, and which cannot be it."""
    if apart.rows == "order":
        return ("data order", "seed", *(cause for cause in order if cause not in {"data order", "seed"}))
    if apart.rows == "content":
        return ("data", *(cause for cause in order if cause not in {"data", "data order", "seed"}))
    return order


def _unexplained(apart: Apart, noise: Noise | None) -> tuple[Cause | None, str]:
    if apart.sign == "batch":
        if apart.rows == "order":
            return "data order", "the same rows come in another order, and no recorded setting says why"
        if apart.rows == "padding":
            return None, "its rows are the same: they are padded in another way, and no recorded setting says why"
        rows = f"{counted(apart.changed, 'row')} of the step" if apart.changed else "rows"
        return "data", f"{rows} hold something else, and no recorded file or setting says why"
    if apart.sign == "initial adapter":
        return (
            "seed",
            "the adapter's first weights were drawn from another state of the generator: seed before that",
        )
    if noise is not None and noise.later > 0:
        return "kernel", "the run differs from its own repeat: something in it is not deterministic"
    return (
        None,
        "nothing that was recorded differs: something that is not recorded does, or a kernel is not deterministic",
    )


def _ruled_out(apart: Apart, facts: tuple[FactDifference, ...], known: frozenset[str]) -> tuple[str, ...]:
    """What was equal, in words: only what was recorded on both sides."""
    found: list[str] = []
    if apart.step > 0 and "initial adapter" in known:
        found.append("initial adapter")
    if apart.sign in {"loss", "gradient norm", "learning rate", "adapter"} and "batches" in known:
        found.append(f"batches to step {apart.step}, where recorded")
    if apart.sign in {"loss", "gradient norm", "adapter"} and "learning rates" in known:
        found.append(f"learning rates to step {apart.step}")
    differing = {fact.cause for fact in facts}
    words: tuple[tuple[Cause, str], ...] = (
        ("base weights", "base weights"), ("package", "packages"), ("hardware", "hardware"), ("code", "code"),
        ("attention", "attention"), ("precision", "precision"),
    )  # fmt: skip
    found += [word for cause, word in words if cause in known and cause not in differing]
    return tuple(found)


def _seen(one: Trace, other: Trace) -> frozenset[str]:
    """What both traces tell of the start and of their common steps."""
    others = other.at()
    pairs = [(step, others[step.step]) for step in one.steps if step.step in others]
    starts = [side.initial.adapter if side.initial is not None else None for side in (one, other)]
    told = {
        "initial adapter": None not in starts,
        "batches": any(old.batch is not None and new.batch is not None for old, new in pairs),
        "learning rates": any(old.lr is not None and new.lr is not None for old, new in pairs),
    }
    return frozenset(name for name, value in told.items() if value)


def _recorded_on_both(before: Manifest, after: Manifest) -> frozenset[str]:
    """The causes whose facts both manifests tell whole: of a package from a folder the version alone is known, and of a
    file that was changed while it ran nothing."""

    def told(manifest: Manifest) -> set[Cause]:
        kernels = manifest.training.kernels if manifest.training else {}
        facts: dict[Cause, object] = {
            "base weights": manifest.base and (manifest.base.files or manifest.base.weights),
            "package": manifest.distributions and not any(map(is_local, manifest.distributions)),
            "hardware": kernels.get("processor"),
            "code": manifest.code and manifest.code.sha256 and not manifest.code.left_out,
            "attention": kernels.get("attention"),
            "precision": kernels.get("dtype"),
        }
        return {cause for cause, value in facts.items() if value}

    return frozenset(told(before) & told(after))
