"""What the plan of a merge says on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.replay.adapters import named

if TYPE_CHECKING:
    from envpin.envs.store.estimate import PlannedDownload
    from envpin.replay.adapters import Part
    from envpin.replay.plan import MergePlan


def plan_lines(plan: MergePlan, download: PlannedDownload | None = None) -> list[str]:
    """The lines that a person reads before the merge, each with its label; the findings of the preflight last.
    `download` is what building the environment would cost at most."""
    rows = _rows(plan)
    if download is not None:
        at = [label for label, _ in rows].index("environment")
        rows.insert(at + 1, ("download", f"at most {download.words}"))
    lines = [f"{label:<12} {text}" for label, text in rows]
    for finding in plan.findings:
        lines.append(f"{finding.severity:<12} {finding.code}: {finding.message}")
        if finding.severity == "blocker":  # a replay does what the others ask for by itself
            lines += [f"{'':<12} fix: {step}" for step in finding.fix]
    return lines


def _rows(plan: MergePlan) -> list[tuple[str, str]]:
    packages = {str(one.name): str(one.version) for one in plan.spec.lock.packages}
    versions = ", ".join(f"{name} {packages[name]}" for name in ("transformers", "peft", "torch") if name in packages)
    why = "no envpin.json" if plan.parts[0].manifest is None else "envpin.json names no versions"
    how = {
        "manifest": "as recorded in envpin.json",
        "inferred": f"{why}: inferred from the adapter's files",
        "family": f"{why}: {plan.family or 'the nearest known'}",
        "reference": "as you asked",
    }[plan.basis]
    if plan.other_torch is not None:
        how += f", but for the build of torch, which was {plan.other_torch[0]}"
    adapters = [_adapter(part, alone=len(plan.parts) == 1) for part in plan.parts]
    quantized = plan.quantized.describe()
    return [
        *(("adapter" if number == 0 else "add-adapter", text) for number, text in enumerate(adapters)),
        ("base", f"{named(plan.base.path, plan.base.remote)} ({plan.base.found})"),
        ("base weights", plan.weights.words),
        *([("quantized", quantized)] if quantized else []),
        ("environment", f"{versions}, Python {plan.spec.python} ({how})"),
        ("embedding", plan.embedding.reason),
        ("engine", plan.engine.engine + (f" on {plan.engine.device}" if plan.engine.device != "cpu" else "")),
        ("output", str(plan.out)),
        *(("note", note) for note in plan.notes),
    ]


def _adapter(part: Part, *, alone: bool) -> str:
    """What it is; with its weight where that says something."""
    text = named(part.path, part.remote)
    return text if alone and part.weight == 1 else f"{text}, weight {part.weight:g}"
