"""`matrix collect --stack`: what every release of the tools since 2024 lists and needs, from the index alone.

Metadata comes from where the index serves it (PEP 658), registries from a few members of each wheel by range request;
nothing is installed or run. Packages without wheels are read in their source distributions.
"""

from __future__ import annotations

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from envpin.core.errors import InputError
from envpin.core.events import Note, Progress, Step, ignore
from envpin.core.files import digest
from envpin.core.sizes import counted
from envpin.core.torch_builds import FOLLOWERS
from envpin.evidence.stack import metadata, registries
from envpin.evidence.stack.metadata import read_source, windows_of
from envpin.evidence.stack.registries import RECIPES
from envpin.matrix.stack import Stack, Tool, ToolRelease, registry_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from envpin.core.events import Listener
    from envpin.evidence.stack.registries import Registry
    from envpin.remote.index import Index, Release, ReleaseFile

SINCE = "2024-01-01"
TRAINERS = ("trl", "accelerate", "datasets", "bitsandbytes", "torchao", "deepspeed", "liger-kernel", "unsloth",
            "axolotl", "llamafactory", "ms-swift", "autotrain-advanced", "torchtune")  # fmt: skip
SERVERS = ("vllm", "sglang", "lmdeploy", "mlx-lm", "exllamav3", "ctranslate2", "gguf", "optimum-onnx")
QUANTIZERS = ("gptqmodel", "compressed-tensors")
# torch is asked for its CUDA, also that of the releases which pins of older families name.
COLLECTED: Mapping[str, str] = {
    **dict.fromkeys((*TRAINERS, *SERVERS, *QUANTIZERS, *FOLLOWERS, "peft", "transformers"), SINCE),
    "torch": "2022-06-01",
}  # fmt: skip
_NOTHING = re.compile(r"(?!)")
# What was made of a file is made again when the code that made it is another.
_REVISION = digest(b"".join(Path(str(one)).read_bytes() for one in (metadata.__file__, registries.__file__, __file__)))
# Name, CRC and size of a member: releases share most of theirs, and each is read once.
_Known = dict[tuple[str, str, int, int], "frozenset[str]"]


class _Job(NamedTuple):
    package: str
    release: Release


def collect_stack(
    index: Index, *, jobs: int = 8, listener: Listener = ignore, packages: Iterable[str] = COLLECTED
) -> Stack:
    """Read every release since 2024. What was read before comes from the cache of `index`.

    Releases that cannot be read are left out with a warning.

    Raises:
        NetworkError, InputError: the index itself does not answer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=SyntaxWarning)  # of the sources that are read, not of ours
        warnings.simplefilter("ignore", category=DeprecationWarning)
        return _collect(index, tuple(packages), jobs, listener)


def _collect(index: Index, packages: Sequence[str], jobs: int, listener: Listener) -> Stack:
    title = f"read the releases of {counted(len(packages), 'package')} since {SINCE[:4]}"
    listener(Step(key="stack", title=title))
    known: _Known = {}

    def attempt(job: _Job) -> tuple[ToolRelease, dict[str, list[str]]] | str:
        try:
            return _read(index, job, known)
        except (InputError, ValueError, SyntaxError) as error:
            return f"{job.package} {job.release.version} cannot be read: {error}"

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        pages = pool.map(lambda name: [_Job(name, one) for one in _recent(index, name)], packages)
        wanted = [job for page in pages for job in page]
        found: dict[str, list[tuple[ToolRelease, dict[str, list[str]]]]] = {name: [] for name in packages}
        for at, (job, read) in enumerate(zip(wanted, pool.map(attempt, wanted), strict=True), start=1):
            listener(Progress(key="stack", done=at, total=len(wanted), unit="releases", label=job.package))
            if isinstance(read, str):
                listener(Note(message=read, level="warning"))
            else:
                found[job.package].append(read)
    count = sum(map(len, found.values()))
    listener(Step(key="stack", title=title, state="done", detail=f"{count} read"))
    return Stack({name: _tool(name, read) for name, read in found.items()})


def _recent(index: Index, package: str) -> list[Release]:
    since = COLLECTED.get(package, SINCE)
    return [
        one for one in index.releases(package)
        if not one.is_prerelease and one.files and one.uploaded is not None and one.uploaded.date().isoformat() >= since
    ]  # fmt: skip


def _tool(name: str, read: Sequence[tuple[ToolRelease, dict[str, list[str]]]]) -> Tool:
    recipes = RECIPES.get(name, ())
    listed = [tables for release, tables in read if not release.unread]
    tables = {one.kind: registry_of([each.get(one.kind, ()) for each in listed]) for one in recipes}
    return Tool(name, [release for release, _ in read], tables)


def _read(index: Index, job: _Job, known: _Known) -> tuple[ToolRelease, dict[str, list[str]]]:
    """Raises: InputError, ValueError, SyntaxError: the files of the release are not what they should be."""
    release, recipes = job.release, RECIPES.get(job.package, ())
    wheel, source = release.linux_wheel, release.source
    file = wheel or source
    if file is None:
        raise InputError("it has neither a wheel nor a source distribution")
    facts = index.remembered(
        file, _REVISION,
        lambda: _of_wheel(index, file, recipes, known) if wheel else _of_source(index, file, recipes),
    )  # fmt: skip
    requires = dict(facts["requires"])
    if "python" not in requires and release.requires_python:
        requires["python"] = release.requires_python
    return ToolRelease(
        version=release.version,
        date=release.uploaded.date().isoformat() if release.uploaded else "",
        yanked=release.yanked,
        source=wheel is None,
        unread=bool(recipes) and not facts["listed"].get(recipes[0].kind),
        cuda=facts["cuda"],
        requires=requires,
        optional=facts["optional"],
    ), facts["listed"]


def _of_wheel(index: Index, file: ReleaseFile, recipes: Sequence[Registry], known: _Known) -> dict[str, Any]:
    if not recipes:
        return {**windows_of(index.metadata(file))._asdict(), "listed": {}}
    listed: dict[str, list[str]] = {}
    with index.wheel(file) as contents:
        own = next((one for one in contents.names if one.endswith(".dist-info/METADATA")), "")
        prints = {
            recipe.kind: [contents.fingerprint(one) for one in contents.names if recipe.members.fullmatch(one)]
            for recipe in recipes
        }
        missing = {one[0] for kind, found in prints.items() for one in found if (kind, *one) not in known}
        sources = contents.read([own, *sorted(missing)])
        for recipe in recipes:
            for one in prints[recipe.kind]:
                if one[0] in sources and (recipe.kind, *one) not in known:
                    known[recipe.kind, *one] = frozenset(recipe.parse(one[0], sources[one[0]]))
            listed[recipe.kind] = sorted(
                frozenset[str]().union(*(known[recipe.kind, *one] for one in prints[recipe.kind]))
            )
    return {**windows_of(sources.get(own, b""))._asdict(), "listed": listed}


def _of_source(index: Index, file: ReleaseFile, recipes: Sequence[Registry]) -> dict[str, Any]:
    wanted = re.compile("|".join(f"(?:{one.members.pattern})" for one in recipes)) if recipes else _NOTHING
    found = read_source(file.filename, index.whole(file), wanted)
    listed = {
        recipe.kind: sorted(
            {name for path, data in found.members.items() if recipe.members.fullmatch(path)
             for name in recipe.parse(path, data)}
        )
        for recipe in recipes
    }  # fmt: skip
    return {**found.windows._asdict(), "listed": listed}
