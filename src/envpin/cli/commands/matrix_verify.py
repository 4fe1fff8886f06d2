"""`envpin matrix verify`: run what the matrix claims, on tiny models in real environments."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.cli.commands.matrix_add import apply_evidence
from envpin.cli.render.sweep import SweepView
from envpin.core.errors import InfrastructureError, InterruptedByUserError, ResolutionError, UsageError
from envpin.core.files import write_atomically
from envpin.core.sizes import counted, verb
from envpin.envs.locks.requirements import check_requirements
from envpin.envs.store.store import Store
from envpin.evidence.add import contradictions
from envpin.matrix.load import load_matrix
from envpin.matrix.recipes import load_recipes
from envpin.matrix.results import KIND, SCHEMA, EvidenceFile, encode_document, evidence_path, load_results
from envpin.matrix.support import load_support
from envpin.sweep.breaks import found_breaks
from envpin.sweep.plan import choose_families, plan_sweep, releases_of
from envpin.sweep.results import Results
from envpin.sweep.run import Sweep, SweepOptions
from envpin.sweep.since import newest_covered, releases_since

if TYPE_CHECKING:
    import argparse
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    from envpin.cli.console.console import Console
    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.support import Support
    from envpin.matrix.types import Matrix


def run_verify(args: argparse.Namespace, console: Console) -> int:
    """Exit status 1 where an outcome contradicts the matrix; everything found out is kept either way.

    Raises:
        UsageError, InputError: what was asked for does not exist.
        ResolutionError: no environment at all could be had.
        NetworkError, InfrastructureError: it stopped; run it again to go on.
    """
    _check(args)
    matrix = load_matrix(Path(args.matrix) if args.matrix else None)
    recipes = load_recipes()
    families = choose_families(args.families, matrix.families, recipes)
    support = _read_index(args, console) if args.since_last else load_support()
    releases, last = releases_of(args.transformers, support), None
    if args.since_last:
        last = newest_covered(families, _kept(args, matrix).values(), support)
        releases = releases_since(last, support)
        if last is None and not releases:
            raise ResolutionError("no release of transformers on the index could be read: nothing was verified")
        if not releases:
            return _nothing_new(args, console, str(last))
    plan = plan_sweep(
        families, support, releases=(*([last] if last else []), *releases), known=[last] if last else [],
        held=check_requirements(args.held) if args.held else (), python=args.python, capabilities=args.capability,
    )  # fmt: skip
    store = Store()
    folder = Path(args.results) if args.results else store.root / "verify"
    view = SweepView(console, plan, jobs=args.jobs)
    with _executor(args.executor) as remote, Results(folder, on_record=view.on_record) as results:
        sweep = Sweep(plan=plan, recipes=recipes, store=store, results=results, on_plan=view.on_plan,
                      options=_options(args, view, remote))  # fmt: skip
        view.begin(sweep, results)
        try:
            sweep.run()
        except KeyboardInterrupt as stop:
            raise InterruptedByUserError(hint="run the same command again; what was found out is kept") from stop
        finally:
            view.close()
        entries = sweep.entries()
    document = EvidenceFile(schema=SCHEMA, kind=KIND, entries=entries, breaks=found_breaks(entries, support))
    if args.output:
        _write(Path(args.output), document)
    wrong = [] if args.update else _contradicted(matrix, document)
    if not (args.update and args.json):  # then the one document is that of the addition
        view.finish(document, wrong=wrong, output=args.output)
    if sweep.left:
        console.talk(
            f"time is up: {counted(sweep.left, 'step')} {verb(sweep.left, 'was', 'were')} not run; the same "
            "command goes on"
        )
    if plan.climbs and not entries and not sweep.left:
        raise ResolutionError("no environment could be built: nothing was verified")
    if args.update:
        # Which breaks follow is computed from all the evidence, not from what this run alone found.
        return apply_evidence(args, msgspec.structs.replace(document, breaks={}), console)
    return 1 if wrong else 0


def _read_index(args: argparse.Namespace, console: Console) -> Support:
    """What the index says today, kept where `matrix collect` keeps it; what is kept there, with `--offline`."""
    from envpin.evidence.collect import collect
    from envpin.matrix.support import encode_support, shipped_path
    from envpin.matrix.where import own_support_path
    from envpin.remote.index import Index

    if args.offline:
        return load_support()
    support = collect(Index(), listener=console.listener())
    console.close()
    target = own_support_path() or shipped_path()
    try:
        write_atomically(target, encode_support(support), parents=True)
    except OSError as error:
        raise InfrastructureError(f"`{target}` cannot be written: {error.strerror}", hint="set ENVPIN_HOME") from error
    return support


def _kept(args: argparse.Namespace, matrix: Matrix) -> dict[str, EvidenceRun]:
    """Every run of the matrix that is asked about, and of the overlay on top of it."""
    own = load_results(evidence_path(Path(args.matrix) if args.matrix else None))
    if args.matrix is None and matrix.overlay is not None:
        own |= load_results(evidence_path(Path(matrix.overlay)))
    return own


def _nothing_new(args: argparse.Namespace, console: Console, last: str) -> int:
    if args.json:
        console.document(1, {"last": last, "environments": [], "entries": [], "breaks": {}, "contradictions": []})
    else:
        console.data(f"transformers {last} is the newest release, and the matrix was run with it")
    return 0


def _check(args: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: options that mean nothing, or nothing without others.
    """
    if args.jobs < 1:
        raise UsageError(f"`-j {args.jobs}` is no number of processes")
    if not args.timeout > 0:
        raise UsageError(f"`--timeout {args.timeout:g}` gives a step no time")
    if args.since_last and args.transformers:
        raise UsageError("`--since-last` chooses the releases itself", hint="leave out `--transformers`")
    if args.within is not None and not args.within > 0:
        raise UsageError(f"`--within {args.within:g}` leaves no time")
    alone = [name for name in ("dry_run", "keep_going", "replace") if getattr(args, name) and not args.update]
    if alone:
        raise UsageError(f"`--{alone[0].replace('_', '-')}` says how `--update` is done", hint="add `--update`")


def _executor(address: str | None) -> AbstractContextManager[Executor | None]:
    if address is None:
        return nullcontext()
    from envpin.sweep.remote import remote_executor

    return remote_executor(address)


def _options(args: argparse.Namespace, view: SweepView, remote: Executor | None) -> SweepOptions:
    within = None if args.within is None else 60.0 * args.within
    return SweepOptions(jobs=args.jobs, timeout=args.timeout, within=within, again=args.again, offline=args.offline,
                   remote=remote, listener=view.listener)  # fmt: skip


def _contradicted(matrix: Matrix, document: EvidenceFile) -> list[str]:
    """What the runs say otherwise than the matrix does; whether older runs said otherwise is for `matrix add`."""
    return [line for _, line in contradictions(matrix, {}, document, replace=True)]


def _write(path: Path, document: EvidenceFile) -> None:
    try:
        write_atomically(path, encode_document(document), parents=True)
    except OSError as error:
        raise InfrastructureError(
            f"`{path}` cannot be written: {error.strerror}", hint="nothing is lost: choose another file with `-o`"
        ) from error
