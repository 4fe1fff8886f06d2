"""What real peft does with each fault, beside what `envpin check` and `envpin diagnose` say.

python scripts/reactions.py             make every fault and try it, in two real environments; a minute or two
python scripts/reactions.py --write     put the table into docs/reference/reactions.md, from what the tests hold true
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.failures import FAILURES  # noqa: E402
from tests.support.faults import CROSSED, FAULTS, FORWARD, Fault, Made, make_faults, reaction_of  # noqa: E402

from envpin.diagnose.check import check  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "reactions.md"
_HEAD = """# What peft does with each fault

Each fault is made on real files by real transformers and peft, loaded, merged and saved there. *raises*: an error. *warns*: a
warning that a healthy pair does not get. *silent*: nothing, and a model comes out. –: told by versions alone, not run.

Made by `python scripts/reactions.py --write` from the tables that `tests/integration/test_real_faults.py` runs;
`python scripts/reactions.py` runs them and prints the same table.
"""
_LOGS = """
## What only a log shows

Run for real by `tests/integration/test_real_failures.py`; `envpin diagnose` names each by what was printed.

| code | what fails | in the environment | with, over it |
|---|---|---|---|
"""


def row(fault: Fault, old: str, new: str, ours: str) -> str:
    told = (
        f" (target {', '.join(f'{name} {version}' for name, version in fault.target.items())})" if fault.target else ""
    )
    return f"| `{fault.code}` | {old} | {new} | {ours}{told} |"


def declared() -> list[str]:
    """The rows as the tables have them; the tests hold them against real runs."""
    rows = [row(one, one.old or "–", one.new or "–", one.severity) for one in FAULTS + CROSSED]
    return rows + [row(one, "trained here", one.new or "–", one.severity) for one in FORWARD]


def tried(made: Made) -> list[str]:
    """The rows as a run gives them now."""
    rows = []
    for fault in FAULTS + CROSSED + FORWARD:
        root = made.new if fault in CROSSED else made.old
        base = None if fault.base is None else root / fault.base
        path, explicit = (root / fault.adapter, base) if fault.adapter else (base, None)
        assert path is not None
        report = check(path, base=explicit, target=fault.target)
        ours = next((one.severity for one in report.findings if one.code == fault.code), "nothing")
        old, new = "–", "–"
        if fault in CROSSED and fault.case:
            old = reaction_of(made.crossed[fault.case], made.old_reactions["healthy"])
        elif fault in FORWARD:
            old, new = "trained here", reaction_of(made.forward[fault.case], made.forward["healthy"])
        elif fault.case:
            old = reaction_of(made.old_reactions[fault.case], made.old_reactions["healthy"])
            new = reaction_of(made.new_reactions[fault.case], made.new_reactions["healthy"])
        rows.append(row(fault, old, new, ours))
    return rows


def table(rows: list[str]) -> str:
    head = [
        "| code | peft 0.12.0, transformers 4.43.1 | peft 0.21.2, transformers 5.23.0 | `envpin check` |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def page() -> str:
    """The text of the page."""
    logs = [f"| `{one.code}` | {one.name} | {one.environment} | {', '.join(one.over) or '–'} |" for one in FAILURES]
    return f"{_HEAD}\n{table(declared())}{_LOGS}" + "\n".join(logs) + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        with tempfile.TemporaryDirectory() as folder:
            rows = tried(make_faults(Path(folder)))
        sys.stdout.write(table(rows))
        sys.exit(0 if rows == declared() else 1)
