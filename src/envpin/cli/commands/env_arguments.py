"""The options of every command that may build an environment, and how a finished one is found and described."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text

if TYPE_CHECKING:
    import argparse

    from envpin.core.events import Listener
    from envpin.envs.locks.torch_wish import TorchWish
    from envpin.envs.refs.pins import Resolver
    from envpin.envs.store.environment import Environment
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.envs.store.store import Store

SCHEMA = 1
REF_HELP = "a family (llama3.1), a pylock*.toml, an adapter folder, an envpin.json, or pins (peft==0.12.0,torch==2.4.0)"


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every command that may build an environment."""
    add_python(parser)
    parser.add_argument("--offline", action="store_true", help="use only what uv's cache holds; never the network")
    parser.add_argument("--refresh", action="store_true", help="resolve literal pins again, past the remembered answer")
    add_torch_backend(parser)
    add_max_download(parser)


def add_max_download(parser: argparse.ArgumentParser) -> None:
    """`--max-download`, which means the same everywhere."""
    parser.add_argument(
        "--max-download", metavar="SIZE", help="refuse to download more than SIZE for the environment, for example 1GB"
    )


def max_download(args: argparse.Namespace) -> int | None:
    """`--max-download` in bytes.

    Raises:
        UsageError: it is not a size.
    """
    from envpin.core.sizes import parse_size

    return parse_size(args.max_download) if args.max_download else None


def add_training(parser: argparse.ArgumentParser) -> None:
    """`--training` and `--skip`, which mean the same everywhere."""
    parser.add_argument(
        "--training",
        action="store_true",
        help="REF is a recorded adapter: every distribution that it was trained with, not only what a merge needs",
    )
    parser.add_argument(
        "--skip", action="store_true", help="with --training: leave out what cannot be rebuilt, and name it"
    )


def spec_of(args: argparse.Namespace, resolver: Resolver, store: Store) -> EnvironmentSpec:
    """The environment that REF or a key means, with --training all of what it was trained in."""
    from envpin.core.errors import UsageError
    from envpin.envs.refs.resolve import resolve

    if args.skip and not args.training:
        raise UsageError("--skip goes with --training")
    if _is_key(args.ref) and args.python is None and not args.training:
        return store.get(args.ref).spec
    if not args.training:
        return resolve(args.ref, resolver)
    from envpin.envs.refs.adapter import adapter_name
    from envpin.envs.refs.training import resolve_training, training_manifest, training_path

    path = training_path(args.ref)
    spec, _ = resolve_training(training_manifest(path), resolver, store, name=adapter_name(path), skip=args.skip)
    return spec


def add_torch_backend(parser: argparse.ArgumentParser) -> None:
    """`--torch-backend`, which means the same everywhere."""
    parser.add_argument(
        "--torch-backend",
        metavar="BUILD",
        help="the build of torch: cpu, cu126, rocm6.2, auto for this machine's GPU, index for its own; where left out, "
        "ENVPIN_TORCH_BACKEND, then the recorded one; for a merge on a CPU without a record, cpu",
    )


def torch_wish(args: argparse.Namespace) -> TorchWish | None:
    """The build of torch that the user asked for, or None.

    Raises:
        UsageError: it is none.
    """
    import os

    from envpin.core.torch_builds import checked_backend
    from envpin.envs.locks.torch_wish import TorchWish

    asked = args.torch_backend or os.environ.get("ENVPIN_TORCH_BACKEND")
    return TorchWish(label=checked_backend(asked), required=True) if asked else None


def resolver_of(args: argparse.Namespace, listener: Listener) -> Resolver:
    """How the options of `add_build_arguments` have an environment resolved."""
    from envpin.envs.refs.pins import Resolver

    return Resolver(
        python=args.python, listener=listener, offline=args.offline, refresh=args.refresh, torch=torch_wish(args)
    )


def describe(environment: Environment) -> dict[str, object]:
    """An environment as `--json` shows it in a list."""
    receipt = environment.receipt
    return {
        "key": environment.key,
        "name": receipt.name,
        "path": str(environment.path),
        "interpreter": str(environment.python),
        "python": receipt.interpreter.version,
        "packages": len(receipt.artifacts),
        "created": receipt.created,
        "last_used": iso(environment.last_used),
    }


def add_python(
    parser: argparse._ActionsContainer, text: str = "the Python version; where left out, REF decides"
) -> None:
    """`--python`, whose form is the same everywhere."""
    parser.add_argument("--python", metavar="X.Y", type=_python, help=text)


def _python(text: str) -> str:
    """
    Raises:
        UsageError: it is no version.
    """
    import re

    from envpin.core.errors import UsageError

    if re.fullmatch(r"\d+\.\d+(\.\d+)?", text) is None:
        raise UsageError(f"`--python {text}` is not a version of Python", hint="such as `--python 3.11`")
    return text


def find(ref: str, python: str | None, store: Store | None = None) -> Environment:
    """The finished environment that a key or REF names; it is never built here."""
    from envpin.core.errors import InputError
    from envpin.envs.refs.pins import Resolver
    from envpin.envs.refs.resolve import resolve
    from envpin.envs.store.store import Store

    store = store or Store()
    if _is_key(ref):
        return store.get(ref)
    try:
        spec = resolve(ref, Resolver(python=python))
    except InputError as error:
        if re.fullmatch(r"[0-9a-f]{1,5}", ref):
            error.hint = "of a key that `envpin env list` shows, give six letters at least"
        raise
    found = store.find(spec)
    if found is None:
        raise InputError(f"the environment of `{ref}` is not built", hint=command_text("envpin", "env", "create", ref))
    return found


def _is_key(ref: str) -> bool:
    """Whether it is written as the start of a key is."""
    return re.fullmatch(r"[0-9a-f]{6,24}", ref) is not None


def iso(seconds: float) -> str:
    import datetime as dt

    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).isoformat(timespec="seconds")
