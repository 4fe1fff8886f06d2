"""What `diagnose` says of error texts from public trackers: `python benchmarks/wild_logs.py [--misses]`.

`tests/data/errors.toml` and `errors_open.toml` were read while rules were written; the others were judged before their
first run, and what they missed was fixed after it. An answer is right where the code that a person gave is among those
named, or nothing is named where nothing must be.
"""

from __future__ import annotations

import argparse
import io
import tomllib
from pathlib import Path

from envpin.diagnose.logs.reader import diagnose_log

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
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
    "errors_blind_sixth.toml": "sixth blind set",
    "errors_blind_seventh.toml": "seventh blind set",
    "errors_blind_eighth.toml": "eighth blind set",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--misses", action="store_true")
    args = parser.parse_args()
    for name, half in FILES.items():
        errors = tomllib.loads((DATA / name).read_text(encoding="utf-8"))["error"]
        right = silent = wrong = 0
        misses = []
        for error in errors:
            codes = [one.code for one in diagnose_log(io.BytesIO(error["text"].encode())).findings]
            good = error["code"] in codes if error["code"] else not codes
            right += good
            silent += not good and not codes
            wrong += not good and bool(codes)
            if not good:
                misses.append(
                    f"  miss: {error['source']}: {error['code'] or 'nothing'}, named {', '.join(codes) or 'nothing'}"
                )
        print(f"{half} ({name}): {len(errors)} texts, {right} right, {silent} silent, {wrong} another cause")
        if args.misses:
            print("\n".join(misses))


if __name__ == "__main__":
    main()
