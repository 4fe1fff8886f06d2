"""Change the modules that decide, one expression at a time, and see whether a unit test notices: `make mutants`.

python scripts/mutants.py                    every mutant, within the minutes of tests/mutation.toml
python scripts/mutants.py --minutes 60       as long as that
python scripts/mutants.py --survivors NAME   what of a module nobody noticed, as diffs

mutmut says what to change and runs the tests (`[tool.mutmut]` of pyproject.toml); tests/mutation.toml holds the share of
noticed mutants below which a module must not fall. Results are kept in `mutants/`, and only what changed runs again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MUTMUT = [str(Path(sys.executable).with_name("mutmut"))]
# The exit status of the test run of a mutant (mutmut/stats.py): 0 is a survivor, 33 a mutant that no test reaches.
_NOTICED = {1, 3, 24, 36, 152, 255, -24}
_SURVIVED, _UNREACHED = 0, 33
# So few runs of a module say nothing about its share.
_ENOUGH = 20


def results(module: str) -> dict[str, int]:
    """The exit status for each mutant of a module that has run."""
    file = ROOT / "mutants" / f"{module}.meta"
    if not file.exists():
        return {}
    document = json.loads(file.read_text(encoding="utf-8"))
    return {name: status for name, status in document["exit_code_by_key"].items() if status is not None}


def run(minutes: float) -> int | None:
    """The exit status of mutmut; None where the time was over first, which is no fault."""
    # The end of this process is the end of mutmut, too, which has a session of its own to be ended with its forks.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with subprocess.Popen(
        [*MUTMUT, "run", "--max-children", str(min(2, os.cpu_count() or 1))], cwd=ROOT, start_new_session=True
    ) as child:
        try:
            return child.wait(timeout=minutes * 60)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def main() -> int:
    settings = tomllib.loads((ROOT / "tests" / "mutation.toml").read_text(encoding="utf-8"))
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]["only_mutate"]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=settings["minutes"])
    parser.add_argument("--survivors", metavar="NAME")
    options = parser.parse_args()
    if options.survivors:
        for module in modules:
            if options.survivors in module:
                for name, status in results(module).items():
                    if status in {_SURVIVED, _UNREACHED}:
                        subprocess.run([*MUTMUT, "show", name], cwd=ROOT, check=False)
        return 0
    if (status := run(options.minutes)) not in {0, None}:
        return int(status or 1)
    below = []
    for module in modules:
        counted = Counter(results(module).values())
        total = counted.total()
        noticed = sum(counted[one] for one in _NOTICED)
        short = module.removeprefix("src/envpin/")
        share = noticed / total if total else 0.0
        floor = settings["floors"][short]
        print(f"{short:36} {noticed:4} of {total:4} noticed  {share:4.0%}  floor {floor:.0%}")
        if total >= _ENOUGH and share < floor:
            below.append(short)
    if below:
        print(f"below its floor: {', '.join(below)}", file=sys.stderr)
    return 1 if below else 0


if __name__ == "__main__":
    raise SystemExit(main())
