"""Messages that libraries raise, by the words with which they begin. Pure.

`raised.json` was read from wheels by `scripts/collect_raised.py`: the first words of the longest part of each message
that nothing fills in, by package, cause and file. The cause was judged by reading the message where it stands
(`scripts/raised_judged.tsv`), or is told by its place and words (`roles.py`).
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from envpin.diagnose.logs.facts.collected import read_collected

if TYPE_CHECKING:
    from collections.abc import Mapping

LENGTH = 6
SHORTEST = 4
_FIRST = ("transformers", "peft", "accelerate", "trl")
# No message tells more than its beginning does.
_READ = 1_500
_WORD = re.compile(r"[\w./=+<>-]+")
# A message without frames is known by its words alone, so one of them has to be of this field.
STACK_WORD = re.compile(
    r"_|lora|adapter|peft|model|token|dataset|quantiz|weights?\b|checkpoint|train|gpu|cuda|tensor|prompt|layer|deepspeed|"
    r"fsdp|zero|vllm|template|batch|attention|dtype|bf16|fp16|fp8|gguf|moe|expert|logits|embedding|bitsandbytes|unsloth|"
    r"transformers|collator|processor|multimodal|image|video|audio|reward|optimizer|scheduler|gradient|checkpointing|rope"
)


class Message(NamedTuple):
    """A message of `package`, which `file` of it raises; `code` is the cause of which it speaks, `judged` by a reader
    or told by its place and words."""

    package: str
    code: str
    file: str
    judged: bool


def words_of(text: str) -> list[str]:
    """The words of a message, as they are compared."""
    return [word for part in _WORD.findall(text.lower()) if (word := part.strip(".-/=<>+"))]


def known_message(message: str, package: str | None = None) -> Message | None:
    """The message of a wheel of which a part begins like a part of this one.

    Where the package that raised it is known, its own alone is asked for; where not, one that could be of no other
    field.
    """
    words, table = words_of(message[:_READ]), known_messages()
    for length in range(LENGTH, SHORTEST - 1, -1):
        for at in range(len(words) - length + 1):
            key = " ".join(words[at : at + length])
            for one in table.get(key, ()):
                if one.package == package or (package is None and STACK_WORD.search(key) is not None):
                    return one
    return None


@cache
def known_messages() -> Mapping[str, tuple[Message, ...]]:
    """Every message that travels with envpin, by its first words."""
    document = read_collected("raised.json", dict[str, Any], most=4_000_000)
    known: dict[str, tuple[Message, ...]] = {}
    for part, judged in (("judged", True), ("told", False)):
        # the same words are copied from these into others: of the copies they are the first
        for package, causes in sorted(document[part].items(), key=lambda one: (one[0] not in _FIRST, one[0])):
            for code, files in causes.items():
                for file, messages in files.items():
                    one = Message(package, code, file, judged)
                    for key in messages:
                        known[key] = (*known.get(key, ()), one)
    return known
