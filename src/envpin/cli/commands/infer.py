"""`envpin infer ADAPTER`: which environment trained an adapter, from what it left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.cli.console.width import fitted
from envpin.core.command_text import command_text
from envpin.core.sizes import counted

if TYPE_CHECKING:
    import argparse

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.cli.console.console import Console
    from envpin.core.findings import Finding
    from envpin.inference.combine import Range, Signal
    from envpin.inference.infer import Inferred
    from envpin.remote.hub.client import Hub

takes_child = False

SCHEMA = 1
_SHOWN = 3
_TO_PERSON = {
    "stated": "a file says so",
    "high": "within one minor release",
    "moderate": "within a few minor releases",
    "low": "a wide range",
    "none": "nothing says anything",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="ADAPTER", help="the adapter's folder, or user/name[@revision] on the Hub")
    parser.add_argument("--base", metavar="B", help="the base model: a folder, or an id in the Hub cache")
    parser.add_argument(
        "--lock", nargs="?", const="", metavar="FILE",
        help="also lock the most likely environment that resolves (default FILE: pylock.NAME.toml here; - for stdout)",
    )  # fmt: skip
    parser.add_argument("--offline", action="store_true", help="ask no network")
    parser.add_argument(
        "--all", action="store_true", help="every signal and every candidate, not only those that decide"
    )
    parser.epilog = (
        "Nothing of the adapter is run or unpickled, and no file outside the named folders is read. What would stop "
        "the adapter in the most likely environment is said below it (`envpin check` tells more). Exit status 1: no "
        "file says anything about peft or transformers."
    )


def run(args: argparse.Namespace, console: Console) -> int:
    from envpin.checkpoint.checkpoint import open_checkpoint
    from envpin.cli.commands.lock import target_of
    from envpin.inference.infer import infer
    from envpin.inference.newer import with_newer
    from envpin.remote.hub.client import Hub

    if args.lock:
        target_of(args.lock, "")  # a name that no lock may have: now, not after a minute of resolving
    hub = Hub(offline=args.offline, listener=console.listener())
    place = hub.open_place(args.path)
    folder = open_checkpoint(place, confined=True)
    found = infer(folder, base=args.base, open_remote=hub.open_remote)
    newer = with_newer(found.known, found.signals, offline=args.offline, listener=console.listener())
    if newer is not None:
        found = infer(folder, base=args.base, open_remote=hub.open_remote, known=newer)
    locked = _lock(found, args, console) if args.lock is not None and found.candidates else None
    is_shown = console.json_mode or args.lock != "-"
    in_the_way = _in_the_way(found, folder, args.base, hub) if is_shown else ()
    console.close()
    if console.json_mode:
        import msgspec

        stopping = msgspec.to_builtins(in_the_way)
        console.document(SCHEMA, {**_document(found), "in_the_way": stopping, "lock": locked})
    elif args.lock != "-":
        lines = [*_lines(found, everything=args.all), *_stopped(in_the_way, args)]
        console.data(fitted(lines, indent=14))
        if locked is not None:
            console.data(f"\nlocked        {locked['path']}")
    return 0 if found.says_something else 1


def _in_the_way(found: Inferred, folder: Checkpoint, base: str | None, hub: Hub) -> tuple[Finding, ...]:
    """What stops the adapter in the first candidate, as it lies there. The Hub is asked for a base that was named only:
    of others the config was enough, and the headers of their weights are much more."""
    if not found.candidates:
        return ()
    from envpin.diagnose.check import check

    open_remote = hub.open_remote if base else None
    return check(folder, base=base, target=found.candidates[0].pins, open_remote=open_remote).blockers


def _stopped(blockers: tuple[Finding, ...], args: argparse.Namespace) -> list[str]:
    from envpin.cli.console.findings import printable

    if not blockers:
        return []
    lines = ["", "as it is, the adapter would not load and merge there:"]
    lines += [f"              {printable(one.message)}" for one in blockers[:_SHOWN]]
    if len(blockers) > _SHOWN:
        lines.append(f"              … and {counted(len(blockers) - _SHOWN, 'more blocker')}")
    base = ("--base", args.base) if args.base else ()
    return [*lines, "", f"  {command_text('envpin', 'check', args.path, *base)}"]


def _lock(found: Inferred, args: argparse.Namespace, console: Console) -> dict[str, object]:
    """Lock the first candidate that resolves.

    Raises:
        EnvironmentSetupError: none of the first ones does.
    """
    from envpin.cli.commands.lock import target_of, write_lock
    from envpin.core.errors import EnvironmentSetupError
    from envpin.core.events import Note
    from envpin.envs.locks.portable import portable_lock
    from envpin.envs.refs.adapter import candidate_request

    listener = console.listener()
    failure: EnvironmentSetupError | None = None
    for candidate in found.candidates[:_SHOWN]:
        request = candidate_request(found, candidate)
        try:
            lock = portable_lock(request, offline=args.offline, listener=listener)
        except EnvironmentSetupError as error:
            failure = error
            listener(Note(message=f"{_pins(candidate.pins)}: {error.message.splitlines()[0]}", level="warning"))
            continue
        target = target_of(args.lock or None, request.name)
        if target is None:
            if not console.json_mode:
                console.data(lock.text)
            return {"path": "-", "sha256": lock.digest, "text": lock.text}
        write_lock(lock, target)
        return {"path": str(target), "sha256": lock.digest}
    assert failure is not None  # noqa: S101  there was a candidate, and it did not resolve
    raise failure


def _lines(found: Inferred, *, everything: bool) -> list[str]:
    from envpin.cli.console.findings import printable, render_table

    observed = found.observed
    trainer = "not recognised"
    if found.trainer is not None:
        trainer = f"{found.trainer.title}{f' {found.trainer.version}' if found.trainer.version else ''}"
    lines = [f"{observed.folder}", f"trainer       {printable(trainer)}", f"base          {_base(found)}", ""]
    signals = found.signals if everything else _deciding(found)
    if signals:
        rows = [
            (one.package, one.file, one.says, f"{_mark(one, found)}{found.known[one.package].describe(one.admits)}",
             one.strength)
            for one in signals
        ]  # fmt: skip
        lines.append(render_table(("about", "signal in", "says", "implies", "strength"), rows))
        hidden = len(found.signals) - len(signals)
        if hidden:
            lines.append(f"… and {hidden} more that change nothing (--all shows them)")
        lines.append("")
    lines += _answer(found)
    if found.contradictions:
        lines += ["", "the files disagree (✗ above): what most of them allow was taken, hard bounds first"]
    lines += [f"note          {printable(note)}" for note in found.notes]
    if observed.foreign is not None:
        return [*lines, "", "no environment with peft belongs to it"]
    if not found.says_something:
        lines += ["", _guessed(found)]
    return [*lines, *_first(found, everything=everything)]


def _answer(found: Inferred) -> list[str]:
    lines = []
    for package, one in found.ranges.items():
        confidence = found.confidences[package]
        text = found.known[package].describe(one.versions) if one.known else "no signal"
        if one.hinted and not one.stated:
            text += f"; {_hints(one)} {found.known[package].describe(one.hinted)}"
        why = _TO_PERSON[confidence] if found.tells(package) else "what the base needs; the run's files say nothing"
        why = "files that disagree" if confidence == "low" and one.against else why
        said = "" if confidence == "none" else f"  ({confidence}: {why})"
        lines.append(f"{package:<13} {text}{said}")
    return lines


def _guessed(found: Inferred) -> str:
    """What the pins rest on where the adapter's own files say nothing."""
    if not found.candidates:
        return "no file says anything about peft or transformers, and the base is not known: no environment is proposed"
    source = "lists next to the adapter" if found.observed.listed else "the base"
    return f"no file says anything about peft or transformers: the pins are a guess from {source} alone"


