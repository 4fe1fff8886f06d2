"""What the package index knows about every release, as collected by `envpin matrix collect`: read, ask, write.

The file is compact JSON that travels with envpin: facts are stored where they change, model types as the releases
where they appear and vanish. Nothing here was run; every answer is of grade `static`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from envpin.core.eras import COMPANION_DAYS
from envpin.core.errors import InputError
from envpin.core.files import read_bounded, read_head
from envpin.matrix.where import own_support_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SCHEMA = 2
_MAX_BYTES = 64_000_000  # what travels with envpin has 67 kB
_SHIPPED = Path(__file__).with_name("support.json")
Spans = tuple[tuple[int, int], ...]


class ReleaseFacts(NamedTuple):
    """One release. `requires` holds only what differs from the release before; an empty string ends a requirement.

    `fitting` are the peft and torch that went with it three weeks after it appeared.
    """

    version: str
    date: str
    yanked: bool = False
    requires: Mapping[str, str] = {}
    fitting: Mapping[str, str] = {}


class PeftFacts(NamedTuple):
    """One release of peft. `imports` are the names it needs from transformers to be imported at all."""

    version: str
    date: str
    yanked: bool = False
    imports: tuple[str, ...] = ()


class Support:
    """`transformers` and `peft` are in version order, without pre-releases.

    `model_types` maps a model type to spans `[first, last]` of positions in `transformers`, both inclusive; `names`
    does the same for what peft imports (`transformers.EncoderDecoderCache`, or a module). `torch` maps versions to
    dates.
    """

    def __init__(
        self,
        *,
        transformers: tuple[ReleaseFacts, ...],
        model_types: Mapping[str, Spans],
        peft: tuple[PeftFacts, ...] = (),
        names: Mapping[str, Spans] | None = None,
        torch: Mapping[str, str] | None = None,
    ) -> None:
        self.transformers = transformers
        self.model_types = model_types
        self.peft = peft
        self.names = names or {}
        self.torch = torch or {}

    @cached_property
    def positions(self) -> Mapping[str, int]:
        return {release.version: at for at, release in enumerate(self.transformers)}

    def knows(self, version: str, model_type: str) -> bool | None:
        """Whether that release of transformers knows the model type; None for a release that was not collected."""
        at = self.positions.get(version)
        if at is None:
            return None
        return within(at, self.model_types.get(model_type, ()))

    def window(self, model_type: str) -> tuple[str, str | None] | None:
        """First release, that was not yanked, and last that knows the type; the last is None where the newest does."""
        spans = self.model_types.get(model_type)
        if not spans:
            return None
        last = spans[-1][1]
        ended = last < len(self.transformers) - 1
        return self._installable(spans), self.transformers[last].version if ended else None

    def _installable(self, spans: Spans) -> str:
        """The first release inside that was not yanked: nobody gets a yanked one without naming it."""
        inside = (one for first, last in spans for one in self.transformers[first : last + 1])
        return next((one.version for one in inside if not one.yanked), self.transformers[spans[0][0]].version)

    def requirements(self, version: str) -> dict[str, str]:
        """What that release declares: package (or `python`) to specifier."""
        at = self.positions.get(version)
        found: dict[str, str] = {}
        for release in self.transformers[: 0 if at is None else at + 1]:
            found.update(release.requires)
        return {package: versions for package, versions in found.items() if versions}

    def date(self, version: str) -> str | None:
        """The day (`2024-07-23`) that release of transformers appeared."""
        at = self.positions.get(version)
        return None if at is None else self.transformers[at].date

    def day_after(self, packages: Mapping[str, str]) -> str | None:
        """A week after the newest of these releases (transformers, peft, torch) appeared, when their companions had
        too; None where one of them was not collected."""
        from datetime import date, timedelta

        known: dict[str, Mapping[str, str]] = {
            "transformers": {one.version: one.date for one in self.transformers},
            "peft": {one.version: one.date for one in self.peft},
            "torch": self.torch,
        }
        found = [known[name].get(version) for name, version in packages.items() if name in known]
        if not found or None in found:
            return None
        return (max(date.fromisoformat(one) for one in found if one) + timedelta(days=COMPANION_DAYS)).isoformat()

    def settled(self, version: str) -> str:
        """The last patch, not yanked, of the minor series of `version`: where its first mistakes are mended."""
        series = version.split(".")[:2]
        same = [one.version for one in self.transformers if one.version.split(".")[:2] == series and not one.yanked]
        return same[-1] if same else version

    @cached_property
    def collected(self) -> str:
        """The day of the newest release that was collected: nothing is known of what came after it."""
        dates = [*(one.date for one in self.transformers), *(one.date for one in self.peft), *self.torch.values()]
        return max((one for one in dates if one), default="")

    def newest(self) -> str:
        return next(release.version for release in reversed(self.transformers) if not release.yanked)

    def releases_inside(self, versions: str, package: str = "transformers") -> int:
        """How many releases that were not yanked a specifier lets in."""
        from packaging.specifiers import SpecifierSet

        wanted, known = SpecifierSet(versions), self.transformers if package == "transformers" else self.peft
        return sum(not one.yanked and wanted.contains(one.version) for one in known)

    def fitting(self, version: str) -> Mapping[str, str]:
        """The peft and torch of that release's own time, as far as there were any."""
        at = self.positions.get(version)
        return {} if at is None else self.transformers[at].fitting

    def missing_names(self, peft: PeftFacts, transformers: str) -> tuple[str, ...]:
        """What that peft imports and that transformers, as far as it was collected, does not have."""
        at = self.positions.get(transformers)
        if at is None:
            return ()
        return tuple(name for name in peft.imports if name in self.names and not within(at, self.names[name]))


