"""Planted faults and right merges over kinds of adapters and dtypes, each held against base and adapter by `prove`, and
asked as `replay merge` asks. Prints the tables of docs/reference/faults.md.

    python benchmarks/faults.py [--environment latest …] [--cells MODEL/KIND[/DTYPE],…] [--kept FOLDER]
        [--markdown docs/reference/faults.md]

Environments are those of tests/support/environments.py. A fault that leaves the same bits as the right merge is none.
Takes ten minutes of one core; cells that `--kept` holds from an earlier run are not run again. Ends with 1 where a
right merge is not proved, or a planted fault is not caught.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support import environments

from envpin.core import process
from envpin.replay.refusals import gate

INSIDE = Path(__file__).with_name("faults_inside.py")
WORKERS = ROOT / "src" / "envpin" / "workers"
CAUGHT = {"caught", "caught, other cause"}
NOT_MET = {"absent", "no fault: same bits"}
DTYPES = ("bf16", "fp16", "fp32")
Line = dict[str, Any]


def measure(
    environment: str, cells: str | None, deltalint: Path | None = None, *, kept: Path | None = None
) -> list[Line]:
    """Every line of one environment; the first names its versions. With the folder of an installed `deltalint`, that
    is asked too. Cells that the folder `kept` holds from an earlier run are not run again."""
    python = environments.pinned(environment).python
    return run(python, INSIDE, f"faults-{environment}", cells=cells, deltalint=deltalint, kept=kept)


def run(
    python: Path,
    script: Path,
    name: str,
    *more: str,
    cells: str | None = None,
    deltalint: Path | None = None,
    kept: Path | None = None,
) -> list[Line]:
    """What `script` writes when that interpreter runs it; `more` are words before the cells."""
    variables = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}
    if deltalint is not None:
        variables["ENVPIN_DELTALINT"] = str(deltalint.absolute())
    with TemporaryDirectory(prefix="envpin-faults-") as folder:
        out = Path(kept or folder, f"{name}.jsonl").absolute()
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(folder, "scratch")
        scratch.mkdir()
        words = [python, script, WORKERS, scratch, out, *more, *([cells] if cells else [])]
        completed = process.run([str(word) for word in words], env=process.scrubbed_environment(set_values=variables))
        if completed.status:
            raise SystemExit(completed.stderr[-3000:])
        lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if "finished" not in line]


def verdict_of_probe(line: Line) -> str | None:
    """`passes` or `refused` by the gate of `replay merge`; None where the model could not be asked."""
    found = line.get("probe") or {}
    if "ratio" not in found:
        return None
    return "refused" if found["ratio"] is None or found["ratio"] > gate(found["expected"]) else "passes"


def summary(lines: list[Line]) -> list[str]:
    """Totals, and every line that is not as it should be."""
    met = [line for line in lines if line["status"] not in NOT_MET]
    right = [line for line in met if line["kind"] == "healthy"]
    faults = [line for line in met if line["kind"] == "fault"]
    alarms = [line for line in right if line["status"] != "right"]
    missed = [line for line in faults if line["status"] not in CAUGHT]
    other = [line for line in faults if line["status"] == "caught, other cause"]
    caught = f"caught {len(faults) - len(missed)}, of these named otherwise {len(other)}"
    text = [f"right merges: {len(right)}, proved {len(right) - len(alarms)}; planted faults: {len(faults)}, {caught}"]
    return text + [f"  {line['cell']}: {line['merge']}: {line['status']}" for line in [*alarms, *missed]]


def table(lines: list[Line]) -> list[str]:
    """One row for each merge: how often it was met, what `prove` and the probe said of it."""
    rows: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        if line["status"] not in NOT_MET:
            rows[line["kind"], line["merge"]].append(line)
    text = ["| merge | cells | `prove` | named | outputs alone refuse |", "|---|---|---|---|---|"]
    for (kind, merge), members in sorted(rows.items(), key=lambda one: (one[0][0] != "healthy", one[0][1])):
        states = Counter("caught" if line["status"] in CAUGHT else line["status"] for line in members)
        causes = Counter(cause for line in members for cause in line.get("causes", ()))
        asked = [verdict for line in members if (verdict := verdict_of_probe(line)) is not None]
        said = ", ".join(f"{count} {state}" for state, count in states.most_common())
        named = ", ".join(f"`{cause}`" for cause, _ in causes.most_common(3)) if kind == "fault" else ""
        text.append(f"| {merge} | {len(members)} | {said} | {named} | {asked.count('refused')} of {len(asked)} |")
    return text


# What no merge does by rounding.
GROSS = {"not applied", "one layer left out", "wrong base", "other adapter", "change times 0.5", "change times -1",
         "applied twice", "change times 2"}  # fmt: skip
_UNMEASURED = "no tensor of the base's shape changed, so what rounding explains could not be measured"
_SMALL = "the fault moves these outputs by less than five times what rounding explains, or than 0.001"


def passed_by_outputs(lines: list[Line]) -> list[str]:
    """Gross faults that the outputs alone do not refuse, each with the reason."""
    found = []
    for line in lines:
        if line["kind"] == "fault" and line["merge"] in GROSS and verdict_of_probe(line) == "passes":
            asked = line["probe"]
            why = _UNMEASURED if asked["expected"] is None else _SMALL
            ratio = f"{asked['ratio']:.2g}, the gate is {gate(asked['expected']):.2g}"
            found.append(f"- {line['cell']}, {line['merge']}: {ratio}; {why}")
    return found


def kinds(lines: list[Line]) -> list[str]:
    """One row for each kind of adapter: right merges proved and faults caught, by dtype."""
    rows: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for line in lines:
        if line["status"] in NOT_MET:
            continue
        name, _, dtype = line["cell"].rpartition("/")
        good = line["status"] == "right" or line["status"] in CAUGHT
        rows[name][dtype][f"{line['kind']}-{'good' if good else 'bad'}"] += 1
    text = [f"| model/kind | {' | '.join(f'{dtype}: right, faults' for dtype in DTYPES)} |", "|---|---|---|---|"]
    for name, by_dtype in rows.items():
        cells = []
        for dtype in DTYPES:
            found = by_dtype[dtype]
            healthy, fault = (found[f"{kind}-good"] for kind in ("healthy", "fault"))
            cells.append(f"{healthy}/{healthy + found['healthy-bad']}, {fault}/{fault + found['fault-bad']}")
        text.append(f"| {name} | {' | '.join(cells)} |")
    return text


_METHOD = (
    "Tiny models of two layers, an adapter of each kind and dtype, merged right in every way that is known (peft, "
    "`safe_merge`, envpin, by formula, through other precisions), and wrong in the ways that happen. Each is held "
    "against base and adapter by `prove`, which sees the files alone. The last column is the other proof of `replay "
    "merge`, which only asks the models: it is [calibrated](../explanation/the-gate.md) to what rounding explains, so "
    "it passes what rounding could have done, and what no output shows (a tensor too many, a bit in a table that the "
    "question does not use). It never proves a merge by itself."
)


def markdown(abouts: list[Line], lines: list[Line]) -> str:
    """The committed page."""
    versions = "; ".join(", ".join(f"{name} {version}" for name, version in about.items()) for about in abouts)
    written = f"Written by `python benchmarks/faults.py --markdown docs/reference/faults.md` on a CPU: {versions}."
    absent = [line for line in lines if line["status"] in NOT_MET]
    missing = Counter(f"{line['merge']}: {line.get('reason', line['status'])}" for line in absent)
    first, *wrong = summary(lines)
    text = [
        "# Planted faults and right merges",
        "",
        f"{written} {_METHOD}",
        "",
        f"**{first}.**",
        "",
        *(wrong or ["No right merge was refused, and no fault passed."]),
        "",
        *table(lines),
        "",
        "Gross faults that the outputs alone pass (`prove` names each of them):",
        "",
        *passed_by_outputs(lines),
        "",
        "Right merges and faults by kind of adapter, those judged rightly of all:",
        "",
        *kinds(lines),
        "",
    ]
    if missing:
        text += ["Not made, or no fault (the same bits as the right merge):", ""]
        text += [f"- {count} × {words}" for words, count in missing.most_common()]
    return "\n".join(text).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", nargs="+", default=["latest"])
    parser.add_argument("--cells")
    parser.add_argument("--kept", type=Path, help="where whole cells are kept, and taken from")
    parser.add_argument("--markdown", type=Path, help="write the page there")
    args = parser.parse_args()
    abouts: list[Line] = []
    lines: list[Line] = []
    for environment in args.environment:
        about, *found = measure(environment, args.cells, kept=args.kept)
        print(environment, *(f"{name} {version}" for name, version in about.items()))
        print(*summary(found), "", sep="\n")
        abouts.append(about)
        lines += found
    print(*table(lines), "", *kinds(lines), sep="\n")
    if args.markdown:
        args.markdown.write_text(markdown(abouts, lines), encoding="utf-8")
    if len(summary(lines)) > 1:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