def _hints(found: Range) -> str:
    """The files that name versions which the answer does not rest on: `requirements.txt says`."""
    named = (one.file for one in found.signals if one.stated and one.strength == "weak" and one.admits & found.hinted)
    files = list(dict.fromkeys(named))
    return f"{files[0]} says" if len(files) == 1 else f"{files[0]} and {counted(len(files) - 1, 'other file')} say"


def _first(found: Inferred, *, everything: bool) -> list[str]:
    if not found.candidates:
        if not found.says_something:
            return ["", f"  {command_text('envpin', 'infer', found.observed.folder, '--base')} BASE"]
        return [
            "",
            "no release of peft within these bounds fits a transformers within them: no environment is proposed",
        ]
    first, *others = found.candidates
    lines = ["", f"most likely   {_pins(first.pins)}, Python {first.python}, nothing newer than {first.exclude_newer}"]
    lines += [f"              {reason}" for reason in first.why]
    shown = others if everything else others[: _SHOWN - 1]
    lines += [f"then          {_pins(other.pins)}" for other in shown]
    if len(others) > len(shown):
        lines.append(f"              … {counted(len(others) - len(shown), 'more fitting pair')} (--all shows them)")
    reference = ",".join(f"{name}=={version}" for name, version in first.pins.items())
    return [*lines, "", f"  {command_text('envpin', 'env', 'create', reference)}"]


