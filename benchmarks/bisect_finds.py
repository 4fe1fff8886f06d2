"""Five known breaks, found for real: each search installs real releases and runs real probes.

    python benchmarks/bisect_finds.py [--only N] [--json FILE] [--home DIR]

Each search starts with an empty store and an empty verdict cache, unless `--home` names one to reuse. `probes to find`
counts what narrowed the range, which halving would do in ⌈log2 n⌉; both ends and the runs that make sure come on top.
`environment` is the median time to build a release's environment (uv's cache as it was found). Where pip knows a folder
of wheels (`PIP_FIND_LINKS`), uv is told of it, so that a CPU build of torch can be used.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TORCH = ("--with", "torch==2.13.0")
OLD_NUMPY = ("--with", "numpy<2")
# title, what is known to be right (before, after), the command
FINDS: tuple[tuple[str, tuple[str, str], tuple[str, ...]], ...] = (
    (
        "Llama 3.1 config, fixed", ("4.42.4", "4.43.0"),
        ("transformers", "--good", "4.57.6", "--bad", "4.36.2", "--find", "fixed", "--family", "llama3.1",
         "--probe", "config", *TORCH),
    ),
    (
        "Qwen2 KeyError, fixed", ("4.36.2", "4.37.0"),
        ("transformers", "--good", "4.46.3", "--bad", "4.33.0", "--find", "fixed", "--family", "qwen2",
         "--probe", "load", *TORCH, *OLD_NUMPY),
    ),
    (
        "Qwen2-VL adapter turned into nothing", ("4.51.3", "4.52.1"),
        ("transformers", "--good", "4.46.3", "--bad", "5.3.0", "--family", "qwen2-vl", "--probe", "merge",
         "--with", "peft==0.15.2", *TORCH),
    ),
    (
        "peft needs EncoderDecoderCache", ("0.13.2", "0.14.0"),
        ("peft", "--good", "0.8.2", "--bad", "0.21.2", "--family", "qwen2", "--probe", "load-adapter",
         "--with", "transformers==4.42.4", *TORCH, *OLD_NUMPY),
    ),
    (
        "per-expert Qwen3-MoE LoRA", ("4.57.6", "5.0.0"),
        ("transformers", "--good", "4.51.3", "--bad", "5.3.0", "--family", "qwen3-moe", "--probe", "merge",
         "--with", "peft==0.18.1", *TORCH),
    ),
)  # fmt: skip


def search(arguments: tuple[str, ...], home: Path) -> tuple[dict[str, Any], list[dict[str, Any]], float]:
    """Run one search; returns its document, the records of its probes and its wall time in seconds."""
    variables = {**os.environ, "ENVPIN_HOME": str(home), "OMP_NUM_THREADS": "1"}
    if "PIP_FIND_LINKS" in os.environ:
        variables.setdefault("UV_FIND_LINKS", os.environ["PIP_FIND_LINKS"])
    begun = time.monotonic()
    argv = [sys.executable, "-m", "envpin", "bisect", *arguments, "--python", "3.11", "--json"]
    done = subprocess.run(argv, env=variables, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - begun
    document: dict[str, Any] = json.loads(done.stdout)
    if "error" in document and "answer" not in document:
        raise SystemExit(f"the search failed: {document['error']}")
    lines = Path(document["files"]["log"]).read_text(encoding="utf-8").splitlines()
    return document, [record for line in lines if (record := json.loads(line))["event"] == "probe"], seconds


def row(title: str, expected: tuple[str, str], arguments: tuple[str, ...], home: Path) -> dict[str, Any]:
    document, probes, seconds = search(arguments, home)
    built = [probe["environment_seconds"] for probe in probes if probe.get("environment_seconds", 0) > 0.5]
    return {
        "find": title,
        "command": "envpin bisect " + " ".join(arguments),
        "expected": list(expected),
        "found": [document["before"], document["after"]],
        "right": [document["before"], document["after"]] == list(expected) and document["answer"] == "named",
        "certain": document["certain"],
        "probes_to_find": document["narrowing"],
        "halving": document["halving"],
        "ends": 2,
        "to_make_sure": document["reruns"],
        "probes": document["probes"],
        "seconds": round(seconds, 1),
        "environment_seconds_median": round(statistics.median(built), 2) if built else None,
        "error": document.get("error", "").split("\n")[0].replace(str(home), "HOME")[:160],
        "hint_of_the_wheels": document.get("reason"),
        "rows": [
            {key: probe.get(key) for key in ("version", "purpose", "verdict", "seconds", "environment_seconds")}
            for probe in probes
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, action="append", help="1 … 5")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="envpin-finds-") as folder:
        for number, (title, expected, arguments) in enumerate(FINDS, 1):
            if options.only and number not in options.only:
                continue
            found = row(title, expected, arguments, options.home or Path(folder, str(number)))
            results.append(found)
            if options.json:
                options.json.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\n{'find':38}{'found':20}{'right':>6}{'to find':>9}{'halving':>9}{'in all':>8}{'s':>8}{'env s':>7}")
    for found in results:
        edge = " → ".join(found["found"])
        print(
            f"{found['find']:38}{edge:20}{'yes' if found['right'] else 'NO':>6}{found['probes_to_find']:>9}"
            f"{found['halving']:>9}{found['probes']:>8}{found['seconds']:>8}"
            f"{found['environment_seconds_median'] or '-':>7}"
        )  # fmt: skip
    return 0 if all(found["right"] for found in results) else 1


if __name__ == "__main__":
    sys.exit(main())
