"""`envpin replay merge ADAPTER -o OUT`: merge an adapter in its own environment and prove the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.cli.commands.env_arguments import add_max_download, add_python, add_torch_backend, max_download, torch_wish
from envpin.cli.commands.replay_train import add_train, run_train
from envpin.core.errors import CheckFailedError

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.envs.store.store import Store
    from envpin.replay.merge import Merged
    from envpin.replay.plan import MergePlan

takes_child = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", dest="verb", required=True)
    merge = verbs.add_parser(
        "merge",
        help="merge a LoRA adapter into its base",
        description="Rebuild the environment that the adapter was trained in, merge in it, verify what was written and "
        "publish it with one rename. Without envpin.json the environment is inferred from the adapter's files; where "
        "they tell nothing, it is the known-good one of the model's family.",
    )
    merge.add_argument(
        "adapter",
        metavar="ADAPTER[:WEIGHT]",
        help="an adapter's folder, a bundle, or user/name[@revision] on the Hub, and a factor on it (default: 1)",
    )
    merge.add_argument(
        "--add-adapter",
        dest="further",
        action="append",
        default=[],
        metavar="ADAPTER[:WEIGHT]",
        help="one more adapter to merge after the first, for example other:0.5; may be given again",
    )
    merge.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="the folder to make")
    merge.add_argument(
        "--base", metavar="B", help="the base model, where it cannot be found: a folder, or user/name[@revision]"
    )
    merge.add_argument("--environment", metavar="REF", help="merge in this environment instead of the recorded one")
    add_python(merge, "another Python than the recorded one")
    add_torch_backend(merge)
    add_max_download(merge)
    merge.add_argument(
        "--max-attempts", type=int, default=4, metavar="N",
        help="without envpin.json: how many of the most likely environments to try until one proves right (default: 4)",
    )  # fmt: skip
    _add_engine_arguments(merge)
    merge.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    merge.add_argument("--strict", action="store_true", help="accept only the verdict `identical`")
    merge.add_argument(
        "--force",
        action="store_true",
        help="go on with an environment that is not the recorded one, and publish a merge whose outputs look wrong",
    )
    merge.add_argument("--offline", action="store_true", help="use what is on this machine only")
    merge.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    add_train(verbs)


def _add_engine_arguments(merge: argparse.ArgumentParser) -> None:
    merge.add_argument(
        "--engine",
        choices=("auto", "stream", "peft"),
        default="auto",
        help="stream: from file to file, in little memory; peft: the whole model in memory (default: auto)",
    )
    merge.add_argument(
        "--dtype",
        choices=("keep", "peft", "bf16", "fp16", "fp32"),
        default="keep",
        help="dtype of the output: the base's (keep, the default), those that this peft's own merge leaves behind "
        "(peft: some kinds of adapters leave float32 in a 16-bit model), or one for all tensors",
    )
    merge.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="cpu",
        help="where to compute; auto takes a GPU where there is one and enough to do. A GPU may round otherwise than a "
        "CPU, so the device is recorded (default: cpu)",
    )
    merge.add_argument("--threads", type=int, metavar="N", help="layers merged at once (default: one for each core)")
    merge.add_argument("--max-shard-size", metavar="SIZE", help="split the output, for example 5GB")
    merge.add_argument(
        "--quantized-base",
        choices=("original", "dequantize"),
        help="which weights the delta is added to where training saw a quantized base: the 16-bit original's, or those "
        "that training saw, dequantized",
    )
    merge.add_argument("--resume", action="store_true", help="go on with a merge that was killed")


def run(args: argparse.Namespace, console: Console) -> int:
    if args.verb == "train":
        return run_train(args, console)
    if args.child:
        from envpin.core.errors import UsageError

        raise UsageError("`replay merge` takes no command")
    from envpin.bundle.recognise import is_bundle

    return _merge_bundle(args, console) if is_bundle(args.adapter) else _merge(args, console)


def _merge_bundle(args: argparse.Namespace, console: Console) -> int:
    """What a bundle holds in place of the adapter, its base and its environment."""
    from envpin.bundle.unpack import unpacked
    from envpin.core.errors import InputError
    from envpin.envs.store.store import Store
    from envpin.replay.publish import refuse_existing

    refuse_existing(args.output)
    with unpacked(Path(args.adapter), Store()) as found:
        merge = found.description.merge
        if found.adapter is None or merge is None:
            raise InputError(f"`{args.adapter}` holds no adapter", hint="envpin env create FILE makes its environment")
        args.adapter = f"{found.adapter}:{merge.request.get('weight', 1.0)}"
        args.base = args.base or (str(found.base) if found.base is not None else None)
        return _merge(args, console, spec=found.spec)


def _merge(args: argparse.Namespace, console: Console, *, spec: EnvironmentSpec | None = None) -> int:
    from envpin.envs.store.store import Store
    from envpin.remote.hub.client import Hub
    from envpin.replay.adapters import parse_adapter
    from envpin.replay.attempts import Manner, is_unrecorded, merge_unrecorded
    from envpin.replay.merge import merge
    from envpin.replay.options import EngineOptions, MergeOptions
    from envpin.replay.plan import blockers_of, make_plan, refuse_blockers
    from envpin.replay.publish import refuse_existing, refuse_within

    refuse_existing(args.output)
    listener = console.listener()
    hub = Hub(offline=args.offline, listener=listener)
    adapter, *further = (one.at(hub.open_place(one.named)) for one in map(parse_adapter, [args.adapter, *args.further]))
    options = MergeOptions(
        weight=adapter.weight,
        further=tuple(further),
        base=args.base,
        environment=args.environment,
        python=args.python,
        engine=EngineOptions(
            engine=args.engine,
            dtype=args.dtype,
            device=args.device,
            threads=args.threads,
            max_shard_size=args.max_shard_size,
            resume=args.resume,
            quantized_base=args.quantized_base,
        ),
        offline=args.offline,
        torch=torch_wish(args),
        max_download=max_download(args),
        spec=spec,
    )
    if args.max_attempts < 1:
        from envpin.core.errors import UsageError

        raise UsageError("--max-attempts takes a number of at least 1")
    store = Store()
    if not args.dry_run and is_unrecorded(adapter.checkpoint, options):
        merged = merge_unrecorded(
            adapter.checkpoint, out=args.output, store=store, options=options, listener=listener,
            open_remote=hub.open_remote,
            manner=Manner(strict=args.strict, force=args.force, max_attempts=args.max_attempts),
            on_plan=lambda plan: _talk_plan(plan, console),
        )  # fmt: skip
        console.close()
        _show_result(merged, console)
        return 0
    plan = make_plan(
        adapter.checkpoint,
        out=args.output,
        store=store,
        options=options,
        listener=listener,
        open_remote=hub.open_remote,
    )
    refuse_within(args.output, [store.root, plan.base.path, *(part.path for part in plan.parts)])
    if args.dry_run:
        console.close()
        _show_plan(plan, store, console)
        return CheckFailedError.exit_code if blockers_of(plan, force=args.force) else 0
    _talk_plan(plan, console)
    refuse_blockers(plan, force=args.force)
    merged = merge(plan, store, listener=listener, offline=args.offline, strict=args.strict, force=args.force)
    console.close()
    _show_result(merged, console)
    return 0


def _talk_plan(plan: MergePlan, console: Console) -> None:
    from envpin.cli.console.width import fitted
    from envpin.cli.render.plan import plan_lines

    for line in fitted(plan_lines(plan), indent=13).split("\n"):
        console.talk(line)


def _show_plan(plan: MergePlan, store: Store, console: Console) -> None:
    from envpin.cli.console.width import fitted
    from envpin.cli.render.plan import plan_lines
    from envpin.replay.merge import planned

    download = planned(plan, store)
    if console.json_mode:
        to_download = download.to_json() if download is not None else None
        console.document(1, {"plan": {**plan.to_json(), "download": to_download}})
        return
    console.data(fitted(plan_lines(plan, download), indent=13))


def _show_result(merged: Merged, console: Console) -> None:
    import msgspec

    from envpin.cli.console.width import fitted
    from envpin.cli.render.verdict import result_lines

    if console.json_mode:
        body = {"out": str(merged.out), "merge": msgspec.to_builtins(merged.record), "seconds": console.seconds}
        console.document(1, body)
        return
    console.data(fitted(result_lines(merged), indent=12))
