"""The part of `matrix lint` that asks the index and uv: do the pins exist, were they yanked, do they resolve?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from envpin.core.errors import ResolutionError
from envpin.core.events import Step, ignore
from envpin.core.sizes import counted
from envpin.envs.uv.command import find_uv
from envpin.evidence.lint import distinct_pins

if TYPE_CHECKING:
    from envpin.core.events import Listener
    from envpin.matrix.types import Matrix
    from envpin.remote.index import Index


def lint_online(matrix: Matrix, index: Index, *, listener: Listener = ignore, jobs: int = 2) -> list[str]:
    """Every pin that the index does not have or that was yanked, and every tuple that uv cannot resolve.

    Raises:
        NetworkError, InputError: the index does not answer.
        NoInterpreterError: no Python of a wanted version is installed; uv needs one to resolve for it.
    """
    problems: list[str] = []
    pins = distinct_pins(matrix)
    wanted: dict[str, set[str]] = {}
    for _python, _date, lines in pins:
        for line in lines:
            package, _, version = line.partition("==")
            wanted.setdefault(package, set()).add(version)
    for package, versions in sorted(wanted.items()):
        existing = {one.version: one for one in index.releases(package)}
        for version in sorted(versions):
            if version not in existing:
                problems.append(f"known_good: {package} {version} is not on the index")
            elif existing[version].yanked:
                problems.append(f"known_good: {package} {version} was yanked: {existing[version].yanked_reason}")
    uv = find_uv()

    def resolve(item: tuple[tuple[str, str, tuple[str, ...]], list[str]]) -> str | None:
        (python, date, lines), families = item
        title = f"resolve {', '.join(lines)} at {date}"
        listener(Step(key=",".join(lines), title=title))
        try:
            uv.compile(lines, python=python, exclude_newer=date if "T" in date else f"{date}T00:00:00Z")
        except ResolutionError as error:
            listener(Step(key=",".join(lines), title=title, state="failed"))
            return f"known_good of {', '.join(families)}: {error.message}"
        listener(Step(key=",".join(lines), title=title, state="done", detail=counted(len(families), "family")))
        return None

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        problems += [line for line in pool.map(resolve, pins.items()) if line is not None]
    return problems
