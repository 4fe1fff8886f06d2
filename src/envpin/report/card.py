"""The model card's section and metadata, written between markers: everything else in a card stays as it is.

The card is read by huggingface_hub's ModelCard, a library that knows its form; only lines that are missing are added
to its metadata, so that comments, order and spelling of a foreign card survive (docs/adr/0070).
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from envpin.core.errors import InputError
from envpin.core.hub_id import is_hub_id
from envpin.core.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.manifest.types import Manifest
    from envpin.replay.record import InputFolder, MergeRecord

BEGIN = "<!-- envpin: begin -->"
END = "<!-- envpin: end -->"
FILE_NAME = "README.md"
_LONGEST_METADATA, _DEEPEST = 100_000, 50
_METADATA = re.compile(r"\A(\s*---[ \t]*\r?\n)(.*?)(?<=\n)(---[ \t]*(?:\r?\n|\Z))", re.DOTALL)


class CardPart(NamedTuple):
    """What envpin says in a card: its title where the card is new, the lines of its section, and its metadata."""

    title: str
    section: tuple[str, ...]
    metadata: Mapping[str, object]


class UpdatedCard(NamedTuple):
    """`kept` names metadata that says something else than envpin would, and was left as it is."""

    text: str
    kept: tuple[str, ...]


def update_card(text: str | None, part: CardPart) -> UpdatedCard:
    """The card with envpin's section in it, replaced where it is there already. None: there is no card yet.

    Raises:
        InputError: the markers or the metadata of the card cannot be read.
    """
    newline = "\r\n" if text is not None and "\r\n" in text else "\n"
    block = newline.join([BEGIN, *part.section, END])
    body = f"# {part.title}{newline}" if text is None else text
    found = (body.count(BEGIN), body.count(END))
    if found == (0, 0):
        gap = "" if not body or body.endswith(newline * 2) else newline if body.endswith(newline) else newline * 2
        body = f"{body}{gap}{block}{newline}"
    elif found == (1, 1) and body.index(BEGIN) < body.index(END):
        body = body[: body.index(BEGIN)] + block + body[body.index(END) + len(END) :]
    else:
        raise InputError(
            f"the card's markers are not one `{BEGIN}` before one `{END}`",
            hint="remove them; the section is written anew",
        )
    return _with_metadata(body, part.metadata, newline)


def _with_metadata(text: str, wanted: Mapping[str, object], newline: str) -> UpdatedCard:
    held = _metadata_of(text)
    missing = {key: value for key, value in wanted.items() if key not in held}
    kept = tuple(key for key, value in wanted.items() if key in held and not _says(held[key], value))
    if not missing:
        return UpdatedCard(text, kept)
    lines = _yaml(missing, newline)
    match = _METADATA.match(text)
    if match is None:
        changed = f"---{newline}{lines}---{newline}{newline}{text}"
    else:
        changed = match[1] + match[2] + lines + match[3] + text[match.end() :]
    if _metadata_of(changed) != {**held, **missing}:
        raise InputError("the card's metadata cannot be extended by lines", hint=f"add them by hand: {lines.strip()}")
    return UpdatedCard(changed, kept)


def _says(held: object, wanted: object) -> bool:
    """One base may be written as a word or as a list of one."""
    if isinstance(held, list) and isinstance(wanted, list):
        return all(one in held for one in wanted)
    return held in (wanted, [wanted])


def _metadata_of(text: str) -> dict[str, Any]:
    from envpin.remote.hub.faults import library

    match = _METADATA.match(text)
    if match is None:
        return {}
    _refuse_endless(match[2])
    try:
        read: dict[str, Any] = library().ModelCard(text, ignore_metadata_errors=True).data.to_dict()
    except Exception as error:
        # yaml's errors, and ValueError where it is no object.
        raise InputError(f"the card's metadata cannot be read: {str(error).partition(chr(10))[0]}") from error
    return read


def _refuse_endless(metadata: str) -> None:
    """An alias of YAML makes a few lines a value without end: one that holds itself, or each line the one before it
    ten times."""
    if len(metadata) > _LONGEST_METADATA:
        raise InputError(f"the card's metadata has more than the {_LONGEST_METADATA:,} characters that envpin reads")
    import yaml  # what huggingface_hub reads a card with

    depth = 0
    try:
        for token in yaml.scan(metadata):
            depth += isinstance(token, yaml.FlowSequenceStartToken | yaml.FlowMappingStartToken)
            depth -= isinstance(token, yaml.FlowSequenceEndToken | yaml.FlowMappingEndToken)
            if depth > _DEEPEST:  # each level makes the scanner slower
                raise InputError("the card's metadata is nested too deep")
            if isinstance(token, yaml.AliasToken):
                raise InputError("the card's metadata has aliases (`*name`), which envpin does not follow",
                                 hint="write out what they stand for")  # fmt: skip
    except yaml.YAMLError as error:
        raise InputError(f"the card's metadata cannot be read: {str(error).partition(chr(10))[0]}") from error


def _yaml(values: Mapping[str, object], newline: str) -> str:
    from envpin.remote.hub.faults import library

    text: str = library().ModelCardData(**values).to_yaml(line_break=newline)
    return text.rstrip() + newline


def merge_part(record: MergeRecord, *, name: str) -> CardPart:
    """What a merged model's card says. No path of this machine is in it."""
    verdict, proof = record.verdict, record.verification
    adapters = ", ".join(_named(one) for one in (record.adapter, *record.further))
    packages = record.environment.packages
    versions = ", ".join(f"{one} {packages[one]}" for one in ("transformers", "peft", "torch") if one in packages)
    table = [
        ("verdict", f"{verdict.kind}; base weights: {verdict.base_words}"),
        ("left alone", f"{proof.get('untouched', 'not recorded')} tensors, equal to the base's byte for byte"),
        ("changed", _changed(proof)),
        ("outputs", _outputs(proof)),
        ("environment", f"Python {record.environment.python}, {versions}"),
        ("lock", f"sha256 {record.environment.lock_sha256}"),
        ("inputs digest", f"{record.inputs_digest}, in the metadata of every shard"),
        *(("difference", f"{one.what}: recorded {one.recorded}, rebuilt {one.rebuilt} ({one.cls})")
          for one in verdict.differences),
    ]  # fmt: skip
    section = (
        "## How this model was merged", "",
        f"It is {_named(record.base)} plus {adapters}, merged and checked by envpin {_plain(record.envpin)}.",
        "`envpin-merge.json` lists every input and file with its sha256: `envpin verify FOLDER` compares.",
        "", "| | |", "|---|---|", *(f"| {key} | {_plain(value)} |" for key, value in table),
        *(line for note in without_paths(record).notes for line in ("", f"Note: {_plain(note)}")),
    )  # fmt: skip
    metadata: dict[str, object] = {"library_name": "transformers", "tags": ["envpin"]}
    if record.base.id is not None and is_hub_id(record.base.id):
        metadata = {"base_model": record.base.id, "base_model_relation": "finetune", **metadata}
    return CardPart(name, section, metadata)


