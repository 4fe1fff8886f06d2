"""`envpin matrix collect`: read the index and write what it tells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.errors import InfrastructureError, UsageError
from envpin.core.files import write_atomically
from envpin.core.sizes import counted
from envpin.evidence.collect import collect
from envpin.matrix.support import encode_support, shipped_path
from envpin.matrix.where import own_support_path
from envpin.remote.index import Index

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console


def run_collect(args: argparse.Namespace, console: Console) -> int:
    if not 1 <= args.jobs <= 64:
        raise UsageError(f"`--jobs {args.jobs}` is not between 1 and 64")
    if args.fields:
        return _collect_fields(args, console)
    if args.stack:
        return _collect_stack(args, console)
    target = Path(args.output) if args.output else own_support_path() or shipped_path()
    support = collect(Index(offline=args.offline, connections=args.jobs), jobs=args.jobs, listener=console.listener())
    data = encode_support(support)
    _write(target, data)
    console.close()
    if args.json:
        console.document(1, {"file": str(target), "bytes": len(data), "transformers": len(support.transformers),
                             "model_types": len(support.model_types), "peft": len(support.peft)})  # fmt: skip
    else:
        console.data(
            f"{target}: {counted(len(support.transformers), 'release')}, "
            f"{counted(len(support.model_types), 'model type')}, {counted(len(data), 'byte')}"
        )
    return 0


def _collect_fields(args: argparse.Namespace, console: Console) -> int:
    from envpin.evidence.collect_fields import collect_fields
    from envpin.matrix.fields import encode_fields, fields_path

    target = Path(args.output) if args.output else fields_path()
    index = Index(offline=args.offline, connections=args.jobs)
    fields = collect_fields(index, jobs=args.jobs, listener=console.listener())
    data = encode_fields(fields)
    _write(target, data)
    console.close()
    counts = {name: len(one.releases) for name, one in fields.packages.items()}
    if args.json:
        console.document(1, {"file": str(target), "bytes": len(data), "releases": counts})
    else:
        listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
        console.data(f"{target}: releases read: {listed}; {counted(len(data), 'byte')}")
    return 0


def _collect_stack(args: argparse.Namespace, console: Console) -> int:
    from envpin.evidence.stack.collect import collect_stack
    from envpin.matrix.stack import encode_stack, shipped_stack_path
    from envpin.matrix.where import own_stack_path

    target = Path(args.output) if args.output else own_stack_path() or shipped_stack_path()
    index = Index(offline=args.offline, connections=args.jobs)
    stack = collect_stack(index, jobs=args.jobs, listener=console.listener())
    data = encode_stack(stack)
    _write(target, data)
    console.close()
    counts = {name: len(tool.releases) for name, tool in stack.tools.items()}
    if args.json:
        console.document(1, {"file": str(target), "bytes": len(data), "releases": counts})
    else:
        total = sum(counts.values())
        console.data(
            f"{target}: {counted(total, 'release')} of {counted(len(counts), 'package')}, {counted(len(data), 'byte')}"
        )
    return 0


def _write(target: Path, data: bytes) -> None:
    try:
        write_atomically(target, data, parents=True)
    except OSError as error:
        raise InfrastructureError(f"`{target}` cannot be written: {error.strerror}", hint="use -o FILE") from error
