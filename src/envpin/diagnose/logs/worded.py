"""The words of a signature: its own with what its groups matched, or those of the facts about releases. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from envpin.core.command_text import command_text
from envpin.diagnose.logs.context.askers import PAIR, of_the_pair
from envpin.diagnose.logs.facts.arguments import ANCHOR, of_ignored
from envpin.diagnose.logs.facts.index_names import on_the_index
from envpin.diagnose.logs.facts.name_facts import NOT_A_RELEASE
from envpin.diagnose.logs.facts.names import plain_words, words
from envpin.diagnose.logs.facts.options import explain_option
from envpin.diagnose.logs.signatures.signature import Signature

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.explained import Explained

# Codes of which a release that the log states to be new enough is none.
NEWER = frozenset({"config-needs-newer-transformers", "transformers-api-changed"})
# Codes and words of signatures that leave open which release has a name.
_OF_A_RELEASE = frozenset({"library-api-changed", "torch-companion-mismatch", "transformers-api-changed"})
# Words in parentheses that are one name: of a log that does not show the name they say nothing.
_ASIDE = re.compile(r" \((`?)\{(\w+)\}\1\)")
# What stands before a list that the line was cut off before.
_LIST_OF_NONE = re.compile(r"(?:; [a-z ]{1,20})?: ?$")
_NAMES_NONE = ("this release", "a newer torch than this one", "in this torch")


def worded(signature: Signature, found: re.Match[str], text: str) -> Signature | None:
    """The signature's own words, or those of the facts where it leaves the release open; None where no release is to
    blame."""
    if signature.says is None and (ignored := of_ignored(text)) is not None:
        return msgspec.structs.replace(signature, says=ignored[0], fix=ignored[1])
    open_ended = signature.says is None or signature.code == "library-api-changed"
    told = words(signature.code, text) if open_ended else None
    if told is None and signature.says is None:
        told = plain_words(signature.code, text)
    if told is None:
        return _filled(signature, found)
    if told is NOT_A_RELEASE:
        return None
    # a class by its name, and a release took it away: nothing newer has it
    code = "transformers-api-changed" if told.went and signature.code in NEWER else signature.code
    # that it is peft which asks for the name is what the lines before showed
    asked = code == PAIR and signature.after is not None
    says, fix = of_the_pair(told) if asked else (told.says, told.fix)
    return msgspec.structs.replace(signature, code=code, says=says, fix=fix)


def _filled(signature: Signature, found: re.Match[str]) -> Signature:
    """The signature with what its groups matched in its own words."""
    if signature.says is None:
        return signature
    words = {name: value or "" for name, value in found.groupdict().items()}
    typed = {name: command_text(word) if word else "" for name, word in words.items()}
    if words.get("package") and "No module named" in found[0]:
        typed["package"] = command_text(on_the_index(words["package"]))
    fix = tuple(step.format_map(typed) for step in signature.fix)
    shown = _ASIDE.sub(lambda aside: aside[0] if words.get(aside[2]) else "", signature.says)
    says = shown.format_map(words)
    says = _LIST_OF_NONE.sub("", says)
    if "``" in says or "  " in says:  # the line was cut off before the name
        return msgspec.structs.replace(signature, says=None, fix=())
    return msgspec.structs.replace(signature, says=says, fix=fix)


def by_changes(signature: Signature, line: str, before: str) -> Signature:
    """What a signature says that names no release, where the facts about other libraries do."""
    if signature.code == "settings-refused" and (option := explain_option(line, before)) is not None:
        return signature_of(option, line)
    named = signature.says is not None and not any(one in signature.says for one in _NAMES_NONE)
    if signature.code not in _OF_A_RELEASE or named:
        return signature
    from envpin.diagnose.logs.context.companions import explain_companion
    from envpin.diagnose.logs.context.library_changes import explain_change
    from envpin.diagnose.logs.context.torch_names import explain_torch_name
    from envpin.diagnose.logs.text.frames import frames_of, is_own

    asks = [one for one in frames_of(before) if one.library != "torch"]
    if signature.code == "torch-companion-mismatch" and not (asks and is_own(asks[-1])):
        return signature  # only a script that asks is of another time than torch alone
    told = explain_change(line, before) or explain_companion(line, before) or explain_torch_name(line, before)
    if told is None:
        return signature
    # what the signature knows to do in code comes before another release
    by_hand = signature.fix[:1] if _NAMES_NONE[-1] in (signature.says or "") else ()
    in_field = signature.in_field and (told.in_field or not asks)
    told = told._replace(in_field=in_field, fix=(*by_hand, *told.fix))
    return signature_of(told, line)


def signature_of(explained: Explained, text: str) -> Signature:
    """What the facts or frames tell of a line, in the form of a signature."""
    return Signature(
        code=explained.code, anchor=ANCHOR, pattern="", sample=text, source="", says=explained.says, fix=explained.fix,
        in_field=explained.in_field,
    )  # fmt: skip
