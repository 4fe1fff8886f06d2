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
_LOADS = re.compile(
    r"TypeError: (?P<owner>[A-Z]\w+)\.(?P<method>(?:from|save)_pretrained|load_(?:model|checkpoint)|from_config|"
    r"generate|push_to_hub)\(\) takes (?:from \d+ to )?(?P<takes>\d+) positional arguments? but (?P<given>\d+)"
)
_READS_A_FILE = re.compile(r"from_pretrained|from_config|from_dict|from_file|^_?load|^init_from")
_ESTIMATOR = re.compile(r"AttributeError: '(?P<owner>[A-Z]\w+)' object has no attribute '(?P<name>\w+)'")
# The deepest frame is one of scikit-learn's.
_IN_SKLEARN = re.compile(r"packages[/\\]sklearn[/\\][^\n]*\n(?![^\0]*\bFile \")")
# Optional packages of the stack, by what their names or files hold.
_OPTIONAL = (
    ("hqq", "hqq"),
    ("gptq", "gptqmodel"),
    ("quantizeconfig", "gptqmodel"),
    ("awq", "autoawq"),
    ("bnb", "bitsandbytes"),
    ("bitsandbytes", "bitsandbytes"),
    ("deepspeed", "deepspeed"),
    ("vllm", "vllm"),
    ("flash_attn", "flash-attn"),
    ("liger", "liger-kernel"),
    ("onnx", "onnx"),
    ("sentencepiece", "sentencepiece"),
)
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


def of_another_package(line: str, before: str) -> Explained | None:
    """A class of a package whose frames a log does not show, which takes fewer arguments than a script gives it: the
    call itself fails, so that the class is none of the script's own file."""
    from envpin.diagnose.logs.text.frames import code_lines, frames_of, is_own

    found, frames, lines = _LOADS.search(line), frames_of(before), code_lines(before)
    if found is None or not frames or not is_own(frames[-1]) or not lines:
        return None
    owner, method = found["owner"], found["method"]
    if f"{owner}.{method}(" not in lines[-1] and not (f".{method}(" in lines[-1] and owner in before):
        return None
    says = (
        f"`{owner}.{method}()` of what is imported takes {found['takes']} arguments, and the script gives "
        f"{found['given']}: the package that runs is of another release than the script, or one of the same name that "
        "hides the repository's own code"
    )
    return Explained("library-api-changed", says, (
        f"see where the package that brings `{owner}` lies: python -c 'import PACKAGE; print(PACKAGE.__file__)'",
        "where that is not the repository of the script: uninstall it, and start from the repository's folder",
        "else take the release of the package that the script was written for: its README, or its date",
    ))  # fmt: skip


def of_another_sklearn(line: str, before: str) -> Explained | None:
    """An estimator that scikit-learn asks for what it does not have: another scikit-learn made it, and it was kept."""
    found = _ESTIMATOR.search(line)
    if found is None or _IN_SKLEARN.search(before) is None or f"self.{found['name']}" not in before[-600:]:
        return None
    says = (
        f"a `{found['owner']}` was saved by another scikit-learn than the one that loads it, and lacks its "
        f"`{found['name']}`: such pickles are for one release"
    )
    return Explained("library-api-changed", says, (
        "install the scikit-learn that saved it: an `InconsistentVersionWarning` names it where one was printed",
        "or train and save it again with this one", TRAINING,
    ))  # fmt: skip


def of_an_optional_import(name: str, library: str, path: str, *, named: bool = False) -> Explained | None:
    """A name that a library's own code uses and has not: it is imported only where an optional package is there.
    `named` is where the name has to tell the package, as any variable may be without a value."""
    where = name if named else f"{path} {name}"
    package = next((one for part, one in _OPTIONAL if part in where.lower()), None)
    if package is None:
        return None
    says = (
        f"{library} uses `{name}` in `{path}`, which it imports only where {package} is installed: it is not, or does "
        "not import"
    )
    install = command_text("python", "-m", "pip", "install", package)
    return Explained(
        "package-missing", says, (f"install it there: {install}", f"see why: python -c 'import {_module(package)}'")
    )


def _module(package: str) -> str:
    return package.replace("-", "_")
