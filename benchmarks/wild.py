"""What `infer` and `scan` say of adapters that strangers committed: `python benchmarks/wild.py --mirror DIR`.

`wild/folders.tsv` names repositories, commits and folders; nothing of them is kept here. DIR holds their git
directories as `owner+name/repo` or `owner+name.git` (`git clone --mirror`). Each folder is taken out of its commit into
a temporary one, of files above 2 MB the first one, where the headers are; the versions that it declares are hidden (the
card, and the value of `peft_version`), and the answer is held against them. A repository is of the half `seen` or
`held-out` by a digest of its name: misses of the second were not looked at while the first rules were written. `--list`
finds folders in DIR and writes the list anew. With `--scan` all folders are taken out into one tree, as they are, and
`envpin scan` goes through it: what it says of each, and whether it crashed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from packaging.specifiers import SpecifierSet

from envpin.core.adapter_format import foreign_format
from envpin.core.errors import EnvpinError
from envpin.inference.infer import Inferred, judge
from envpin.inference.observe import observe
from envpin.inference.statements import card_statements
from envpin.inference.versions import Known, known_releases
from envpin.matrix.load import load_matrix
from envpin.matrix.support import load_support

LIST = Path(__file__).with_name("wild") / "folders.tsv"
LARGEST = 2_000_000  # bytes; configs, cards, states, small weights, and the headers of others
# What an adapter of some tool is known by.
SIGNS = frozenset({
    "adapter_config.json", "adapters.npz", "adapters.safetensors", "pytorch_adapter.bin", "pytorch_lora_weights.bin",
    "pytorch_lora_weights.safetensors",
})  # fmt: skip
PER_REPOSITORY = 3
PACKAGES = ("peft", "transformers")


@dataclass
class Tally:
    """`misses` are lines for the page."""

    folders: int = 0
    told: Counter[str] = field(default_factory=Counter)
    inside: Counter[str] = field(default_factory=Counter)
    widths: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in PACKAGES})
    forbidden: int = 0
    proposals: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    misses: list[str] = field(default_factory=list)


def git(mirror: Path, *words: str) -> bytes:
    return subprocess.run(["git", "-C", str(mirror), *words], check=True, capture_output=True).stdout


def mirrors(root: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(root.iterdir()):
        place = path / "repo" if (path / "repo").is_dir() else path
        if "+" in path.name and (place / "objects").is_dir():
            found[path.name.removesuffix(".git").replace("+", "/", 1)] = place
    return found


def list_folders(root: Path) -> list[tuple[str, str, str]]:
    """Repository, commit and folder of each adapter, at most a few with different configs of each repository."""
    found = []
    for name, mirror in mirrors(root).items():
        commit = git(mirror, "rev-parse", "HEAD").decode().strip()
        seen: set[str] = set()
        for line in git(mirror, "ls-tree", "-r", "-z", "HEAD").decode("utf-8", "replace").split("\0"):
            entry, _, path = line.partition("\t")
            if path.rpartition("/")[2] not in SIGNS:
                continue
            blob = entry.split()[2]
            if blob not in seen and len(seen) < PER_REPOSITORY and "\n" not in path and "\t" not in path:
                seen.add(blob)
                found.append((name, commit, path.rpartition("/")[0] or "."))
    return found


def take_out(mirror: Path, commit: str, folder: str, target: Path) -> None:
    """The files of a folder and of what lies directly below it."""
    prefix = "" if folder == "." else f"{folder}/"
    listing = git(mirror, "ls-tree", "-r", "-l", "-z", commit, *([] if folder == "." else [prefix]))
    for line in listing.decode("utf-8", "replace").split("\0"):
        entry, _, path = line.partition("\t")
        own = path.removeprefix(prefix)
        if not path or own.count("/") > 1 or ".." in own:
            continue
        _, kind, blob, size = entry.split()
        if kind == "blob" and size.isdigit():
            (target / own).parent.mkdir(parents=True, exist_ok=True)
            try:
                (target / own).write_bytes(beginning(mirror, blob))
            except (subprocess.CalledProcessError, OSError):
                continue


def beginning(mirror: Path, blob: str) -> bytes:
    """The first bytes of a blob, at most `LARGEST`."""
    with subprocess.Popen(["git", "-C", str(mirror), "cat-file", "blob", blob], stdout=subprocess.PIPE) as process:
        data = process.stdout.read(LARGEST) if process.stdout is not None else b""
        if data:
            process.kill()  # the rest is not wanted
    if not data and process.returncode:
        raise subprocess.CalledProcessError(process.returncode, "git cat-file")
    return data


def declared(folder: Path) -> dict[str, str]:
    """What the folder states outright: `peft_version`, else its card."""
    found: dict[str, str] = {}
    try:
        card = (folder / "README.md").read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    except OSError:
        card = ""
    for package, said in card_statements(card).items():
        if said.manner == "exact" and not said.by_hand and package in PACKAGES:
            found[package] = said.version
    try:
        own = json.loads((folder / "adapter_config.json").read_bytes()).get("peft_version")
    except (OSError, ValueError, AttributeError):
        own = None
    return {**found, "peft": own} if isinstance(own, str) and own.strip() else found


def hide(folder: Path) -> None:
    """Take the statements away, and nothing that a program left without stating a version."""
    for card in folder.rglob("README.md"):
        card.unlink()
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return
    if isinstance(config, dict) and "peft_version" in config:
        path.write_text(json.dumps(config | {"peft_version": ""}), encoding="utf-8")


def forbidden(found: Inferred) -> int:
    """Proposals that a need of the family or a relation of the matrix rules out."""
    family = found.family.family if found.family.certainty == "exact" else None
    bad = 0
    for candidate in found.candidates:
        pins = candidate.pins
        needs = [] if family is None else [(name, one.versions) for name, one in family.requires.items()]
        needs += [] if family is None else [(one.package, one.versions) for one in found.family.needs]
        needs += [(one.other, one.needs) for one in load_matrix().relations
                  if one.package in pins and SpecifierSet(one.versions).contains(pins[one.package])]  # fmt: skip
        bad += any(
            name in pins
            and not SpecifierSet(wanted).contains(pins[name])
            and any(SpecifierSet(wanted).contains(one) for one in found.known[name].versions)
            for name, wanted in needs
        )
    return bad


def examine(folder: Path, name: str, tally: Tally, known: dict[str, Known]) -> None:
    tally.folders += 1
    truth = declared(folder)
    hide(folder)
    foreign = foreign_format(folder)
    tally.formats[foreign.id if foreign is not None else "peft"] += 1
    if foreign is not None and not (folder / "adapter_config.json").exists():
        return
    try:
        found = judge(observe(folder, search=False), known, load_support(), load_matrix())
    except EnvpinError as error:
        tally.refused[str(error.message).replace(str(folder), "…")[:80]] += 1
        return
    except Exception as error:  # noqa: BLE001  what is counted here
        tally.crashes += 1
        tally.misses.append(f"{name}: crashed: {type(error).__name__}: {str(error)[:100]}")
        return
    if foreign is not None:
        return
    tally.proposals += len(found.candidates)
    tally.forbidden += forbidden(found)
    for package, version in truth.items():
        meant, said = known[package].stated(version), found.ranges[package]
        if not meant:
            continue
        tally.told[package] += 1
        if said.known:
            tally.widths[package].append(len(known[package].minors(said.versions)))
        if meant & set(said.versions):
            tally.inside[package] += 1
        else:
            answer = known[package].describe(said.versions)
            tally.misses.append(f"{name}: declares {package} {version}, the answer is {answer}")


def half_of(name: str) -> str:
    return "held-out" if hashlib.sha256(name.encode()).digest()[0] % 2 else "seen"


def shown(half: str, tally: Tally) -> str:
    lines = [f"{half}: {tally.folders} folders, {tally.crashes} crashes, formats {dict(tally.formats)}"]
    for package in PACKAGES:
        widths = tally.widths[package]
        median = statistics.median(widths) if widths else "–"
        lines.append(
            f"  {package}: declared by {tally.told[package]}, inside {tally.inside[package]}, bounded {len(widths)}, "
            f"median width {median} minor releases"
        )
    lines.append(f"  proposals {tally.proposals}, forbidden by a need or a relation {tally.forbidden}")
    lines += [f"  refused {count}: {why}" for why, count in tally.refused.most_common(5)]
    return "\n".join(lines)


def scan_all(there: dict[str, Path]) -> str:
    """What `envpin scan` says of one tree with every folder of the list, in one line for each count."""
    with tempfile.TemporaryDirectory(prefix="envpin-wild-") as tree:
        for number, row in enumerate(LIST.read_text(encoding="utf-8").splitlines()[1:]):
            repository, commit, path = row.split("\t")
            if repository in there:
                take_out(there[repository], commit, path, Path(tree) / f"{number:03}-{repository.replace('/', '+')}")
        done = subprocess.run(
            [sys.executable, "-m", "envpin", "scan", tree, "--json"], check=False, capture_output=True, text=True
        )
    entries = json.loads(done.stdout)["entries"]
    counts = Counter(entry["kind"] for entry in entries)
    crashed = sum("envpin failed on it" in (entry.get("problem") or "") for entry in entries)
    uncompared = sum(bool(entry.get("not_compared")) for entry in entries)
    problems = Counter((entry.get("problem") or "").partition(",")[0] for entry in entries if entry.get("problem"))
    return "\n".join(
        [
            f"scan: exit status {done.returncode}, {len(entries)} entries {dict(counts)}, {crashed} crashes",
            f"  adapters not compared with a base: {uncompared}",
            *(f"  {count}: {problem[:90]}" for problem, count in problems.most_common(12)),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", type=Path, required=True)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--scan", action="store_true")
    parser.add_argument("--misses", choices=("seen", "held-out"), action="append", default=[])
    args = parser.parse_args()
    if not args.mirror.is_dir():
        parser.error(f"{args.mirror} is no folder of git directories")
    if args.list:
        LIST.parent.mkdir(exist_ok=True)
        rows = ["\t".join(one) for one in list_folders(args.mirror)]
        LIST.write_text("repository\tcommit\tfolder\n" + "\n".join(rows) + "\n", encoding="utf-8")
    known, there = known_releases(), mirrors(args.mirror)
    if args.scan:
        print(scan_all(there))
    tallies = {"seen": Tally(), "held-out": Tally()}
    absent = 0
    for row in LIST.read_text(encoding="utf-8").splitlines()[1:]:
        repository, commit, path = row.split("\t")
        if repository not in there:
            absent += 1
            continue
        folder = Path(tempfile.mkdtemp(prefix="envpin-wild-"))
        try:
            take_out(there[repository], commit, path, folder)
            examine(folder, f"{repository} {path}", tallies[half_of(repository)], known)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    for half, tally in tallies.items():
        print(shown(half, tally))
        if half in args.misses:
            print("\n".join(f"  miss: {line}" for line in tally.misses))
    if absent:
        print(f"{absent} folders of the list are of repositories that are not in {args.mirror}")


if __name__ == "__main__":
    main()
