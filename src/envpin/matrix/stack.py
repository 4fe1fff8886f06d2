"""What the index says of every release of the tools around a model: trainers, servers, quantizers.

`matrix collect --stack` writes it (`envpin.evidence.stack`); this module owns the file and reads it, and only where it
is asked for: a plain `matrix resolve` does for quantized weights alone. Absence is not silence: a tool whose registry
was read and does not list a model does not know it, one without a registry says nothing.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.version import Version

from envpin.core.errors import InputError
from envpin.matrix.support import Spans, spans_of, within
from envpin.matrix.where import own_stack_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

SCHEMA = 1
_SHIPPED = Path(__file__).with_name("stack.json")
_HINT = "envpin matrix collect --stack"
# How engines call the method that a config calls so.
METHODS: Mapping[str, tuple[str, ...]] = {
    "gptq": ("gptq", "auto_gptq", "gptq_marlin"),
    "awq": ("awq", "auto_awq", "awq_marlin"),
    "mxfp4": ("mxfp4", "gpt_oss_mxfp4"),
    "bitsandbytes": ("bitsandbytes", "bitsandbytes_4bit"),
    "modelopt": ("modelopt", "modelopt_fp8", "modelopt_fp4"),
    "auto-round": ("auto-round", "auto_round"),
}


class ToolRelease(NamedTuple):
    """One release. `requires` maps packages (and `python`) to what its metadata declares for Linux on x86-64, and
    `optional` to what one of its extras declares. `cuda` is the CUDA that its wheel brings. `source` says that it has
    no wheels; `unread` that its registry could not be read, so that nothing is known of what it lists."""

    version: str
    date: str
    yanked: bool = False
    source: bool = False
    unread: bool = False
    cuda: str | None = None
    requires: Mapping[str, str] = {}
    optional: Mapping[str, str] = {}


class Tool:
    """The releases of one package since 2024, in version order, without pre-releases.

    `registries` maps a kind (`architectures`, `model_types`, `repositories`, …) to names and their spans of positions
    in `read`: the releases whose registry was read.
    """

    def __init__(
        self, name: str, releases: Sequence[ToolRelease], registries: Mapping[str, Mapping[str, Spans]] | None = None
    ) -> None:
        self.name = name
        self.releases = tuple(releases)
        self.registries = registries or {}

    @cached_property
    def read(self) -> tuple[ToolRelease, ...]:
        return tuple(one for one in self.releases if not one.unread)

    def release(self, version: str) -> ToolRelease | None:
        return next((one for one in self.releases if one.version == version), None)

    def lists(self, kind: str, name: str, version: str) -> bool | None:
        """Whether that release lists the name; None where its registry was not read."""
        at = next((at for at, one in enumerate(self.read) if one.version == version), None)
        if at is None or kind not in self.registries:
            return None
        return within(at, self.registries[kind].get(name, ()))

    def listing(self, kind: str, names: Iterable[str]) -> tuple[ToolRelease, ...]:
        """The releases that list one of the names, yanked ones left out."""
        spans = [span for name in names for span in self.registries.get(kind, {}).get(name, ())]
        return tuple(one for at, one in enumerate(self.read) if not one.yanked and within(at, spans))

    def torch_of(self, version: str) -> str | None:
        """The versions of torch that a release goes with: those that it declares; where it declares none, as
        torchaudio 2.11.0, those of the release after it, which came from the same sources. None where nothing says."""
        after = [one for one in self.releases if Version(one.version) >= Version(version)]
        if not after or after[0].version != version:
            return None
        return next((one.requires["torch"] for one in after[:2] if "torch" in one.requires), None)

    def current_at(self, day: str) -> ToolRelease | None:
        """The newest release that had appeared by that day and was not yanked; the first one where none had."""
        usable = [one for one in self.releases if not one.yanked]
        before = [one for one in usable if one.date <= day]
        return before[-1] if before else usable[0] if usable else None


class Stack:
    """Every collected tool by its name on the index. `collected` is the day of the newest release among them."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self.tools = tools

    @cached_property
    def collected(self) -> str:
        return max((one.date for tool in self.tools.values() for one in tool.releases), default="")


def load_stack(path: Path | None = None) -> Stack:
    """Read what was collected: from `path`, or the newer of what travels with envpin and what the user collected.

    Raises:
        InputError: the file is missing or is not what `matrix collect --stack` writes.
    """
    if path is None:
        shipped, own = _load(_SHIPPED), own_stack_path()
        if own is None or not own.is_file():
            return shipped
        try:
            found = _load(own)
        except InputError:
            return shipped  # what travels with envpin is right, if older
        return found if found.collected > shipped.collected else shipped
    return _load(path)


