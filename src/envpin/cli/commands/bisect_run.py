"""The work behind `envpin bisect`: from arguments to a question, from a conclusion to what is printed."""

from __future__ import annotations

import difflib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from envpin.bisect.question import ProbeQuestion, Question, contents_digest
from envpin.bisect.session.start import SearchOptions, open_session
from envpin.cli.console.page_file import refuse_other_file
from envpin.core.errors import InputError, UsageError
from envpin.envs.locks.requirements import check_requirements
from envpin.envs.machine import default_python
from envpin.matrix.recipes import load_recipes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from envpin.bisect.session.session import SearchSession
    from envpin.cli.console.console import Console
    from envpin.core.events import Listener

# Of a recorded run, where nothing is said.
_STEPS = 20


def package(args: argparse.Namespace, console: Console) -> int:
    """`envpin bisect PACKAGE --good V --bad V …`"""
    from envpin.cli.render.bisect import BisectView

    question = question_of(args)
    view = BisectView(console, question)
    session, problem = open_session(question, options_of(args, view.listener, view.on_record))
    view.begin(session, problem)
    session.run(problem)
    return view.finish(session, html=page_of(args))


def options_of(
    args: argparse.Namespace,
    listener: Listener,
    on_record: Callable[[Mapping[str, object], SearchSession], None] | None = None,
) -> SearchOptions:
    """How the search is to run.

    Raises:
        UsageError, InputError: an option makes no sense, or `--html` names what cannot be written.
    """
    if args.jobs < 1:
        raise UsageError(f"`-j {args.jobs}` is not a number of probes: 1 or more")
    if args.metric and args.jobs > 1:
        raise UsageError("`--metric` measures one release after the other: leave out `-j`")
    if (page := page_of(args)) is not None:
        refuse_other_file(page, mark="envpin bisect", option="--html")
    return SearchOptions(
        jobs=args.jobs,
        prefetch=not args.no_prefetch,
        offline=args.offline,
        use_cache=not args.no_cache and not args.metric,  # what an end measured belongs to this search
        use_prior=not args.no_prior,
        listener=listener,
        on_record=on_record,
    )


