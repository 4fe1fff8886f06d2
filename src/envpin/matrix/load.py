"""Reads `compat_matrix.toml`: parse, convert, check what types cannot say. Every problem is reported at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from envpin.core.errors import InputError
from envpin.core.files import digest, read_bounded, write_cache
from envpin.core.resources import cache_path, data_path
from envpin.core.sizes import counted
from envpin.core.text_input import plain
from envpin.core.toml_input import BadTomlError, parse_toml
from envpin.core.typed_json import NOT_OF_ITS_SHAPE
from envpin.matrix.convert import FILLED, join, problems_of
from envpin.matrix.types import SCHEMA, Break, Condition, Family, KnownGood, Matrix, Sign
from envpin.matrix.where import MATRIX_BYTES, overlay_path
from envpin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from pathlib import Path

# Changes whenever what is kept, or what is checked before it is kept, changes.
_CACHE_KEY = f"envpin {__version__} schema {SCHEMA} revision 5\n".encode()
_ID = re.compile(r"[a-z0-9][a-z0-9.+_-]*")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}Z)?")
_PACKAGE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LOCK_STEM = re.compile(r"[A-Za-z0-9_-]+")
_TESTS = ("equals", "one_of", "at_least", "at_most", "present", "version_at_least", "version_below")


def load_matrix(path: Path | None = None) -> Matrix:
    """Read the matrix at `path`, or the one that travels with envpin, with the user's own overlay on top.

    Raises:
        InputError: a file cannot be read, is not TOML, or breaks the schema; every problem with its path.
    """
    source = data_path("compat_matrix.toml") if path is None else path
    overlay = overlay_path() if path is None else None
    data = _read(source)
    extra = None if overlay is None else _read(overlay)
    of_overlay = b"" if extra is None else f"\0{overlay}\0".encode() + extra
    kept = cache_path() / "matrix" / f"{digest(_CACHE_KEY + data + of_overlay)}.msgpack"
    try:
        return msgspec.msgpack.decode(kept.read_bytes(), type=Matrix)
    except (OSError, *NOT_OF_ITS_SHAPE):
        pass
    matrix = parse_matrix(_text(data, source), source=str(source))
    if extra is not None:
        matrix = parse_matrix(_text(extra, overlay), source=str(overlay), on_top_of=matrix)
    _keep(kept, matrix)
    return matrix


def _read(source: Path) -> bytes:
    try:
        return read_bounded(source, MATRIX_BYTES)
    except OSError as error:
        raise InputError(f"`{source}` cannot be read: {error.strerror}", path=source) from error


def _text(data: bytes, source: Path | None) -> str:
    try:
        return plain(data, strict=True)
    except UnicodeDecodeError as error:
        raise InputError(f"`{source}` is not text: byte {error.start} is not {error.encoding}", path=source) from error


def _keep(path: Path, matrix: Matrix) -> None:
    """Remember a matrix that was read and found right: parsing TOML costs more than everything else `resolve` does."""
    write_cache(path, msgspec.msgpack.encode(matrix))


def parse_matrix(text: str, *, source: str = "compat_matrix.toml", on_top_of: Matrix | None = None) -> Matrix:
    """The matrix that `text` holds, or `on_top_of` with the families, breaks and relations of `text` put over it.

    Raises:
        InputError: as `load_matrix`.
    """
    try:
        document = parse_toml(text)
    except BadTomlError as error:
        raise InputError(f"`{source}` is not TOML: {error}", path=source) from error
    return convert_matrix(document, source=source, on_top_of=on_top_of)


def convert_matrix(document: dict[str, object], *, source: str, on_top_of: Matrix | None = None) -> Matrix:
    """The typed matrix of a parsed document, as `parse_matrix`.

    Raises:
        InputError: as `load_matrix`.
    """
    try:
        matrix = msgspec.convert(document, Matrix)
    except msgspec.ValidationError:
        raise _broken(source, problems_of(document, Matrix)) from None
    if _sets_what_is_filled(document):
        raise _broken(source, problems_of(document, Matrix))
    families = {key: msgspec.structs.replace(family, id=key) for key, family in matrix.families.items()}
    breaks = {key: msgspec.structs.replace(entry, id=key) for key, entry in matrix.breaks.items()}
    matrix = msgspec.structs.replace(matrix, families=families, breaks=breaks)
    problems = [*_check(matrix, known_breaks={*breaks, *(on_top_of.breaks if on_top_of else ())})]
    if problems:
        raise _broken(source, problems)
    if on_top_of is None:
        return matrix
    return msgspec.structs.replace(
        on_top_of,
        families={**on_top_of.families, **families},
        types={**on_top_of.types, **matrix.types},
        breaks={**on_top_of.breaks, **breaks},
        relations=(*on_top_of.relations, *matrix.relations),
        overlay=source,
        overlaid=tuple(families),
    )


def _sets_what_is_filled(document: dict[str, Any]) -> bool:
    """Whether a file has one of the fields that only reading it may set."""
    tables = [document, *document.get("families", {}).values(), *document.get("breaks", {}).values()]
    return any(FILLED & table.keys() for table in tables)


def _broken(source: str, problems: list[str]) -> InputError:
    count = counted(len(problems), "problem")
    return InputError(f"`{source}` is not a compatibility matrix: {count}", path=source, problems=problems)


def _check(matrix: Matrix, *, known_breaks: AbstractSet[str]) -> Iterator[str]:
    if matrix.schema != SCHEMA:
        yield f"schema: this envpin reads {SCHEMA}, not {matrix.schema}"
    for key, family in matrix.families.items():
        at = join("families", key)
        if not _ID.fullmatch(key):
            yield f"{at}: an id has lower-case letters, digits and . + _ - only"
        yield from _check_family(family, at, known_breaks)
    for key, named in matrix.types.items():
        for index, pattern in enumerate(named.names):
            yield from _check_pattern(pattern, f"{join('types', key)}.names[{index}]")
        if named.kind != "native" and named.note is None:
            yield f"{join('types', key)}: a type that is not native says in note what follows"
    for key, entry in matrix.breaks.items():
        yield from _check_break(entry, join("breaks", key))
    for at_index, relation in enumerate(matrix.relations):
        at = f"relations[{at_index}]"
        yield from _check_specifier(relation.versions, f"{at}.versions")
        yield from _check_specifier(relation.needs, f"{at}.needs")


def _check_family(family: Family, at: str, known_breaks: AbstractSet[str]) -> Iterator[str]:
    for package, requirement in family.requires.items():
        yield from _check_package(package, f"{at}.requires")
        yield from _check_specifier(requirement.versions, join(f"{at}.requires", package))
    for index, condition in enumerate(family.conditions):
        yield from _check_condition(condition, f"{at}.conditions[{index}]")
    for index, good in enumerate(family.known_good):
        yield from _check_known_good(good, f"{at}.known_good[{index}]")
    for index, statement in enumerate(family.support):
        yield from _check_package(statement.package, f"{at}.support[{index}].package")
        yield from _check_specifier(statement.versions, f"{at}.support[{index}].versions")
    if not family.known_good and family.unpinnable is None:
        yield f"{at}: a family without known_good says why in unpinnable"
    for index, pattern in enumerate(family.match.names):
        yield from _check_pattern(pattern, f"{at}.match.names[{index}]")
    for where in ("require", "decisive", "support"):
        for index, sign in enumerate(getattr(family.match, where)):
            yield from _check_sign(sign, f"{at}.match.{where}[{index}]")
    for index, name in enumerate(family.breaks):
        if name not in known_breaks:
            yield f"{at}.breaks[{index}]: there is no break `{name}`"


def _check_condition(condition: Condition, at: str) -> Iterator[str]:
    yield from _check_package(condition.package, f"{at}.package")
    yield from _check_specifier(condition.versions, f"{at}.versions")
    if not condition.when:
        yield f"{at}.when: is empty; what holds for every model is a requirement"
    for index, sign in enumerate(condition.when):
        yield from _check_sign(sign, f"{at}.when[{index}]")
    for index, pattern in enumerate(condition.names):
        yield from _check_pattern(pattern, f"{at}.names[{index}]")


def _check_known_good(good: KnownGood, at: str) -> Iterator[str]:
    if not re.fullmatch(r"3\.\d+", good.python):
        yield f"{at}.python: '{good.python}' is not a Python minor version such as 3.11"
    if not _DATE.fullmatch(good.exclude_newer):
        yield f"{at}.exclude_newer: '{good.exclude_newer}' is not a date such as 2024-08-01"
    if good.lock is not None and not _LOCK_STEM.fullmatch(good.lock):
        yield f"{at}.lock: '{good.lock}' is not a lock name (letters, digits, _ and -)"
    for package, version in good.packages.items():
        yield from _check_package(package, f"{at}.packages")
        yield from _check_version(version, join(f"{at}.packages", package))


def _check_break(entry: Break, at: str) -> Iterator[str]:
    yield from _check_specifier(entry.versions, f"{at}.versions")
    if entry.symptom is None:
        if not entry.silent:
            yield f"{at}.symptom: is missing; a break without one is `silent = true`"
        return
    broken = [*_check_pattern(entry.symptom, f"{at}.symptom")]
    yield from broken
    if entry.sample is None:
        yield f"{at}.sample: is missing; a symptom comes with a text that it matches"
    elif not broken and not re.search(entry.symptom, entry.sample):
        yield f"{at}.symptom: does not match its own sample"


def _check_sign(sign: Sign, at: str) -> Iterator[str]:
    given = [name for name in _TESTS if getattr(sign, name) is not None]
    if len(given) != 1:
        yield f"{at}: has {counted(len(given), 'test')}; exactly one of {', '.join(_TESTS)} is needed"
    for name in ("version_at_least", "version_below"):
        if name in given:
            yield from _check_version(getattr(sign, name), f"{at}.{name}")


def _check_package(name: str, at: str) -> Iterator[str]:
    if not _PACKAGE.fullmatch(name):
        yield f"{join(at, name)}: is not a normalized package name"


def _check_specifier(text: str, at: str) -> Iterator[str]:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        yield f"{at}: '{text}' is not a version specifier"


def _check_version(text: str, at: str) -> Iterator[str]:
    from packaging.version import InvalidVersion, Version

    try:
        Version(text)
    except InvalidVersion:
        yield f"{at}: '{text}' is not a version"


def _check_pattern(text: str, at: str) -> Iterator[str]:
    try:
        re.compile(text)
    except re.error as error:
        yield f"{at}: is not a regular expression: {error}"
