"""What an installed library itself says is gone, in an error that tells of its removal or its new name. Pure.

Libraries keep such errors for some releases after a change, so the code that asks is older than the library.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.logs.context.library_changes import OF_THE_FIELD
from envpin.diagnose.logs.facts import around
from envpin.diagnose.logs.facts.index_names import on_the_index
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import is_own, known_libraries, shown_name

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_GONE = re.compile(
    r"(?i)\b(?:has|have|was|were) (?:been |now )?(?:deprecated and )?(?:removed|renamed|moved to|dropped|replaced)\b|"
    r"\b(?:is|are) (?:now )?(?:deprecated(?: and (?:has been |is now )?removed|\. (?:please )?use\b| in favou?r of)|"
    r"removed (?:in|from|since))|deprecated since version [\d.]+ and is now removed|"
    r"\bno longer (?:supported|supports?|accepts?|accepted|exists?|part of|works?|takes?)\b|"
    r"\b(?:removed|renamed|moved) in (?:v|version )?\d|\bnot supported any ?more\b|"
    r"\bnow takes\b|\bbackwards?-incompatible change\b|\bis obsolete (?:as of|since)\b"
)
_SINCE = re.compile(
    r"(?:removed|renamed|moved|dropped)\b[^.]{0,40}?\b(?:in|since|from|as of) (?:version |v)?(\d+\.\d[\d.]*\d|\d+\.\d)"
)
_RAISED = re.compile(r"(?:^|\n)\s*(?:raise\s+\w|assert\s)")
_SHOWN = 220


def of_what_went(message: str, before: str, frames: list[Frame], *, in_field: bool) -> Explained | None:
    """None where no library raised it, or its words tell of nothing that went."""
    place = frames[-1] if frames else None
    if place is None or place.library is None or _GONE.search(message) is None:
        return None
    if _RAISED.search("\n".join(before.split("\n")[-12:])) is None:
        return None
    package = around.package_of(place.library) or on_the_index(place.library)
    package = shown_name(place.library) if package == place.library else package
    if not (in_field or package in OF_THE_FIELD or place.library in known_libraries()):
        return None
    asker = next((one for one in reversed(frames) if one.library != place.library), place)
    who = "the script" if is_own(asker) else shown_name(asker.library or package)
    since = _SINCE.search(message)
    older = f"<{since[1]}" if since is not None and since[1][0] != "0" else ""
    said = message if len(message) <= _SHOWN else f"{message[:_SHOWN]}…"
    says = f'{package} has no more what {who} asks of it, and says so: "{said}"'
    install = command_text("python", "-m", "pip", "install", f"{package}{older}")
    steps = [
        "write what the message names in its place" if is_own(asker) else f"update {who}, whose code asks for it",
        f"or the {package} that the code was written for, an older one" + (f": {install}" if older else ""),
    ]
    code = "transformers-api-changed" if package == "transformers" else "library-api-changed"
    return Explained(code, says, (*steps, TRAINING))