def page_of(args: argparse.Namespace) -> Path | None:
    """Where `--html` wants the page: a place that can be written, so that hours of probes do not end in an error."""
    if args.html is None:
        return None
    path = Path(args.html)
    if path.is_dir() or not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise InputError(f"`--html {path}` cannot be written: it needs a file in a folder that exists", path=path)
    return path


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
    name = str(canonicalize_name(args.package))
    wanted = (*_training_pins(args, name), *args.held)
    held = check_requirements(wanted) if wanted else ()
    if name in {str(canonicalize_name(Requirement(text).name)) for text in held}:
        raise UsageError(f"`--with` cannot hold `{name}`: its releases are what is searched")
    return Question(
        package=name,
        old=str(min(good, bad)),
        new=str(max(good, bad)),
        find="broke" if find == "broke" else "fixed",
        probe=probe_of(args, name),
        python=args.python or default_python(),
        held=held,
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
    _check_judgement(args)
    if args.training:
        return _training_probe(args)
    if args.child:
        for option in ("probe", "family", "adapter", "base"):
            if getattr(args, option) is not None:
                raise UsageError(f"`--{option}` and a command after `--` exclude each other")
        files = tuple(word for word in args.child if Path(word).is_file())
        return ProbeQuestion(
            command=tuple(args.child), contents=contents_digest(files), metric=args.metric, threshold=args.threshold,
            repeatable=bool(args.repeatable or args.metric),
        )  # fmt: skip
    if args.family and (args.adapter or args.base):
        raise UsageError(
            "`--family` and your own files exclude each other", hint="give `--family`, or `--adapter` and `--base`"
        )
    if not args.family and not args.adapter and not args.base:
        raise UsageError(
            "there is nothing to try: no family, no adapter, no command",
            hint="give `--family ID`, `--adapter A --base B`, or `-- CMD…`",
        )
    if args.family:
        _check_family(args.family)
    action = args.probe or ("merge" if args.adapter else "load-adapter" if package_name == "peft" else "load")
    if args.adapter and not args.base:
        raise UsageError("`--adapter` needs its base model", hint="give `--base DIR`")
    if action in {"load-adapter", "merge"} and args.base and not args.adapter:
        raise UsageError(f"`--probe {action}` needs an adapter", hint="give `--adapter DIR`")
    folders = tuple(str(Path(one).resolve()) for one in (args.adapter, args.base) if one)
    for option, one, needed in (("adapter", args.adapter, "adapter_config.json"), ("base", args.base, "config.json")):
        if one and not Path(one).is_dir():
            raise InputError(f"`{one}` is not a folder", path=one)
        if one and not Path(one, needed).is_file():
            raise InputError(f"`--{option} {one}` has no {needed}", path=one)
    return ProbeQuestion(
        action=action,
        family=args.family,
        adapter=folders[0] if args.adapter else None,
        base=folders[-1] if args.base else None,
        contents=contents_digest(folders),
    )


def _training_probe(args: argparse.Namespace) -> ProbeQuestion:
    """The first steps of a recorded run, repeated in each probed environment.

    Raises:
        UsageError, InputError, RefusedError: they cannot be repeated, or may not.
    """
    from envpin.envs.refs.training import training_manifest
    from envpin.manifest.read import FILE_NAME
    from envpin.replay.training.run import TrainOptions, command_of, refuse_untrusted

    steps = _STEPS if args.steps is None else args.steps
    if steps < 1:
        raise UsageError("`--steps` takes a number above 0")
    folder = Path(args.training).resolve()
    manifest = training_manifest(folder)
    options = TrainOptions(steps=steps, trust_script=args.trust_script)
    command_of(manifest, options)
    refuse_untrusted(manifest, options)
    command = (sys.executable, "-m", "envpin", "replay", "train", str(folder), "--environment", "active",
               "--print-loss", "--once", "--steps", str(steps), "--trust-script")  # fmt: skip
    return ProbeQuestion(command=command, contents=contents_digest((str(folder / FILE_NAME),)), metric=True,
                         threshold=args.threshold, repeatable=True)  # fmt: skip


def _training_pins(args: argparse.Namespace, searched: str) -> tuple[str, ...]:
    """The releases of a recorded run that every probe holds, but for the package that is searched and its tokenizers,
    which transformers bounds, and what the user holds otherwise."""
    if not args.training:
        return ()
    from envpin.core.versions import release_of
    from envpin.envs.refs.training import training_manifest
    from envpin.manifest.compare import DECISIVE

    left = {searched, "tokenizers", *(str(canonicalize_name(Requirement(text).name)) for text in args.held)}
    manifest = training_manifest(Path(args.training))
    return tuple(
        f"{one.name}=={release_of(one.version)}" for one in manifest.distributions
        if one.name in DECISIVE | {"datasets"} and one.name not in left
    )  # fmt: skip


def _check_judgement(args: argparse.Namespace) -> None:
    if args.metric and not args.child and not args.training:
        raise UsageError("`--metric` needs a command after `--` that prints a number, or `--training FOLDER`")
    if args.training and (not args.metric or args.child):
        raise UsageError("`--training` goes with `--metric`, and takes the place of a command")
    if args.threshold is not None and not args.metric:
        raise UsageError("`--threshold` goes with `--metric`")
    if (args.steps is not None or args.trust_script) and not args.training:
        raise UsageError(f"`{'--steps' if args.steps is not None else '--trust-script'}` goes with `--training`")
    if args.timeout is not None and not args.timeout > 0:
        raise UsageError(f"`--timeout {args.timeout:g}` is not a time: a number of seconds above 0")
    if args.expect is not None:
        try:
            re.compile(args.expect)
        except re.error as fault:
            raise UsageError(f"`--expect {args.expect}` is not a regular expression: {fault}") from fault


def _check_family(family: str) -> None:
    """Whether there is a tiny model of it, said before anything is installed."""
    known = sorted(load_recipes())
    if family not in known:
        close = difflib.get_close_matches(family, known, n=3, cutoff=0.4) or known
        raise UsageError(
            f"there is no tiny model of `{family}`",
            hint=f"there is one of {', '.join(close)}{', …' if len(close) < len(known) else ''}; "
            "or use `--adapter A --base B`, or `-- CMD…`",
        )


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion as fault:
        raise UsageError(f"`{text}` is not a version", hint="give a released version, such as 4.43.1") from fault
