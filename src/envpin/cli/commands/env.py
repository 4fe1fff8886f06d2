"""`envpin env create|show|verify|path`: the store of pinned environments; the rest is in `env_manage`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from envpin.cli.commands.env_arguments import (
    REF_HELP,
    SCHEMA,
    add_build_arguments,
    add_python,
    add_training,
    describe,
    find,
    iso,
    max_download,
    resolver_of,
    spec_of,
)
from envpin.cli.console.tables import table
from envpin.cli.console.width import room
from envpin.cli.parser import verbs_to_add
from envpin.cli.stack import add_stack_arguments, asks_for_stack
from envpin.core.command_text import command_text
from envpin.core.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from envpin.cli.console.console import Console
    from envpin.core.events import Event

    _Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  it has no public name

takes_child = False

_KEY_HELP = "a REF, or the start of a key that `envpin env list` shows"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(metavar="ACTION", title="actions", dest="action", required=True)
    adders: dict[str, Callable[[_Verbs], None]] = {
        "create": _add_create, "list": _add_list, "show": _add_show, "verify": _add_verify, "remove": _add_remove,
        "prune": _add_prune, "export": _add_export, "path": _add_path,
    }  # fmt: skip
    for name in verbs_to_add(parser, adders):
        adders[name](verbs)


def _add_create(verbs: _Verbs) -> None:
    create = _verb(verbs, "create", "build the environment of REF, or say that it is ready", _create)
    create.add_argument("ref", metavar="REF", help=f"{REF_HELP}; or a bundle, or the start of a key")
    add_build_arguments(create)
    create.add_argument(
        "--keep-wheels", action="store_true", help="keep its wheels in the store, so that it can be built again offline"
    )
    add_training(create)
    create.add_argument("--rebuild", action="store_true", help="build it again, fetching damaged packages")
    add_stack_arguments(create)


def _add_list(verbs: _Verbs) -> None:
    _verb(verbs, "list", "every finished environment: its size, its last use, what needs it", _manage("run_list"))


def _add_show(verbs: _Verbs) -> None:
    show = _verb(verbs, "show", "what is installed in an environment, from which artifacts", _show)
    show.add_argument("ref", metavar="REF", help=_KEY_HELP)
    add_python(show)


def _add_verify(verbs: _Verbs) -> None:
    verify = _verb(
        verbs, "verify", "compare every installed byte with what was installed; exit 1 where one differs", _verify
    )
    verify.add_argument("refs", metavar="REF", nargs="*", help=f"{_KEY_HELP}; every environment where left out")
    add_python(verify)


def _add_remove(verbs: _Verbs) -> None:
    remove = _verb(verbs, "remove", "remove environments", _manage("run_remove"))
    remove.add_argument("refs", metavar="REF", nargs="+", help=_KEY_HELP)
    add_python(remove)
    remove.add_argument("--force", action="store_true", help="also one that a process runs in")


def _add_prune(verbs: _Verbs) -> None:
    prune = _verb(
        verbs, "prune", "remove environments that are not used, and what killed builds left", _manage("run_prune")
    )
    prune.add_argument(
        "--older-than", metavar="AGE", help="remove what was not used for AGE: 90d, 12w, 36h (default: 30d)"
    )
    prune.add_argument("--unused-for", metavar="DAYS", type=float, help="the same in days")
    prune.add_argument(
        "--max-size", metavar="SIZE", help="then remove the least recently used until all take at most SIZE (50GB)"
    )
    prune.add_argument("--all", action="store_true", help="remove every environment")
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def _add_export(verbs: _Verbs) -> None:
    export = _verb(
        verbs, "export", "print an environment as requirements, conda file or Dockerfile", _manage("run_export")
    )
    export.add_argument("ref", metavar="REF", help=REF_HELP)
    export.add_argument(
        "--format", dest="as_format", choices=("requirements", "conda", "dockerfile"), default="requirements",
        help="requirements with hashes (the default), an environment.yml of conda, or a Dockerfile",
    )  # fmt: skip
    export.add_argument("-o", "--output", metavar="FILE", help="where to write it; where left out, on stdout")
    add_build_arguments(export)


def _add_path(verbs: _Verbs) -> None:
    path = _verb(verbs, "path", "print the folder of an environment", _path)
    path.add_argument("ref", metavar="REF", help=_KEY_HELP)
    add_python(path)
    path.add_argument("--interpreter", action="store_true", help="print its interpreter instead")


def run(args: argparse.Namespace, console: Console) -> int:
    handler: Callable[[argparse.Namespace, Console], int] = args.handler
    return handler(args, console)


def _manage(name: str) -> Callable[[argparse.Namespace, Console], int]:
    """The handler of that name in `env_manage`, imported when it is called."""

    def handler(args: argparse.Namespace, console: Console) -> int:
        from envpin.cli.commands import env_manage

        chosen: Callable[[argparse.Namespace, Console], int] = getattr(env_manage, name)
        return chosen(args, console)

    return handler


def _verb(
    verbs: _Verbs,
    name: str,
    summary: str,
    handler: Callable[[argparse.Namespace, Console], int],
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    verb.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document on stdout"
    )
    verb.set_defaults(handler=handler)
    return verb


def _create(args: argparse.Namespace, console: Console) -> int:
    if asks_for_stack(args):
        from envpin.cli.commands.env_stack import create_stack
        from envpin.core.events import ignore

        return create_stack(
            args, console, resolver=resolver_of(args, ignore), limit=max_download(args), describe=describe
        )
    from pathlib import Path

    from envpin.bundle.recognise import is_bundle
    from envpin.core.events import Step
    from envpin.envs.machine import driver_version
    from envpin.envs.store.store import Store
    from envpin.envs.store.torch_installed import torch_findings

    show = console.listener()
    built = False

    def listener(event: Event) -> None:
        nonlocal built
        # Whoever waited for another process's build has not built it.
        built = built or (isinstance(event, Step) and event.key == "environment" and event.state == "start")
        show(event)

    limit = max_download(args)
    store = Store()
    if is_bundle(args.ref):
        from envpin.bundle.unpack import unpacked

        with unpacked(Path(args.ref), store) as bundle:
            environment = store.ensure(bundle.spec, listener=listener, offline=True, rebuild=args.rebuild)
    else:
        spec = spec_of(args, resolver_of(args, listener), store)
        environment = store.ensure(
            spec, listener=listener, offline=args.offline, rebuild=args.rebuild, keep_wheels=args.keep_wheels,
            max_download=limit,
        )  # fmt: skip
    console.close()
    environment.refuse_unreadable()
    findings = torch_findings(environment.path, lambda: environment.receipt.artifacts, driver=driver_version())
    if console.json_mode:
        import msgspec

        body = {"environment": describe(environment), "built": built, "findings": msgspec.to_builtins(findings)}
        console.document(SCHEMA, body)
        return 0
    console.data(str(environment.path))
    if findings:
        from envpin.cli.console.findings import render_findings

        console.talk(render_findings(findings))
    return 0


def _show(args: argparse.Namespace, console: Console) -> int:
    import msgspec

    environment = find(args.ref, args.python)
    receipt = environment.receipt
    if console.json_mode:
        body = {**describe(environment), "receipt": msgspec.to_builtins(receipt)}
        console.document(SCHEMA, {"environment": body})
        return 0
    interpreter = receipt.interpreter
    facts = [
        ("name", receipt.name),
        ("key", environment.key),
        ("path", str(environment.path)),
        ("python", f"{interpreter.implementation} {interpreter.version} of {interpreter.base}"),
        ("created", f"{receipt.created} by uv {receipt.uv}"),
        ("last used", iso(environment.last_used)),
        ("lock", f"sha256:{receipt.lock_sha256}"),
    ]
    rows = [("PACKAGE", "VERSION", "HASH", "WHEEL")]
    for one in sorted(receipt.artifacts, key=lambda artifact: artifact.name):
        algorithm, value = next(iter(one.hashes.items()))
        rows.append((one.name, one.version, f"{algorithm}:{value[:12]}", one.wheel))
    packages = table(rows, width=room(), elastic=len(rows[0]) - 1)
    console.data("\n".join([*(f"{label:<10} {value}" for label, value in facts), "", *packages]))
    return 0


def _verify(args: argparse.Namespace, console: Console) -> int:
    from envpin.envs.store.store import Store

    store = Store()
    chosen = [find(ref, args.python, store) for ref in args.refs] or list(store.list())
    results = [(environment, store.verify(environment)) for environment in chosen]
    damaged = [environment for environment, damage in results if damage]
    if console.json_mode:
        bodies = [
            {
                **describe(environment),
                "damage": [{"path": one.path, "kind": one.kind, "package": one.package} for one in damage],
            }
            for environment, damage in results
        ]
        console.document(SCHEMA, {"good": not damaged, "environments": bodies})
        return 1 if damaged else 0
    for environment, damage in results:
        label = f"{environment.key[:12]} {environment.receipt.name}"
        console.data(f"{'✗' if damage else '✓'} {label}: {_count(damage)}")
        for one in damage:
            console.data(f"  {one}")
    if not results:
        console.talk("no environments yet; `envpin env create REF` builds one")
    if damaged:
        console.talk(f"\nhint: {command_text('envpin', 'env', 'create', '--rebuild', damaged[0].key[:12])}")
    return 1 if damaged else 0


def _path(args: argparse.Namespace, console: Console) -> int:
    environment = find(args.ref, args.python)
    chosen: Path = environment.python if args.interpreter else environment.path
    if console.json_mode:
        console.document(SCHEMA, {"path": str(environment.path), "interpreter": str(environment.python)})
    else:
        console.data(str(chosen))
    return 0


def _count(damage: Sequence[object]) -> str:
    if not damage:
        return "as installed"
    return f"{counted(len(damage), 'file')} not as installed"
