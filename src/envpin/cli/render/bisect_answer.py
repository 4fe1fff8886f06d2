"""A finished search in words: the answer for a terminal, an issue ready to file. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.core.sizes import counted

if TYPE_CHECKING:
    from envpin.bisect.report.report import BisectReport

# Enough to recognise a change; all of them are in the document of `--json`.
_FILES_SHOWN = 8
_DEEDS = {
    "config": "read, with `AutoConfig.from_pretrained`, the config.json of",
    "load": "load",
    "forward": "load and call",
    "generate": "load and call `generate` of",
    "train": "take five LoRA steps on",
    "load-adapter": "load, with `PeftModel.from_pretrained`, a LoRA adapter onto",
    "merge": "merge a LoRA adapter, with `merge_and_unload`, and compare the logits with those before, on",
}


def headline(report: BisectReport) -> str:
    """The answer in one line."""
    package, find = report.question.package, report.question.find
    dates = {row.version: row.uploaded for row in report.rows if row.uploaded}

    def dated(version: str) -> str:
        return f"{version} ({dates[version]})" if version in dates else version

    match report.answer:
        case "named":
            sure = "" if report.certain else "probably "
            return f"{sure}{package} {dated(report.after)} {find} it; {dated(report.before)} did not"
        case "range":
            return (
                f"one of the releases after {package} {dated(report.before)} up to {dated(report.after)} {find} it; "
                "what lies between cannot be tested"
            )
        case "end-wrong":
            wanted, did = ("bad", "passed") if report.before == report.question.bad else ("good", "failed")
            return f"expected {package} {report.before} to be {wanted}, but the probe {did}"
        case "end-untestable":
            return f"{package} {report.before} cannot be tested, so there is no end to start from"
        case _:
            between = f"between {report.before} and {report.after}"
            return f"undecided: the outcomes of the probe differ too much from run to run ({between})"


def text(report: BisectReport) -> str:
    """The whole answer, as lines for a terminal."""
    lines = [headline(report), ""]
    if report.last_good:
        good, bad = _end_names(report)
        lines.append(f"  {good:10}  {report.question.package} {report.last_good}")
        lines.append(f"  {bad:10}  {report.question.package} {report.first_bad}")
    lines += [f"  {name:10}  {value}" for name, value in _facts(report)]
    if report.error:
        lines += ["", "the failure:", *(f"  {line[:300]}" for line in report.error.splitlines())]
    if report.changed_files:
        lines += ["", *_files(report)]
    if report.untestable:
        lines += ["", "not testable:", *(f"  {line}" for line in report.untestable)]
    if report.others:
        lines += ["", "the state changes elsewhere too:", *(f"  {line}" for line in report.others)]
    lines += [f"\nwarning: {line}" for line in warnings(report)]
    if report.pin:
        lines += ["", f"pin: {report.pin}"]
    return "\n".join(lines)


def _end_names(report: BisectReport) -> tuple[str, str]:
    """What the good and the bad release at the edge are called."""
    return ("last good", "first bad") if report.question.find == "broke" else ("first good", "last bad")


def warnings(report: BisectReport) -> list[str]:
    """What a careful reader should know before trusting the answer."""
    found = []
    if not report.same_failure and report.first_bad:
        found.append(
            f"{report.question.package} {report.first_bad} fails differently from {report.question.bad}: "
            "there may be two causes; `--expect REGEX` follows one of them"
        )
    if report.noisy:
        found.append(
            f"the probe answered differently on the same release ({', '.join(report.flaky)}): "
            "the answer is a probability, not a proof"
        )
    if report.back_ports:
        found.append(f"released after a later version: {', '.join(report.back_ports)}; a back-port may hide a change")
    return found


def _facts(report: BisectReport) -> list[tuple[str, str]]:
    if report.answer in {"end-wrong", "end-untestable"}:
        return [("probes", f"{report.probes} in {report.seconds:.0f} s; no search was made")]
    facts = [("sureness", "certain" if report.certain else f"{report.probability:.0%} likely")]
    if report.moved:
        facts.append(("also moved", ", ".join(report.moved)))
    if report.reason:
        facts.append(("in wheels", report.reason))
    searched = f"{report.narrowing} to find it (halving needs {report.halving}), {report.reruns} to make sure"
    facts.append(("probes", f"{report.probes} in {report.seconds:.0f} s: both ends, {searched}"))
    return facts


def _files(report: BisectReport) -> list[str]:
    touched = [change for change in report.changed_files if change.touches]
    others = len(report.changed_files) - len(touched)
    lines = [
        f"files that differ between {report.before} and {report.after}, in the family's code or on the traceback's way:"
    ]
    lines += [f"  {change.path}  +{change.added} -{change.removed}" for change in touched[:_FILES_SHOWN]]
    if not touched:
        lines[0] = f"files that differ between {report.before} and {report.after}: none on the failure's way"
    return [*lines, f"  and {counted(others, 'other file')}"] if others else lines


def issue(report: BisectReport) -> str:
    """Markdown for the package's issue tracker."""
    question = report.question
    verb = "breaks" if question.find == "broke" else "fixes"
    good, bad = _end_names(report)
    what = question.probe.title
    sure = "certain" if report.certain else f"{report.probability:.0%} likely"
    how = (
        f"Found by bisecting the released versions from {question.old} to {question.new}, each in its own environment, "
        f"with everything else held ({sure})."
    )
    lines = [
        f"### {question.package} {report.after} {verb}: {what}",
        "",
        how,
        "",
        f"- {good}: `{question.package}=={report.last_good}`",
        f"- {bad}: `{question.package}=={report.first_bad}`",
        f"- Python {question.python}; held: {', '.join(f'`{pin}`' for pin in question.requirements) or 'nothing'}",
    ]
    if report.moved:
        lines.append(f"- moved along: {', '.join(report.moved)}")
    shown = command_text("pip", "install", f"{question.package}=={report.first_bad}", *question.requirements)
    lines += ["", f"To see it: `{shown}` on Python {question.python}, then {_deed(report)}."]
    lines += ["", "| release | date | verdict | what it said |", "|---|---|---|---|"]
    seen: set[str] = set()
    for row in sorted(report.rows, key=lambda row: (row.uploaded or "", row.version)):
        if row.version not in seen:
            seen.add(row.version)
            said = row.error.replace("`", "'")[:120].replace("|", "\\|")
            lines.append(f"| {row.version} | {row.uploaded or ''} | {row.verdict} | {said} |")
    if report.traceback:
        lines += [
            "",
            "<details><summary>traceback</summary>",
            "",
            "```",
            _shortened(report.traceback),
            "```",
            "</details>",
        ]
    return "\n".join(lines) + "\n"


def _deed(report: BisectReport) -> str:
    """What the probe does, for somebody who does not have envpin."""
    probe = report.question.probe
    if probe.command:
        return f"run `{' '.join(probe.command)}`"
    model = f"a small random model with the configuration of {probe.family}" if probe.family else "the model"
    return f"{_DEEDS[probe.action or 'load']} {model}".replace("  ", " ")


def _shortened(traceback: str, lines: int = 40) -> str:
    """The traceback without this machine's folders, and without its middle where it is long."""
    public = re.sub(r'File "[^"]*/(site-packages|envpin/workers|python3\.\d+)/', r'File "…/\1/', traceback)
    every = public.rstrip().splitlines()
    return "\n".join(every if len(every) <= lines else [*every[:3], "…", *every[-lines + 4 :]]).replace("```", "'''")
