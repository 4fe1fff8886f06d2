"""The work behind `envpin bisect`: from arguments to a question, from a conclusion to what is printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from envpin.bisect.question import ProbeQuestion, Question, contents_digest
from envpin.bisect.start import Options, open_session
from envpin.envs.reference import check_requirements
from envpin.envs.resolve import default_python
from envpin.errors import InputError, UsageError

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console import Console


def package(args: argparse.Namespace, console: Console) -> int:
    """`envpin bisect PACKAGE --good V --bad V …`"""
    from envpin.cli.bisect_view import View

    question = question_of(args)
    view = View(console, question)
    session, problem = open_session(
        question,
        Options(
            jobs=max(1, args.jobs),
            prefetch=not args.no_prefetch,
            offline=args.offline,
            use_cache=not args.no_cache,
            use_prior=not args.no_prior,
            listener=view.listener,
            on_record=view.on_record,
        ),
    )
    view.begin(session, problem)
    session.run(problem)
    return view.finish(session, html=Path(args.html) if args.html else None)


def question_of(args: argparse.Namespace) -> Question:
    """The question that the arguments ask.

    Raises:
        UsageError, InputError: with what does not fit together.
    """
    if args.rest:
        raise UsageError(f"`{args.rest[0]}` is one argument too many", hint="envpin bisect --help")
    if not args.good or not args.bad:
        raise UsageError("both ends are needed: `--good V` and `--bad V`", hint="envpin bisect --help")
    good, bad = _version(args.good), _version(args.bad)
    if good == bad:
        raise UsageError(f"both ends are {good}: there is nothing between them")
    find = "broke" if good < bad else "fixed"
    if args.find is not None and args.find != find:
        raise UsageError(
            f"`--find {args.find}` needs the {'good' if args.find == 'broke' else 'bad'} version to be the older one",
            hint=f"leave out `--find`: between good {good} and bad {bad} the change to find is the one that {find} it",
        )
    if args.expect is not None:
        try:
            re.compile(args.expect)
        except re.error as fault:
            raise UsageError(f"`--expect {args.expect}` is not a regular expression: {fault}") from fault
    name = str(canonicalize_name(args.package))
    return Question(
        package=name,
        old=str(min(good, bad)),
        new=str(max(good, bad)),
        find="broke" if find == "broke" else "fixed",
        probe=probe_of(args, name),
        python=args.python or default_python(),
        held=check_requirements(tuple(args.held)) if args.held else (),
        expect=args.expect,
        prereleases=args.pre,
        yanked=args.yanked,
        timeout=args.timeout,
    )


def probe_of(args: argparse.Namespace, package_name: str | None) -> ProbeQuestion:
    """The probe that the arguments ask for.

    Raises:
        UsageError, InputError: with what does not fit together.
    """
    if args.child:
        for option in ("probe", "family", "adapter", "base"):
            if getattr(args, option) is not None:
                raise UsageError(f"`--{option}` and a command after `--` exclude each other")
        files = tuple(word for word in args.child if Path(word).is_file())
        return ProbeQuestion(
            command=tuple(args.child), contents=contents_digest(files), repeatable=bool(args.repeatable)
        )
    if args.family and (args.adapter or args.base):
        raise UsageError(
            "`--family` and your own files exclude each other", hint="give `--family`, or `--adapter` and `--base`"
        )
    if not args.family and not args.adapter and not args.base:
        raise UsageError(
            "there is nothing to try: no family, no adapter, no command",
            hint="give `--family ID`, `--adapter A --base B`, or `-- CMD…`",
        )
    action = args.probe or ("merge" if args.adapter else "load-adapter" if package_name == "peft" else "load")
    if args.adapter and not args.base:
        raise UsageError("`--adapter` needs its base model", hint="give `--base DIR`")
    if action in {"load-adapter", "merge"} and args.base and not args.adapter:
        raise UsageError(f"`--probe {action}` needs an adapter", hint="give `--adapter DIR`")
    folders = tuple(str(Path(one).resolve()) for one in (args.adapter, args.base) if one)
    for folder in folders:
        if not Path(folder).is_dir():
            raise InputError(f"`{folder}` is not a folder", path=folder)
    return ProbeQuestion(
        action=action,
        family=args.family,
        adapter=folders[0] if args.adapter else None,
        base=folders[-1] if args.base else None,
        contents=contents_digest(folders),
    )


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion as fault:
        raise UsageError(f"`{text}` is not a version", hint="give a released version, such as 4.43.1") from fault