def manifest_part(manifest: Manifest, *, name: str) -> CardPart:
    """What a recorded adapter's card says."""
    base, trainer = manifest.base, manifest.trainer
    versions = {one: manifest.version_of(one) for one in ("transformers", "peft", "torch", "trl", "accelerate")}
    resized = "; ".join(f"{one.rows_before} to {counted(one.rows_after, 'row')}" for one in manifest.resizes)
    table = [
        ("base", _base_words(manifest)),
        ("environment", ", ".join(f"{key} {value}" for key, value in versions.items() if value) or "not recorded"),
        ("Python", (manifest.python.version if manifest.python else None) or "not recorded"),
        ("trainer", " ".join(word for word in (trainer.class_name, trainer.package_version) if word)
                    if trainer else "not recorded"),
        ("vocabulary", resized or "not resized, or not recorded"),
    ]  # fmt: skip
    section = (
        "## How this adapter was trained", "",
        "`envpin.json` is the record of the run: envpin rebuilds its environment from it and merges in it.",
        "", "| | |", "|---|---|", *(f"| {key} | {_plain(value)} |" for key, value in table), "",
        "```sh", "envpin replay merge ADAPTER -o MERGED", "```",
    )  # fmt: skip
    metadata: dict[str, object] = {"library_name": "peft", "tags": ["envpin"]}
    if base is not None and base.id is not None and is_hub_id(base.id):
        metadata = {"base_model": base.id, **metadata}
    return CardPart(name, section, metadata)


def without_paths(record: MergeRecord) -> MergeRecord:
    """The record as it may be published: of each folder of this machine its own name alone."""
    import msgspec

    folders = [record.base, record.adapter, *record.further]
    long = sorted({one.path for one in folders}, key=len, reverse=True)

    def short(one: InputFolder) -> InputFolder:
        return msgspec.structs.replace(one, path=_own_name(one.path))

    def said(note: str) -> str:
        for path in long:
            note = note.replace(path, _own_name(path))
        return note

    return msgspec.structs.replace(
        record, base=short(record.base), adapter=short(record.adapter), further=tuple(map(short, record.further)),
        notes=tuple(said(note) for note in record.notes),
    )  # fmt: skip


def _own_name(path: str) -> str:
    return PurePath(path).name or "folder"


def _base_words(manifest: Manifest) -> str:
    base = manifest.base
    if base is None or base.id is None:
        return "a folder of the machine that trained it" if base is not None else "not recorded"
    return f"{base.id}" + (f" at commit {base.commit}" if base.commit else "")


def _named(one: InputFolder) -> str:
    words = f"`{_code(one.id or _own_name(one.path))}`"
    if one.commit:
        words += f" at commit `{_code(one.commit)}`"
    return words if one.weight == 1.0 else f"{one.weight} times {words}"


def _changed(proof: Mapping[str, Any]) -> str:
    rows = proof.get("recomputed")
    rows = rows if isinstance(rows, dict) else {}
    words = (
        f"{proof.get('changed', 'not recorded')} tensors; {rows.get('rows', 'not recorded')} rows recomputed in float64"
    )
    return f"{words}, worst error {_short(rows.get('worst'))} of what rounding allows"


def _outputs(proof: Mapping[str, Any]) -> str:
    probe = proof.get("probe")
    if not isinstance(probe, dict) or not isinstance(probe.get("ratio"), float | int):
        return "not compared"
    return f"the merge is off by {_short(probe['ratio'])} of what the adapter moves"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float | int) else "not recorded"


def _code(text: str) -> str:
    return _MARKER.sub(_parted, " ".join(text.replace("`", "'").split()))


def _plain(value: object) -> str:
    """A text of somebody else's inside a table of Markdown: neither markup nor a marker."""
    text = _MARKER.sub(_parted, " ".join(str(value).split()))
    return re.sub(r"([\\`*_\[\]|<>#])", r"\\\1", text) if re.search(r"[|<>`\[\]]", text) else text


_MARKER = re.compile("<!--|-->")


def _parted(found: re.Match[str]) -> str:
    """What begins or ends a comment of HTML, so that it does neither."""
    return " ".join(found[0])
