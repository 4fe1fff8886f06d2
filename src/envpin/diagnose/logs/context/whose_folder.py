"""A folder or repository that is not there: the frames above the line tell what was looked for in it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from envpin.core.command_text import command_text
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.diagnose.logs.signatures.signature import Signature
    from envpin.diagnose.logs.text.frames import Frame

_NO_CONFIG = "does not appear to have a file named config.json"
_NO_HUB = re.compile(r"the Hub (?:could not be reached, |refused the download)")
_TRACEBACK = "Traceback (most recent call last)"
# The repository of a request, and what a script's own line asks for.
_ASKED = re.compile(r"(?:huggingface\.co|url: )/(?:api/models/)?([\w.-]+(?:/[\w.-]+)?)/resolve/")
_NAMED = re.compile(
    r"(?:from_pretrained|SentenceTransformer|CrossEncoder|"
    r"snapshot_download)\(\s*[\"']([^\"'\n]{1,200})[\"']"
)
# What is raised, and not only noted by the load of a model that looks for an adapter first.
_RAISED = re.compile(r"(?:[\w.]+\.)?\w*(?:Error|Exception)\b")
_OF_HTTP = frozenset({
    "huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "anyio", "hf_xet",
    "modelscope", "modelscope_hub",
})  # fmt: skip
_ABOVE_HUB = re.compile(r"^utils[/\\]")
_ASKS_FOR_AN_ADAPTER = re.compile(
    r"^(?:from_pretrained|_?get_peft_type|load_peft_weights|load_adapter|from_peft_type|_get_config_file|hotswap_adapter)$"
)
# Where ms-swift looks for what `--adapters` names.
_ADAPTERS_OF_SWIFT = ("swift", "_init_adapters")
_ASKS_FOR_A_TOKENIZER = re.compile(
    r"^models[/\\]auto[/\\](?:tokenization|processing|image_processing|feature_extraction)_auto"
)


# Functions of huggingface_hub and of trainers that write to the Hub.
_UPLOADS = re.compile(
    r"^(?:create_repo|create_commit|upload_f(?:ile|older)|preupload_lfs_files|init_hf_repo|push_to_hub)$"
)


def by_whose_folder(one: Signature, found: re.Match[str], before: str) -> Iterator[Signature]:
    """What a signature says of a line, where the lines before it show whose folder was not found: an adapter's instead
    of a base's, or perhaps a tokenizer's as well."""
    path = found.groupdict().get("name")
    if path is None and one.code == "base-not-found" and one.says is not None and _NO_HUB.match(one.says):
        one = _with_name(one, f"{before}{found.string}")
    before = before[max(before.rfind(_TRACEBACK), 0) :]
    told = None
    if one.code == "base-not-found":
        frames = frames_of(before)
        uploads = any(_UPLOADS.match(frame.function) for frame in frames[-6:])
        told = _no_upload() if uploads else _looked_for(found.string, frames, path)
    if told is None or told.code == "tokenizer-missing":
        yield one
    if told is not None:
        severity = "warning" if told.code == "tokenizer-missing" else None
        own = {"code": told.code, "severity": severity, "says": told.says, "fix": told.fix}
        yield msgspec.structs.replace(one, **own, wraps=one.wraps and path is None, of_the_hub=False, around=None)


def _with_name(one: Signature, before: str) -> Signature:
    """What is said of the Hub, with the name that was looked for there, where the lines before it tell."""
    asked = _ASKED.findall(before) or _NAMED.findall(before)
    if not asked or asked[-1] == "None":
        return one
    name = asked[-1]
    if "refused" in str(one.says):
        return msgspec.structs.replace(one, says=f"{one.says} (`{name}`)")
    says = f"{one.says}: `{name}`, which is no folder where the command ran, was looked for there"
    look = f"see whether it is there, {command_text('ls', name)}"
    from_there = f"a folder of this machine: {look}; relative paths begin where the command runs"
    return msgspec.structs.replace(one, says=says, fix=(from_there, *one.fix))


def _looked_for(text: str, every: list[Frame], path: str | None) -> Explained | None:
    """What a failed look-up on the Hub, or in a folder, was for, where the frames above it tell: an adapter, or, of a
    folder that is there, a tokenizer."""
    # the load of any model asks for an adapter's config first, and logs that it could not
    file = re.search(r"/adapter_(config|model)\.", text)
    if file is not None and _RAISED.match(text) is not None:
        return _no_adapter(path) if file[1] == "config" else _no_weights(path)
    from envpin.diagnose.logs.context.lost_files import STEPS, SURELY_ADAPTER

    frames = [
        one for one in every
        if one.library is not None and one.library not in _OF_HTTP
        and not (one.library == "transformers" and _ABOVE_HUB.match(one.path))
    ]  # fmt: skip
    if path and _NO_CONFIG in text and any(_ASKS_FOR_A_TOKENIZER.match(one.path) for one in frames[-6:]):
        says = f"`{path}` has neither tokenizer files nor a config.json, by which the tokenizer would be found"
        return Explained("tokenizer-missing", says, STEPS["tokenizer-missing"])
    said, is_a_name, _ = text.partition("Repo id must")
    if not frames and is_a_name and SURELY_ADAPTER.search(said) is not None:
        return _no_adapter(path, "adapter_config.json or no weights")
    of_swift = any((one.library, one.function) == _ADAPTERS_OF_SWIFT for one in frames)
    return _no_adapter(path) if of_swift else _by_the_last(frames, path)


def _by_the_last(frames: list[Frame], path: str | None) -> Explained | None:
    """The same by the deepest frame of peft, or of transformers' code for it."""
    if not frames or _ASKS_FOR_AN_ADAPTER.match(frames[-1].function) is None:
        return None
    last = frames[-1]
    if last.library != "peft" and not (last.library == "transformers" and last.path.endswith("integrations/peft.py")):
        return None
    return _no_weights(path) if last.function == "load_peft_weights" else _no_adapter(path)


def _no_upload() -> Explained:
    says = (
        "the Hub refuses the upload: no login on this machine, a token without the right to write, or a repository of "
        "another account"
    )
    return Explained("settings-refused", says, (
        "hf auth login, with a token of the kind `write`",
        'push under your own name: hub_model_id="YOUR_NAME/MODEL"',
        "train without an upload: push_to_hub=False",
    ))  # fmt: skip


def _no_adapter(path: str | None, lacks: str = "adapter_config.json") -> Explained:
    """In the words of the signature that knows peft's last line of the same load."""
    says = f"`{path}` was" if path else "what was"
    says = f"{says} named as an adapter {'and ' if path else ''}has no {lacks}: it is not there, is another folder, or "
    return Explained("adapter-not-found", f"{says}holds whole weights, which load without an adapter", (
        f"see what lies there: {command_text('ls', path or 'FOLDER')}",
        "see which folders below hold adapters: envpin scan DIR",
        "where it holds whole weights: load it as a model, without peft",
    ))  # fmt: skip


def _no_weights(path: str | None) -> Explained:
    """Of a folder whose adapter_config.json was read before."""
    says = f"`{path}`" if path else "the adapter's folder"
    says += " has an adapter_config.json and no adapter_model.safetensors (or .bin): half an adapter"
    return Explained("adapter-not-found", f"{says}, or one whose save did not end", (
        f"see what lies there: {command_text('ls', path or 'FOLDER')}", "copy or download its weights as well",
    ))  # fmt: skip
