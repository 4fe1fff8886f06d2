"""Collect the errors whose cause is known: `python scripts/collect_known.py` writes `logs/facts/known.json`, and the
signatures as one file that is read fast, `logs/signatures/packed.json`.

Read are the judged texts of `tests/data/errors*.toml` and the samples of the signatures. Of each, `known.json` holds
the code, the line that shows it and where it was seen, and by feature of those by which `nearest.py` compares errors,
which of them have it; features of one text alone count in its length only.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import defaultdict
from pathlib import Path

import msgspec

from envpin.diagnose.logs.ending.nearest import features_of, weight
from envpin.diagnose.logs.signatures.signature import FOLDER, read_folder

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "src" / "envpin" / "diagnose" / "logs" / "facts" / "known.json"
PACKED = FOLDER / "packed.json"
ERROR = re.compile(r"\b[A-Z]\w*(?:Error|Exception)\b")
SHOWN = 160


def known_texts() -> list[tuple[str, str, str]]:
    """Code, source and text of each, a text once."""
    found = {}
    for path in sorted((ROOT / "tests" / "data").glob("errors*.toml")):
        for error in tomllib.loads(path.read_text(encoding="utf-8"))["error"]:
            found[error["text"].strip()] = (error["code"], error["source"])
    for one in [one for file in read_folder().values() for one in file.signature]:
        found.setdefault(one.sample.strip(), (one.code, one.source))
    return [(code, source, text) for text, (code, source) in found.items()]


def shown(text: str) -> str:
    lines = [one.strip() for one in text.strip().split("\n") if one.strip()]
    return next((one for one in reversed(lines) if ERROR.search(one)), lines[-1])[:SHOWN]


def collected() -> dict[str, object]:
    texts = known_texts()
    features = [features_of(text) for _, _, text in texts]
    having: dict[str, list[int]] = defaultdict(list)
    for at, some in enumerate(features):
        for one in some:
            having[one].append(at)
    weights = {one: weight(len(some), len(texts)) for one, some in having.items()}
    lengths = [round(math.sqrt(sum(weights[one] ** 2 for one in sorted(some))), 3) for some in features]
    names = sorted(one for one, some in having.items() if len(some) > 1)
    rows = [
        [code, source.partition("#second")[0], shown(text), length or 1.0]
        for (code, source, text), length in zip(texts, lengths, strict=True)
    ]
    return {"features": "\n".join(names), "having": [having[one] for one in names], "texts": rows}


def packed() -> str:
    """Every signature as JSON, one a line, without what has its default."""
    document = msgspec.to_builtins(read_folder())
    for file in document.values():
        file["signature"] = [
            {name: value for name, value in one.items() if value not in (None, [], False)} for one in file["signature"]
        ]
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    PACKED.write_text(packed(), encoding="utf-8")
    TARGET.write_text(json.dumps(collected(), separators=(",", ":")) + "\n", encoding="utf-8")
    print(TARGET.name, TARGET.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
