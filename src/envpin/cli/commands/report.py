"""`envpin report PATH`: a page of a merged model, a recorded run or a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.report.subject import PageSubject

takes_child = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="PATH", type=Path,
        help="a merged model, a recorded adapter or model, or a file with what `envpin diff A B --json` printed",
    )  # fmt: skip
    parser.add_argument(
        "--html", metavar="FILE", help="where to write the page (default: NAME-report.html here; -: stdout)"
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    parser.add_argument(
        "--no-verify", action="store_true",
        help="do not read the files that the record tells of; the page then says that they were not compared",
    )  # fmt: skip
    parser.epilog = "One file without scripts, which asks for nothing over the network."


def run(args: argparse.Namespace, console: Console) -> int:
    """Exit status 0: the page was written, whatever it says."""
    from envpin.cli.console.page_file import refuse_other_file, write_page
    from envpin.core.errors import UsageError
    from envpin.report.subject import find_subject
    from envpin.report.template import MARK

    subject = find_subject(args.path)
    if args.html == "-":
        if args.open or args.json:
            raise UsageError("`--html -` goes without --open and --json", hint="name a file: --html report.html")
        text = _render(subject, args, console)
        console.close()
        console.data(text)
        return 0
    target = Path(args.html or f"{args.path.absolute().name.removesuffix('.json')}-report.html")
    refuse_other_file(target, mark=MARK, option="--html")
    size = write_page(target, _render(subject, args, console), option="--html")
    console.close()
    if console.json_mode:
        console.document(1, {"file": str(target), "kind": subject.kind, "bytes": size})
    else:
        console.data(str(target))
    if args.open:
        import webbrowser

        if not webbrowser.open(target.absolute().as_uri()):
            console.warn(f"no browser was found: open {target} yourself")
    return 0


def _render(subject: PageSubject, args: argparse.Namespace, console: Console) -> str:
    if subject.kind == "diff":
        from envpin.core.files import read_bounded
        from envpin.report.diff_page import render_diff

        return render_diff(read_bounded(subject.file, 64_000_000), path=str(subject.file))
    if subject.kind == "manifest":
        from envpin.manifest.read import read_manifest
        from envpin.report.held import hold
        from envpin.report.manifest_page import render_manifest

        manifest = read_manifest(subject.file)
        held = None if args.no_verify or subject.folder is None else hold(manifest, subject.folder)
        return render_manifest(manifest, place=str(args.path), held=held)
    return _merge(subject, args, console)


def _merge(subject: PageSubject, args: argparse.Namespace, console: Console) -> str:
    from envpin.checkpoint.checkpoint import open_checkpoint
    from envpin.cli.commands.verify import read_back
    from envpin.core.errors import InputError
    from envpin.replay.reverify import read_record
    from envpin.report.merge_page import render_merge

    folder = subject.folder or subject.file.parent
    record = read_record(folder, name=subject.file.name)
    verified = None if args.no_verify else read_back(folder, console, name=subject.file.name)
    try:
        names = [*open_checkpoint(folder).tensors]
    except InputError:
        names = []
    return render_merge(record, place=str(args.path), verified=verified, names=names)
