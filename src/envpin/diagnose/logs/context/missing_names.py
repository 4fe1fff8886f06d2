"""What one installed package looks for in another one and does not find, whichever two they are. Pure.

A package that is released imports what some release of the other had: so the two are of different times, and which of
them was changed the log does not tell.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.core.command_text import command_text
from envpin.diagnose.logs.facts.index_names import on_the_index
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.text.explained import Explained

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_WANTED = re.compile(
    r"cannot import name '(?P<name>\w+)' from '?(?P<module>\w[\w.]*)'?(?:\s|$)|"
    r"module '(?P<of>\w[\w.]*)' has no attribute '(?P<attribute>\w+)'"
)
_KEYWORD = re.compile(r"TypeError: (\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
_READS_A_FILE = re.compile(r"from_pretrained|from_config|from_dict|from_file|^_?load|^init_from")
# Functions that only pass an import on.
_LAZY = frozenset({"__getattr__", "__getattribute__", "_get_module", "import_module", "_gcd_import"})
_FAILED = re.compile(r"Failed to import (\w+)[\w.]* because of the following error")


class Wanted(NamedTuple):
    """A name of `package` that `asker`, another installed package, wants of it; both as the index calls them."""

    asker: str
    package: str
    name: str


def explain_missing_name(line: str, before: str) -> Explained | None:
    """None where the script itself asks, or a package asks its own modules."""
    wanted = wanted_by(line, before)
    if wanted is None:
        return None
    asker, package, name = wanted
    says = f"{asker} looks for `{name}` in {package}, and the installed one has none: the two are of different times"
    steps = (
        f"the {package} that {asker} asks for: python -m pip check",
        f"or another {asker}: {command_text('python', '-m', 'pip', 'install', '-U', asker)}",
        TRAINING,
    )
    return Explained("transformers-api-changed" if package == "transformers" else "library-api-changed", says, steps)


def wanted_by(line: str, before: str) -> Wanted | None:
    """Who wanted the name that this line says is missing; None where that is no other installed package."""
    found = _WANTED.search(line)
    if found is None:
        return None
    package = (found["module"] or found["of"]).partition(".")[0]
    from envpin.diagnose.logs.text.frames import frames_of, shown_name

    frames = [one for one in frames_of(before) if one.function not in _LAZY and "importlib" not in one.path]
    asker = of_lazy_import(line, before) or (frames[-1].library or "" if frames else "")
    if asker in {"", package}:
        return None
    named = ((one, on_the_index(one)) for one in (asker, package))
    by, of = (shown_name(one) if called == one or called.startswith("git+") else called for one, called in named)
    return Wanted(by, of, found["name"] or found["attribute"])


def of_lazy_import(line: str, before: str) -> str:
    """The package whose lazy import failed: the frames between were printed further up, if at all."""
    found = _FAILED.search(line) or _FAILED.search(before.rpartition("\n")[0].rpartition("\n")[2])
    return found[1] if found is not None else ""


def of_a_file(line: str, frame: Frame, package: str) -> Explained | None:
    """What is said where a library makes an object of its own by what a file says, and has no place for a field."""
    found = _KEYWORD.search(line)
    if found is None or _READS_A_FILE.search(frame.function) is None:
        return None
    says = (
        f"a file that {package} reads gives `{found[1]}` the field `{found[2]}`, which the installed one does not "
        f"know: another {package} wrote the file, most likely a newer one"
    )
    newest = command_text("python", "-m", "pip", "install", "-U", package)
    return Explained("library-api-changed", says, (newest, TRAINING))
