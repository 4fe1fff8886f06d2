"""`envpin matrix resolve MODEL --for … --with …`: versions of a whole stack that go together, with their reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.cli.console.width import fitted
from envpin.cli.render.stack import stack_document, stack_lines
from envpin.cli.stack import answer_stack, stack_command

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console


def run_resolve_stack(args: argparse.Namespace, console: Console) -> int:
    found, subject, answer = answer_stack(args, args.model, listener=console.listener())
    console.close()
    commands = {
        ",".join(one.purposes): stack_command("env create", args.model, args, one.purposes)
        for one in answer.environments
    }
    family = found.family
    if args.json:
        console.document(
            1,
            {
                "family": family.id if family else None, "certainty": found.certainty, "model_type": found.model_type,
                "name": subject.name, "evidence": (*subject.origin, *found.evidence),
                "stack": stack_document(answer, commands),
            },
        )  # fmt: skip
        return 0
    title = f"{family.title}  [{family.id}]" if family else f"not in the matrix; the type `{found.model_type}`"
    reasons = [*subject.origin, *found.evidence]
    head = [title, "", *(f"  {'because' if at == 0 else '':<9} {line}" for at, line in enumerate(reasons))]
    console.data(fitted([*head, *stack_lines(answer, commands)], indent=12))
    return 0
