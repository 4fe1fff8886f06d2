"""What `diagnose` says of error texts from public trackers: `python benchmarks/wild_logs.py [--misses] [--held-out]`.

`tests/data/errors.toml` and `errors_open*.toml` were read while rules were written; the others were judged before their
first run, and what they missed was fixed after it. An answer is right where the code that a person gave is among those
named, or nothing is named where nothing must be. With `--held-out`, each set is asked without the signatures and the
known errors that were seen in its own threads: what is left are the rules by kind and the likeness to other errors.
"""

from __future__ import annotations

import argparse
import io
import sys
import tomllib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.judging import Tally

from envpin.diagnose.logs.ending import nearest
from envpin.diagnose.logs.reader import diagnose_log
from envpin.diagnose.logs.signatures.signature import load_signatures

if TYPE_CHECKING:
    from envpin.diagnose.logs.signatures.signature import Signature

DATA = ROOT / "tests" / "data"
FILES = {
    "errors.toml": "seen",
    "errors_held_out.toml": "held out",
    "errors_recent.toml": "held out, 2024 to 2026",
    "errors_open.toml": "open half",
    "errors_blind.toml": "first blind set",
    "errors_blind_second.toml": "second blind set",
    "errors_blind_third.toml": "third blind set",
    "errors_blind_fourth.toml": "fourth blind set",
    "errors_blind_fifth.toml": "fifth blind set",
    "errors_open_second.toml": "second open set",
    "errors_open_third.toml": "third open set",
    "errors_open_fourth.toml": "fourth open set",
    "errors_blind_sixth.toml": "sixth blind set",
    "errors_blind_seventh.toml": "seventh blind set",
    "errors_blind_eighth.toml": "eighth blind set",
    "errors_blind_ninth.toml": "ninth blind set",
    "errors_blind_tenth.toml": "tenth blind set",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--held-out", action="store_true")
    args = parser.parse_args()
    for name, half in FILES.items():
        errors = tomllib.loads((DATA / name).read_text(encoding="utf-8"))["error"]
        own = {error["source"].partition("#")[0] for error in errors} if args.held_out else set()
        signatures = tuple(one for one in load_signatures() if one.source.partition("#")[0] not in own)
        tally, guessed, guessed_right = Tally(), 0, 0
        for error in errors:
            codes, guess = answered(error["text"], signatures, own)
            good = tally.add(error["source"], error, codes)
            guessed += guess
            guessed_right += guess and good
        print(f"{half} ({name}): {len(errors)} texts, {tally}; {guessed} guesses, {guessed_right} right")
        if args.misses:
            print("\n".join(tally.misses))


def answered(text: str, signatures: tuple[Signature, ...], own: set[str]) -> tuple[set[str], bool]:
    """The codes named, and whether the answer is a guess by likeness."""
    without = partial(nearest.explain_nearest, without=own)
    with patch.object(nearest, "explain_nearest", without):
        findings = diagnose_log(io.BytesIO(text.encode()), signatures).findings
    return {one.code for one in findings}, any(one.message.startswith("a guess by likeness") for one in findings)


if __name__ == "__main__":
    main()
