"""`envpin prove BASE ADAPTER MERGED`: is a merge, whoever made it, the base plus this adapter?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.cli.console.formats import add_format, answer, is_for_ci
from envpin.cli.console.width import fitted
from envpin.core.sizes import counted, verb

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.core.place import Place
    from envpin.host.verbs import VerdictCounts
    from envpin.proof.prove import MergeProof
    from envpin.proof.verdict import Trouble
    from envpin.remote.hub.client import Hub
    from envpin.report.annotations import Subject

takes_child = False
_SHOWN = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Every tensor is compared, from the files alone: no record is needed, and nothing is taken from the program "
        "that merged. Exit status 0: proved. 1: not; what is wrong or was not compared is named. 2: an input cannot "
        "be read."
    )
    parser.add_argument("base", metavar="BASE", help="the folder of the base model")
    parser.add_argument("adapter", metavar="ADAPTER", help="the folder of the adapter")
    parser.add_argument("merged", metavar="MERGED", help="the folder of the merged model")
    parser.add_argument("--environment", metavar="REF", help="compare in this environment (default: one that is ready)")
    parser.add_argument("--all", action="store_true", help="list every tensor that is wrong, not only the first ones")
    parser.add_argument(
        "--offline", action="store_true", help="never use the network: a missing environment is an error"
    )
    add_format(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    from envpin.envs.store.store import Store
    from envpin.proof.prove import prove
    from envpin.remote.hub.client import Hub

    for_ci = is_for_ci(args)
    hub = Hub(offline=True, listener=console.listener())
    places = [_place(one, hub) for one in (args.base, args.adapter, args.merged)]
    found = prove(
        *places, store=Store(), environment=args.environment, listener=console.listener(), offline=args.offline
    )
    console.close()
    if for_ci:
        answer([_subject(args, found)], args, console)
    elif console.json_mode:
        console.document(1, _document(args, found))
    else:
        console.data(fitted(_lines(args, found), indent=6))
    return 0 if found.proved else 1


def _place(given: str, hub: Hub) -> Place:
    """A folder, or a repository that is in the Hub cache whole."""
    from envpin.core.command_text import command_text
    from envpin.core.errors import InputError, NetworkError

    try:
        return hub.open_place(given)
    except NetworkError as error:
        raise InputError(
            f"`{given}` is no folder here, and not in the Hub cache: a proof reads every byte of it",
            path=given,
            hint=f"{command_text('hf', 'download', given)}, then give the folder that it prints",
        ) from error


def _subject(args: argparse.Namespace, found: MergeProof) -> Subject:
    from envpin.core.findings import Evidence, Finding
    from envpin.report.annotations import Subject

    why = {one.tensor: one.why for one in found.answer.listed}
    wrong = [
        Finding(
            code=one.code,
            severity="blocker",
            message=one.message,
            evidence=tuple(Evidence(tensor=name, note=why.get(name)) for name in one.tensors),
        )
        for one in found.troubles
    ]
    left = found.answer.counts.not_compared
    unproved = counted(left, "tensor") if left else "there is no tensor to compare"
    open_one = None if found.proved or (wrong and not left) else unproved
    return Subject(path=str(args.merged), findings=tuple(wrong), not_compared=open_one)


def _lines(args: argparse.Namespace, found: MergeProof) -> list[str]:
    from envpin.proof.verdict import total

    counts, changed = found.answer.counts, found.answer.changed
    lines = [f"{args.merged}: {_headline(found)}", f"  {counted(total(counts), 'tensor')}: {_words(counts)}"]
    lines.append(f"  {total(changed)} of them changed by the adapter: {_words(changed)}")
    for way, count in sorted(found.answer.ways.items(), key=lambda one: -one[1]):
        lines.append(f"    {count}: {way}")
    if found.answer.lost:
        many = len(found.answer.lost)
        lines.append(f"  {many} equal the base's all the same: the adapter's change there is lost in rounding, or none")
    for trouble in found.troubles:
        lines += _trouble(trouble, found, everything=args.all)
    lines += _not_compared(found, everything=args.all)
    lines += [f"  note: {note}" for note in found.answer.notes[:_SHOWN]]
    return lines


def _headline(found: MergeProof) -> str:
    if found.proved:
        return "proved: it is this base plus this adapter"
    if {one.code for one in found.troubles} == {"peft-names"}:
        return "not proved: the values compared are right, under peft's own names, which transformers does not load"
    if found.troubles:
        return f"not this base plus this adapter: {found.troubles[0].message}"
    return "not proved: nothing is wrong in what was compared, but not everything was"


def _words(counts: VerdictCounts) -> str:
    named = ((counts.equal, "equal to the bit"), (counts.rounding, "within rounding"),
             (counts.not_compared, "not compared"), (counts.wrong, "wrong"))  # fmt: skip
    return ", ".join(f"{count} {word}" for count, word in named if count) or "none"


def _trouble(trouble: Trouble, found: MergeProof, *, everything: bool) -> list[str]:
    where = f" in {verb(len(trouble.layers), 'layer', 'layers')} {_ranges(trouble.layers)}" if trouble.layers else ""
    scale = ""
    if trouble.factor is not None:
        low, high = trouble.factor
        scale = f", {low:.4g} times" if f"{low:.4g}" == f"{high:.4g}" else f", {low:.4g} to {high:.4g} times"
    many = counted(len(trouble.tensors), "tensor")
    lines = ["", f"{trouble.code}: {trouble.message}", f"  {many}{where}{scale}"]
    why = {one.tensor: one.why for one in found.answer.listed}
    shown = trouble.tensors if everything else trouble.tensors[:_SHOWN]
    lines += [f"  {name}: {why[name]}" if why.get(name) else f"  {name}" for name in shown]
    if len(shown) < len(trouble.tensors):
        lines.append(f"  and {len(trouble.tensors) - len(shown)} more (--all lists them)")
    return lines


def _not_compared(found: MergeProof, *, everything: bool) -> list[str]:
    left = [one for one in found.answer.listed if one.state == "not-compared"]
    if not left:
        return []
    shown = left if everything else left[:_SHOWN]
    lines = ["", f"not compared: {counted(len(left), 'tensor')}"]
    lines += [f"  {one.tensor}: {one.why or 'no reason known'}" for one in shown]
    if len(shown) < len(left):
        lines.append(f"  and {len(left) - len(shown)} more (--all lists them)")
    return lines


def _ranges(numbers: tuple[int, ...]) -> str:
    """`0-3, 7` for (0, 1, 2, 3, 7)."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(one[0]) if len(one) == 1 else f"{one[0]}-{one[-1]}" for one in runs)


def _document(args: argparse.Namespace, found: MergeProof) -> dict[str, object]:
    from envpin.proof.verdict import to_json

    return {
        "base": str(args.base),
        "adapter": str(args.adapter),
        "merged": str(args.merged),
        "environment": {
            "key": found.chosen.environment.key,
            "chosen": found.chosen.why,
            "packages": found.chosen.packages,
        },
        **to_json(found.answer, found.troubles),
    }
