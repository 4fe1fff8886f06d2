"""`envpin bundle ADAPTER|REF -o FILE` and `envpin bundle verify FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.cli.commands.env_arguments import REF_HELP, add_python, add_torch_backend, resolver_of, torch_wish
from envpin.core.command_text import command_text
from envpin.core.errors import UsageError
from envpin.core.sizes import counted, size_words

if TYPE_CHECKING:
    import argparse

    from envpin.bundle.make import Bundled, BundleOptions
    from envpin.cli.console.console import Console

takes_child = False

SCHEMA = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "envpin bundle [options] ADAPTER|REF -o FILE\n       envpin bundle verify FILE [--sha256 HEX]"
    parser.add_argument("words", metavar="ADAPTER|REF", nargs="+", help=f"{REF_HELP}; or `verify FILE`")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the archive to make (a plain tar)")
    parser.add_argument("--base", metavar="B", help="the base model of an adapter, where it cannot be found")
    parser.add_argument("--with-base", action="store_true", help="put the base in as well")
    parser.add_argument("--with-python", action="store_true", help="put in a Python that can be moved (uv's own build)")
    parser.add_argument(
        "--platform", metavar="P", help="for another machine: linux-x86_64, linux-aarch64, macos-arm64, windows-x86_64"
    )
    add_python(parser, "another Python than the recorded one")
    parser.add_argument("--offline", action="store_true", help="use what is on this machine only")
    parser.add_argument("--refresh", action="store_true", help="resolve literal pins again, past the remembered answer")
    add_torch_backend(parser)
    parser.add_argument("--sha256", metavar="HEX", help="with `verify`: the sha256 that FILE itself has to have")
    parser.epilog = (
        "`sh restore.sh -o MERGED`, of the unpacked archive, checks every file, makes the environment and merges: "
        "without envpin and without a network. `envpin replay merge FILE` and `envpin env create FILE` take it as well."
    )


def run(args: argparse.Namespace, console: Console) -> int:
    if args.words[0] == "verify":
        return _verify(args, console)
    if len(args.words) > 1 or args.output is None or args.sha256 is not None:
        raise UsageError("say what to bundle, and where to", hint="envpin bundle ADAPTER -o FILE")
    from envpin.bundle.make import BundleOptions

    options = BundleOptions(
        platform=args.platform, with_base=args.with_base, with_python=args.with_python, offline=args.offline
    )
    made = _made(args, options, console)
    console.close()
    if console.json_mode:
        console.document(SCHEMA, {"path": str(made.path), "sha256": made.sha256, "bytes": made.size, **_facts(made)})
        return 0
    console.data(f"{made.path}\nsha256 {made.sha256}")
    base = made.description.merge is not None and not made.description.with_base
    console.talk(
        f"{size_words(made.size)}; there: {command_text('tar', '-xf', made.path.name)} && sh envpin-bundle/restore.sh"
        + (" -o MERGED" if made.description.merge is not None else "") + (" --base FOLDER" if base else "")
    )  # fmt: skip
    return 0


def _made(args: argparse.Namespace, options: BundleOptions, console: Console) -> Bundled:
    from envpin.bundle.make import bundle_environment, bundle_merge
    from envpin.envs.store.store import Store
    from envpin.remote.hub.client import Hub
    from envpin.replay.adapters import parse_adapter
    from envpin.replay.options import MergeOptions
    from envpin.replay.plan import make_plan

    store, listener, ref = Store(), console.listener(), args.words[0]
    if not (Path(ref) / "adapter_config.json").is_file():
        if options.with_base or args.base is not None:
            raise UsageError("--base and --with-base go with an adapter's folder", hint="envpin bundle ADAPTER -o FILE")
        return bundle_environment(
            ref, args.output, resolver=resolver_of(args, listener), store=store, options=options, listener=listener
        )
    hub = Hub(offline=args.offline, listener=listener)
    adapter = parse_adapter(ref)
    plan = make_plan(
        adapter.at(hub.open_place(adapter.named)).checkpoint,
        out=args.output,
        store=store,
        options=MergeOptions(
            weight=adapter.weight, base=args.base, python=args.python, offline=args.offline, torch=torch_wish(args)
        ),
        listener=listener,
        open_remote=hub.open_remote,
    )
    return bundle_merge(plan, args.output, store=store, options=options, listener=listener)


def _verify(args: argparse.Namespace, console: Console) -> int:
    """
    Raises:
        RefusedError: it is not as it was made.
    """
    if len(args.words) != 2:
        raise UsageError("name one bundle", hint="envpin bundle verify FILE")
    from envpin.bundle.unpack import verify_bundle

    found = verify_bundle(Path(args.words[1]), sha256=args.sha256)
    if console.json_mode:
        body = {"good": True, "path": str(found.path), "sha256": found.sha256, "files": len(found.files)}
        console.document(SCHEMA, {**body, **_of(found.description)})
        return 0
    said = found.description
    what = "environment and adapter" if said.merge is not None else "environment"
    console.data(
        f"✓ {counted(len(found.files), 'file')} as made: {what} for {said.platform}, Python {said.python}, "
        f"{counted(len(said.wheels), 'wheel')}{', base' if said.with_base else ''}"
        f"{', Python' if said.with_python else ''}\n"
        f"sha256 {found.sha256}"
    )
    return 0


def _facts(made: Bundled) -> dict[str, object]:
    return _of(made.description)


def _of(description: object) -> dict[str, object]:
    import msgspec

    return {"bundle": msgspec.to_builtins(description)}
