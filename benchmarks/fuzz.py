"""Coverage-guided fuzzing of everything that reads a stranger's bytes, with atheris (libFuzzer).

    uv pip install atheris
    python benchmarks/fuzz.py header --seconds 300       one target; `all` runs each in a process of its own

A run fails on any exception that is no InputError, on an input that takes more than ten seconds of CPU time, and on
more than 300 MB of memory. Seeds are healthy files; inputs that found something belong into tests/data/fuzz, which the
tests replay.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
LONGEST = 10.0  # seconds of CPU time for one input

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fuzzing import Files


def fuzz(target: str, seconds: int, corpus: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=["envpin", "_envpin_hook"]):  # none of them may be imported before
        _keep_shipped_data()
        from tests.support.fuzzing import TARGETS, Files

        import envpin.checkpoint.formats.tokenizer_json
        import envpin.checkpoint.formats.torch_zip  # noqa: F401
        from envpin.recording.injected import hook

        hook("redaction")
    from tests.support.mutating import mutated_json

    run: Callable[[Files, bytes], object] = TARGETS[target]
    # In memory where the system has such a folder: each input is written to a file.
    shared = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        files = Files(Path(folder))

        def once(data: bytes) -> None:
            began = time.process_time()
            run(files, data)
            assert time.process_time() - began < LONGEST

        def mutate(data: bytes, limit: int, seed: int) -> bytes:
            changed = mutated_json(data, seed) if seed % 3 else None
            mutated: bytes = changed if changed and len(changed) <= limit else atheris.Mutate(data, limit)
            return mutated

        # libFuzzer's own limit is of the clock: it counts what a machine that stands still does not do.
        options = [f"-max_total_time={seconds}", f"-artifact_prefix={corpus}/found-", "-timeout=600",
                   "-rss_limit_mb=300", "-max_len=16384", "-print_final_stats=1"]  # fmt: skip
        atheris.Setup([sys.argv[0], *options, str(corpus)], once, custom_mutator=mutate)
        atheris.Fuzz()


def _keep_shipped_data() -> None:
    """What travels with envpin is read once: each `check` and `infer` reads it again, longer than the stranger's bytes.

    Before whoever imports these functions by name is imported.
    """
    import envpin.matrix.load
    import envpin.matrix.support

    for module, name in ((envpin.matrix.load, "load_matrix"), (envpin.matrix.support, "load_support")):
        read = getattr(module, name)
        shipped = read()
        setattr(module, name, lambda path=None, read=read, shipped=shipped: shipped if path is None else read(path))


def report(target: str, seconds: int, corpus: Path) -> bool:
    """Run one target in a process of its own, and print a row."""
    from tests.support.fuzzing import seeds

    for at, seed in enumerate(seeds(target)):
        (corpus / f"seed-{at}").write_bytes(seed)
    command = [sys.executable, __file__, target, "--seconds", str(seconds), "--corpus", str(corpus)]
    completed = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", completed.stderr))
    covered = re.findall(r"cov: (\d+)", completed.stderr)
    found = sorted(path.name for path in corpus.glob("found-[!s]*"))  # a slow unit is none: the machine may stand still
    print(f"| {target} | {int(stats.get('number_of_executed_units', 0)):,} | {covered[-1] if covered else '–'} "
          f"| {stats.get('peak_rss_mb', '–')} | {len(found)} |", flush=True)  # fmt: skip
    if completed.returncode != 0:
        print(completed.stderr[-4000:], *found, sep="\n", flush=True)
    return completed.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("target", help="a target of tests/support/fuzzing.py, or all")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--corpus", type=Path)
    args = parser.parse_args()
    if args.corpus is not None:
        fuzz(args.target, args.seconds, args.corpus)
        return 0
    from tests.support.fuzzing import TARGETS

    print("| target | executions | edges covered | peak RSS, MB | found |\n|---|---|---|---|---|", flush=True)
    good = True
    for target in TARGETS if args.target == "all" else [args.target]:
        corpus = Path(tempfile.mkdtemp(prefix=f"envpin-fuzz-{target}-"))
        good &= report(target, args.seconds, corpus)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
