"""The options that ask for a whole stack, alike in `matrix resolve`, `lock` and `env create`, and their answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.core.sizes import counted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from envpin.core.events import Listener
    from envpin.envs.refs.joint import JointAnswer
    from envpin.envs.refs.pins import Resolver
    from envpin.matrix.joint import StackQuestion
    from envpin.matrix.match import Match
    from envpin.matrix.subject import ModelSubject

_EXAMPLE = "envpin matrix resolve MODEL --for train --with trl,bitsandbytes --cuda 12.4"


def add_stack_arguments(parser: argparse.ArgumentParser) -> None:
    """The options; each command has its own `--python`."""
    group = parser.add_argument_group("the whole stack, for a model: versions of tools that go together")
    group.add_argument("--for", dest="purposes", metavar="WHAT", action="append", default=[],
                       help="train, merge, serve, or several: train,serve (default: train,merge)")  # fmt: skip
    group.add_argument("--with", dest="tools", metavar="TOOLS", action="append", default=[],
                       help="packages that it is wanted with: trl,bitsandbytes,vllm")  # fmt: skip
    group.add_argument("--cuda", metavar="X.Y", help="the newest CUDA that the driver runs, as nvidia-smi shows it")
    group.add_argument(
        "--newest", action="store_true", help="the newest releases that fit, not those of the model's time"
    )


def asks_for_stack(args: argparse.Namespace) -> bool:
    """Whether one of the options was given."""
    return bool(args.purposes or args.tools or args.cuda or args.newest)


def stack_question(args: argparse.Namespace) -> StackQuestion:
    """
    Raises:
        UsageError: a purpose or the CUDA is none.
    """
    import re

    from envpin.core.errors import UsageError
    from envpin.matrix.joint import PURPOSES, StackQuestion

    purposes = _pieces(args.purposes)
    unknown = [one for one in purposes if one not in PURPOSES]
    if unknown:
        raise UsageError(f"`--for {unknown[0]}` is none of {', '.join(PURPOSES)}", hint=_EXAMPLE)
    if args.cuda is not None and not re.fullmatch(r"\d+\.\d+(\.\d+)?", args.cuda):
        raise UsageError(f"`--cuda {args.cuda}` is not a version such as 12.4", hint=_EXAMPLE)
    return StackQuestion(
        purposes=tuple(one for one in PURPOSES if one in purposes), tools=tuple(_pieces(args.tools)),
        python=args.python, cuda=args.cuda, newest=args.newest,
    )  # fmt: skip


def _pieces(texts: Sequence[str]) -> list[str]:
    from envpin.envs.refs.reference import split_pins

    return list(dict.fromkeys(piece for text in texts for piece in split_pins(text)))


def answer_stack(
    args: argparse.Namespace, model: str, *, listener: Listener, resolver: Resolver | None = None
) -> tuple[Match, ModelSubject, JointAnswer]:
    """What the options ask about `model`: a folder, a config.json, a Hub name or a family.

    Raises:
        UsageError, InputError: something that was given makes no sense.
        CheckFailedError: the model is not known.
        ResolutionError, NoInterpreterError, NetworkError, DiskFullError
    """
    from envpin.core.errors import CheckFailedError
    from envpin.core.events import Step
    from envpin.envs.refs.adapter_pins import pins_of_adapter
    from envpin.envs.refs.joint import resolve_stack
    from envpin.envs.refs.pins import Resolver
    from envpin.matrix.joint_bounds import StackFacts
    from envpin.matrix.match import match
    from envpin.matrix.stack import load_stack
    from envpin.matrix.subject import find_subject
    from envpin.matrix.support import load_support
    from envpin.matrix.view import load_view

    question = stack_question(args)
    base = Path(args.base) if getattr(args, "base", None) else None
    named = getattr(args, "matrix", None)
    subject, matrix, support = find_subject(model, base=base), load_view(Path(named) if named else None), load_support()
    found = match(subject.config, subject.name, matrix, support)
    own = pins_of_adapter(subject.adapter, base=base) if subject.adapter is not None else None
    if own is not None:
        found = found._replace(pins=own.pins, python=own.python, exclude_newer=own.exclude_newer)
    elif found.certainty == "unknown":
        raise CheckFailedError(
            f"no versions are known for `{model}`: {'; '.join(found.evidence) or 'nothing was recognised'}",
            hint=command_text("envpin", "matrix", "resolve", model),
        )
    step = Step(key="stack", title="resolve the stack with uv")
    listener(step)
    try:
        answer = resolve_stack(
            question, found, subject.config, subject.name,
            facts=StackFacts(load_stack(), support), matrix=matrix, resolver=resolver or Resolver(),
        )  # fmt: skip
    except BaseException:
        listener(Step(key="stack", title=step.title, state="failed"))
        raise
    count = len(answer.environments)
    detail = counted(count, "environment")
    listener(Step(key="stack", title=step.title, state="done", detail=detail))
    return found, subject, answer


def stack_command(verb: str, model: str, args: argparse.Namespace, purposes: Sequence[str]) -> str:
    """The command that makes the environment for these purposes."""
    import shlex

    words = ["envpin", *verb.split(), model, "--for", ",".join(purposes)]
    for option, value in (("--with", ",".join(_pieces(args.tools))), ("--python", args.python), ("--cuda", args.cuda)):
        words += [option, value] if value else []
    return shlex.join([*words, *(["--newest"] if args.newest else [])])
