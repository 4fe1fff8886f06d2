"""A stack's environments in words and as data: pins, the reason of each bound, what releases declare, commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpin.core.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.envs.refs.joint import Declared, JointAnswer, JointEnvironment


def stack_lines(answer: JointAnswer, commands: Mapping[str, str]) -> list[str]:
    """For a person. `commands` are by the purposes of each environment, joined by commas."""
    lines: list[str] = []
    if answer.why_two:
        lines += [
            "  two environments, because uv finds no versions for one:",
            *(f"            {one}" for one in answer.why_two),
        ]
    for one in answer.environments:
        lines += ["", f"to {' and '.join(one.purposes)}, Python {answer.python}", "", *_environment(one)]
        lines += [f"  note      {note}" for note in answer.notes] if one is answer.environments[-1] else []
        lines += ["", f"  {commands[','.join(one.purposes)]}"]
    return lines


def _environment(one: JointEnvironment) -> Iterator[str]:
    for at, start in enumerate(range(0, len(one.requirements), 3)):
        yield f"  {'pins' if at == 0 else '':<9} {', '.join(one.requirements[start : start + 3])}"
    newest = f", nothing newer than {one.attempt.exclude_newer}" if one.attempt.exclude_newer else ""
    yield f"            resolved by uv, {counted(len(one.spec.lock.packages), 'package')}{newest}"
    yield f"            {one.attempt.title}"
    for bound in one.bounds:
        yield f"  bound     {bound.package} {bound.versions}: {bound.reason}"
    for line in one.declared:
        if _limits(line):
            yield f"  declares  {line.package} {line.version}: {line.other} {line.versions}"
    if one.cuda:
        torch, driver = one.pins["torch"], one.driver or "unknown"
        yield f"  driver    torch {torch} brings CUDA {one.cuda}: NVIDIA driver {driver} or newer"


def _limits(line: Declared) -> bool:
    """Whether a declared window has an upper end: the others hold for whatever is newer."""
    return any(one.operator in {"==", "<", "<=", "~=", "==="} for one in SpecifierSet(line.versions))


def stack_document(answer: JointAnswer, commands: Mapping[str, str]) -> dict[str, object]:
    """For `--json`."""
    return {
        "python": answer.python,
        "why_two": answer.why_two,
        "notes": answer.notes,
        "environments": [
            {
                "for": one.purposes,
                "pins": dict(one.pins),
                "packages": {each.name: str(each.version) for each in one.spec.lock.packages},
                "exclude_newer": one.attempt.exclude_newer,
                "basis": one.attempt.title,
                "bounds": [each._asdict() for each in one.bounds],
                "declared": [
                    {"package": each.package, "version": each.version, "other": each.other, "versions": each.versions}
                    for each in one.declared
                ],
                "cuda": one.cuda,
                "driver": one.driver,
                "command": commands[",".join(one.purposes)],
            }
            for one in answer.environments
        ],
    }