def _load(source: Path) -> Stack:
    try:
        document = json.loads(source.read_bytes())
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']}, and this envpin reads {SCHEMA}")
        return Stack(_Tools(document["tools"]))
    except OSError as error:
        raise InputError(f"`{source}` cannot be read: {error.strerror}", path=source, hint=_HINT) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else error
        raise InputError(f"`{source}` is not collected data of tools: {reason}", path=source, hint=_HINT) from error


class _Tools(dict[str, Tool]):
    """Tools as the file has them; each is checked and made when it is read.

    Raises: ValueError, TypeError, KeyError, AttributeError: the document is something else.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__({name: _tool_of(name, body) for name, body in document.items()})


def _tool_of(name: str, body: Mapping[str, Any]) -> Tool:
    releases: list[ToolRelease] = []
    held: dict[str, dict[str, str]] = {"requires": {}, "optional": {}}
    for one in body["releases"]:
        for key, known in held.items():
            changed = one.get(key)
            if changed:
                merged = {**known, **changed}
                held[key] = {package: versions for package, versions in merged.items() if versions is not None}
        releases.append(
            ToolRelease(
                version=one["version"], date=one["date"], yanked=one.get("yanked", False),
                source=one.get("source", False), unread=one.get("unread", False), cuda=one.get("cuda"),
                requires=held["requires"], optional=held["optional"],
            )
        )  # fmt: skip
    newest = sum(not one.unread for one in releases) - 1
    registries = {kind: _opened(names, newest) for kind, names in body.get("registries", {}).items()}
    return Tool(name, releases, registries)


def _opened(names: Mapping[str, Sequence[Sequence[int]]], newest: int) -> dict[str, Spans]:
    found = {
        name: tuple((span[0], span[1] if len(span) > 1 else newest) for span in spans) for name, spans in names.items()
    }
    if any(not 0 <= first <= last <= newest for spans in found.values() for first, last in spans):
        raise ValueError("it names releases that it does not list")
    return found


def encode_stack(stack: Stack) -> bytes:
    """The file: one line per release and per listed name, so that a change reads well in a diff.

    Of `requires` only what differs from the release before is written, null where it ended; a span that lasts to the
    newest release is written without its end.
    """
    tools = (f"{_json(name)}:{_tool_text(stack.tools[name])}" for name in sorted(stack.tools))
    return (
        f'{{"schema":{SCHEMA},"collected":{_json(stack.collected)},\n"tools":{{\n' + ",\n".join(tools) + "}}\n"
    ).encode()


def _tool_text(tool: Tool) -> str:
    newest = len(tool.read) - 1
    text = '{"releases":[\n' + ",\n".join(_release_lines(tool.releases)) + "]"
    if tool.registries:
        text += (
            ',\n"registries":{'
            + ",\n".join(
                f"{_json(kind)}:{{\n" + ",\n".join(_registry_lines(names, newest)) + "}"
                for kind, names in sorted(tool.registries.items())
            )
            + "}"
        )
    return text + "}"


def _release_lines(releases: Iterable[ToolRelease]) -> Iterator[str]:
    before = ToolRelease(version="", date="")
    for one in releases:
        written = {name: value for name, value in one._asdict().items() if value}
        for key in ("requires", "optional"):
            was, now = getattr(before, key), getattr(one, key)
            changed = {name: now.get(name) for name in sorted({*was, *now}) if was.get(name) != now.get(name)}
            written.pop(key, None)
            if changed:
                written[key] = changed
        before = one
        yield _json(written)


def _registry_lines(names: Mapping[str, Spans], newest: int) -> Iterator[str]:
    for name, spans in sorted(names.items()):
        opened = [[first] if last == newest else [first, last] for first, last in spans]
        yield f"{_json(name)}:{_json(opened)}"


def registry_of(read: Sequence[Iterable[str]]) -> dict[str, Spans]:
    """Names to spans, from what each release that was read lists."""
    sets = [frozenset(one) for one in read]
    return {name: spans_of([name in one for one in sets]) for name in sorted(frozenset[str]().union(*sets))}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def shipped_stack_path() -> Path:
    """Where the collected data of this installation is."""
    return _SHIPPED