def _deciding(found: Inferred) -> tuple[Signal, ...]:
    """Of the signals of each package those without which the answer would be wider, and those that disagree with it.

    Several may say the same; the first, which is the strongest, is kept.
    """
    chosen: list[Signal] = []
    for package, one in found.ranges.items():
        left = found.known[package].everything
        ordered = sorted((s for s in one.signals if s.strength != "weak"), key=_order)
        for signal in ordered:
            if signal in one.against:
                chosen.append(signal)
            elif left - signal.admits:
                chosen.append(signal)
                left &= signal.admits
        chosen += [signal for signal in one.signals if signal.stated and signal.strength == "weak"]
    return tuple(chosen)


def _order(signal: Signal) -> tuple[bool, int, int]:
    """What states a version first, then what leaves least."""
    return (not signal.stated, {"hard": 0, "strong": 1, "weak": 2}[signal.strength], len(signal.admits))


def _mark(signal: Signal, found: Inferred) -> str:
    return "✗ " if signal in found.ranges[signal.package].against else ""


def _base(found: Inferred) -> str:
    from envpin.cli.console.findings import printable

    family = found.family.family
    named = (found.observed.adapter_config or {}).get("base_model_name_or_path")
    if found.observed.foreign is not None:
        return printable(found.observed.foreign.base or "not named")
    where = found.observed.base or f"{named if isinstance(named, str) and named else 'not named'} (not here)"
    return printable(f"{where}{f': {family.title}' if family else ''}")


def _pins(pins: object) -> str:
    return ", ".join(f"{name} {version}" for name, version in dict(pins).items())  # type: ignore[call-overload]


def _document(found: Inferred) -> dict[str, object]:
    family = found.family.family
    return {
        "adapter": found.observed.folder,
        "trainer": None
        if found.trainer is None
        else {"id": found.trainer.trainer, "version": found.trainer.version, "through": found.trainer.through},
        "format": found.observed.foreign.id if found.observed.foreign is not None else "peft",
        "base": found.observed.base,
        "family": family.id if family else None,
        "says_something": found.says_something,
        "confidence": found.confidence,
        "packages": {
            name: {
                "versions": one.versions if one.known else None,
                "described": found.known[name].describe(one.versions),
                "confidence": found.confidences[name],
                "stated": one.stated,
            }
            for name, one in found.ranges.items()
        },
        "signals": [
            {
                "package": one.package, "strength": one.strength, "file": one.file, "says": one.says,
                "implies": found.known[one.package].describe(one.admits), "stated": one.stated,
                "contradicted": one in found.ranges[one.package].against,
            }
            for one in found.signals
        ],
        "candidates": [
            {"pins": dict(one.pins), "python": one.python, "exclude_newer": one.exclude_newer, "why": one.why}
            for one in found.candidates
        ],
        "notes": found.notes,
    }  # fmt: skip
