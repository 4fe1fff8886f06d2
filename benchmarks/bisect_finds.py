"""Five known breaks, found for real: each search installs real releases and runs real probes.

    python benchmarks/bisect_finds.py [--only N] [--json FILE] [--home DIR]

Each search starts with an empty store and an empty verdict cache, unless `--home` names one to reuse. `to find` counts
what narrowed the range, which halving would do in ⌈log2 n⌉; both ends and the runs that make sure come on top.

`warm env` is what a probe's environment takes once its wheels are in uv's cache: after the search, each environment
that it built is resolved and built once more in an empty store. The median is given in seconds by the clock and, as
other work may share the machine, in seconds of CPU (uv's included). Where pip knows a folder of wheels
(`PIP_FIND_LINKS`), uv is told of it, so that a CPU build of torch can be used.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from envpin.bisect.environments.holding import Holder
from envpin.bisect.question import Question
from envpin.envs.refs.pins import Resolver
from envpin.envs.store.store import Store
from envpin.host import worker
from envpin.host.verbs import TinyModelCall

if "PIP_FIND_LINKS" in os.environ:
    os.environ.setdefault("UV_FIND_LINKS", os.environ["PIP_FIND_LINKS"])

TORCH = ("--with", "torch==2.13.0")
OLD_NUMPY = ("--with", "numpy<2")
# Where the adapter of the third search is made: ADAPTER and BASE in its command are the folders.
MADE_WITH = ("transformers==4.51.3", "peft==0.15.2", "torch==2.13.0")
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
        ("transformers", "--good", "4.46.3", "--bad", "5.3.0", "--adapter", "ADAPTER", "--base", "BASE",
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


def adapter(home: Path) -> dict[str, str]:
    """A Qwen2-VL adapter and its base, made in an environment of its own."""
    environment = Store(home).ensure(Resolver(python="3.11", root=home).pins(MADE_WITH, era=True))
    places = {"BASE": str(home / "made" / "base"), "ADAPTER": str(home / "made" / "adapter")}
    if not Path(places["ADAPTER"]).exists():
        call = TinyModelCall(family="qwen2-vl", folder=places["BASE"], adapter=places["ADAPTER"])
        worker.call(environment.python, call)
    return places


def cpu() -> float:
    """CPU seconds of this process and of the children that have ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def warm_environments(log: Path) -> list[tuple[float, float]]:
    """Clock and CPU seconds of each environment of a finished search, built again with nothing but uv's cache warm."""
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    question = msgspec.convert(records[0]["question"], Question)
    uploaded = next(record for record in records if record["event"] == "setup")["uploaded"]
    versions = dict.fromkeys(record["version"] for record in records if "environment" in record)
    figures = []
    with tempfile.TemporaryDirectory(prefix="envpin-warm-") as name:
        holder, store = Holder(question, uploaded=uploaded, root=Path(name)), Store(Path(name))
        store.ensure(holder.good())
        for version in versions:
            if version != question.good:
                clock, spent = time.monotonic(), cpu()
                store.ensure(holder.spec(version))
                figures.append((time.monotonic() - clock, cpu() - spent))
    return figures


def search(arguments: tuple[str, ...], home: Path) -> tuple[dict[str, Any], list[dict[str, Any]], float]:
    """Run one search; returns its document, the records of its probes and its wall time in seconds."""
    variables = {**os.environ, "ENVPIN_HOME": str(home), "OMP_NUM_THREADS": "1"}
    places = adapter(home) if "ADAPTER" in arguments else {}
    arguments = tuple(places.get(word, word) for word in arguments)
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
    warm = warm_environments(Path(document["files"]["log"]))
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
        "warm_environments": len(warm),
        "warm_environment_seconds": round(statistics.median(one[0] for one in warm), 2),
        "warm_environment_seconds_worst": round(max(one[0] for one in warm), 2),
        "warm_environment_cpu_seconds": round(statistics.median(one[1] for one in warm), 2),
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
            home = options.home or Path(folder, str(number))
            results.append(row(title, expected, arguments, home))
            if options.home is None:
                shutil.rmtree(home)
            if options.json:
                options.json.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    columns = f"{'right':>6}{'to find':>9}{'halving':>9}{'in all':>8}{'s':>8}{'warm env s':>12}{'CPU s':>7}"
    print(f"\n{'find':38}{'found':20}{columns}")
    for found in results:
        edge = " → ".join(found["found"])
        print(
            f"{found['find']:38}{edge:20}{'yes' if found['right'] else 'NO':>6}{found['probes_to_find']:>9}"
            f"{found['halving']:>9}{found['probes']:>8}{found['seconds']:>8}"
            f"{found['warm_environment_seconds']:>12}{found['warm_environment_cpu_seconds']:>7}"
        )  # fmt: skip
    return 0 if all(found["right"] for found in results) else 1


if __name__ == "__main__":
    sys.exit(main())
