"""Print what real peft does with each fault, beside what `envpin check` says; --write puts it into the docs.

    python scripts/reactions.py [--write]

It builds the two environments of the tests where they are missing, and takes half a minute where they are not.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.faults import CROSSED, FAULTS, make_faults, reaction_of  # noqa: E402

from envpin.diagnose.check import check  # noqa: E402


def table() -> str:
    """The table, in Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        made = make_faults(Path(folder))
        lines = [
            "| code | peft 0.12.0, transformers 4.43.1 | peft 0.21.2, transformers 5.23.0 | `envpin check` |",
            "|---|---|---|---|",
        ]
        for fault in FAULTS + CROSSED:
            root = made.new if fault in CROSSED else made.old
            base = None if fault.base is None else root / fault.base
            path, explicit = (root / fault.adapter, base) if fault.adapter else (base, None)
            assert path is not None
            report = check(path, base=explicit, target=fault.target)
            ours = next((one.severity for one in report.findings if one.code == fault.code), "nothing")
            told = (
                f" (target {', '.join(f'{name} {version}' for name, version in fault.target.items())})"
                if fault.target
                else ""
            )
            cells = ["–", "–"]
            if fault in CROSSED and fault.case:
                cells[0] = reaction_of(made.crossed[fault.case], made.old_reactions["healthy"])
            elif fault.case:
                cells = [reaction_of(made.old_reactions[fault.case], made.old_reactions["healthy"]),
                         reaction_of(made.new_reactions[fault.case], made.new_reactions["healthy"])]  # fmt: skip
            lines.append(f"| `{fault.code}` | {cells[0]} | {cells[1]} | {ours}{told} |")
    return "\n".join(lines)


if __name__ == "__main__":
    text = table()
    sys.stdout.write(text + "\n")
    if "--write" in sys.argv:
        page = ROOT / "docs" / "reference" / "reactions.md"
        page.write_text(
            "# What peft does with each fault\n\n"
            "Each fault is made on real files by real transformers and peft, loaded, merged and saved there. *raises*: an "
            "error. *warns*: a\nwarning that a healthy pair does not get. *silent*: nothing, and a model comes out. –: told by "
            "versions alone, not run.\n\nMade by `python scripts/reactions.py --write`.\n\n" + text + "\n",
            encoding="utf-8",
        )