def within(at: int, spans: Iterable[tuple[int, int]]) -> bool:
    return any(first <= at <= last for first, last in spans)


def spans_of(present: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    """The runs of true values, as inclusive positions."""
    found: list[tuple[int, int]] = []
    for at, here in enumerate(present):
        if here and found and found[-1][1] == at - 1:
            found[-1] = (found[-1][0], at)
        elif here:
            found.append((at, at))
    return tuple(found)


def load_support(path: Path | None = None) -> Support:
    """Read what was collected: from `path`, or the newer of what travels with envpin and what the user collected.

    Raises:
        InputError: the file is missing or is not what `matrix collect` writes.
    """
    own = own_support_path() if path is None else None
    if own is not None and _count(own) > _count(_SHIPPED):
        try:
            return load_support(own)
        except InputError:
            pass  # what travels with envpin is right, if older
    source = _SHIPPED if path is None else path
    try:
        document = json.loads(read_bounded(source, _MAX_BYTES))
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']}, and this envpin reads {SCHEMA}")
        return _support_of(document)
    except OSError as error:
        raise InputError(
            f"`{source}` cannot be read: {error.strerror}", path=source, hint="envpin matrix collect"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else error
        raise InputError(
            f"`{source}` is not collected support data: {reason}", path=source, hint="envpin matrix collect"
        ) from error


def _count(path: Path) -> int:
    """How many releases of transformers a file says to hold, from its first bytes; 0 where there is no such file."""
    try:
        beginning = read_head(path, 64)
    except OSError:
        return 0
    found = beginning.partition(b'"releases":')[2].partition(b",")[0]
    return int(found) if found.isdigit() else 0


def _support_of(document: dict[str, Any]) -> Support:
    """Raises: ValueError, TypeError, KeyError, AttributeError: the document is something else."""
    releases = tuple(
        ReleaseFacts(
            version=one["version"],
            date=one["date"],
            yanked=one.get("yanked", False),
            requires=one.get("requires", {}),
            fitting=one.get("fitting", {}),
        )
        for one in document["transformers"]
    )
    peft = tuple(
        PeftFacts(
            version=one["version"], date=one["date"], yanked=one.get("yanked", False),
            imports=tuple(one.get("imports", ())),
        )
        for one in document["peft"]
    )  # fmt: skip
    newest = len(releases) - 1
    return Support(
        transformers=releases,
        model_types=_Written(document["model_types"], newest),
        peft=peft,
        names=_Written(document["names"], newest),
        torch=dict(document["torch"]),
    )


class _Written(Mapping[str, Spans]):
    """Spans as the file has them, `[first]` for one that lasts to the newest release; closed when they are asked for.

    Raises: ValueError, TypeError, AttributeError: they name releases that are not there, or are no spans.
    """

    def __init__(self, spans: dict[str, list[list[int]]], newest: int) -> None:
        self._spans, self._newest = spans, newest
        positions = [at for written in spans.values() for span in written for at in span]
        if positions and not 0 <= min(positions) <= max(positions) <= newest:
            raise ValueError("it names releases that it does not list")

    def __getitem__(self, name: str) -> Spans:
        return tuple((span[0], span[1] if len(span) > 1 else self._newest) for span in self._spans[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)


def encode_support(support: Support) -> bytes:
    """The file: one line per release and per model type, so that a change reads well in a diff.

    A span that lasts to the newest release is written without its end: a new release then adds a line and changes none.
    """
    newest = len(support.transformers) - 1

    def lines(items: Iterable[str], opening: str, closing: str) -> str:
        return opening + "\n" + ",\n".join(items) + "\n" + closing

    def table(values: Mapping[str, Spans]) -> str:
        opened = {
            name: [[first] if last == newest else [first, last] for first, last in spans]
            for name, spans in sorted(values.items())
        }
        return lines((f"{_json(name)}:{_json(spans)}" for name, spans in opened.items()), "{", "}")

    parts = [
        f'"schema":{SCHEMA},"releases":{len(support.transformers)}',
        '"transformers":' + lines(map(_release_line, support.transformers), "[", "]"),
        '"model_types":' + table(support.model_types),
        '"peft":' + lines(map(_release_line, support.peft), "[", "]"),
        '"names":' + table(support.names),
        '"torch":' + _json(support.torch),
    ]
    return ("{" + ",\n".join(parts) + "}\n").encode()


def _release_line(facts: ReleaseFacts | PeftFacts) -> str:
    return _json({name: value for name, value in facts._asdict().items() if value})


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def shipped_path() -> Path:
    """Where the collected data of this installation is."""
    return _SHIPPED
