"""A module that is not there: of a package that is not installed, of a repository, or of another release. Pure."""

from __future__ import annotations

import re

from envpin.core.command_text import command_text
from envpin.diagnose.logs.context.companions import explain_companion
from envpin.diagnose.logs.facts.index_names import on_the_index, package_below, repository_of
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.text.explained import Explained

_MODULE = re.compile(r"No module named '?(?P<name>\w+)(?P<rest>(?:\.\w+)*)")
# Modules of a program that is run from another folder than its own.
_OF_THE_PROGRAM = frozenset({
    "src", "utils", "util", "config", "configs", "models", "model", "data", "dataset", "common", "lib", "helpers",
    "modules", "core", "app", "tools", "scripts", "train", "trainer", "main", "constants", "settings", "preprocessing",
    "preprocess", "evaluation", "inference", "backend", "api", "pipeline", "pipelines", "services",
})  # fmt: skip
_UNPICKLES = re.compile(r"torch[/\\]serialization\.py\"?, line \d+, in find_class(?!.*\bFile )", re.DOTALL)


def no_module(message: str, before: str = "") -> Explained | None:
    """What is said of a module that a script imports, or that `python -m` was to run; None where it is of a name that
    any program has for a part of its own."""
    found = _MODULE.search(message)
    if found is None:
        return None
    name, rest = found["name"], found["rest"]
    if _UNPICKLES.search(before) is not None:
        says = (
            f"the file was written by torch.save(model), of which a pickle names the class by its module, "
            f"`{name}{rest}`: that is a file of the program that wrote it, and is not to be found from here"
        )
        return Explained("package-missing", says, (
            "run it from that program's folder, or with it in PYTHONPATH",
            "there, save the weights alone: torch.save(model.state_dict(), FILE)",
        ))  # fmt: skip
    if name in _OF_THE_PROGRAM:
        return _own(name)
    if rest and package_below(name + rest) is None:
        # Python names a module below another only where it found the upper one
        return explain_companion(f"No module named '{name}{rest}'", before) or _no_part(name, rest)
    return _not_installed(name, rest)


def _own(name: str) -> Explained:
    """A name that any program has for a part of its own: that another line shows the field has to be asked for."""
    says = (
        f"`{name}` is a folder or file of the program itself, and Python looks for it only next to the script that was "
        "started and in PYTHONPATH"
    )
    return Explained("package-missing", says, (
        "start from the folder that holds it: PYTHONPATH=. python FOLDER/SCRIPT.py, or python -m FOLDER.SCRIPT",
        "or install the program into the environment, where it can be: python -m pip install -e .",
    ), in_field=True)  # fmt: skip


def _not_installed(name: str, rest: str) -> Explained:
    if (repository := repository_of(name)) is not None:
        says = f"the interpreter that ran finds no `{name}`, which is a folder of the repository {repository}"
        clone = command_text("git", "clone", "--recursive", repository)
        return Explained("package-missing", says, (
            f"run from that repository's folder, or with it in PYTHONPATH: {clone}",
            f"a package that the index calls `{name}` may be another project", TRAINING,
        ))  # fmt: skip
    called = on_the_index(name + rest)
    git = called.startswith("git+")
    other = f", which the index calls {called}," if called != name and not git else ""
    other = ", which is not on the index under its own name," if git else other
    says = f"`{name}`{other} is not installed in the interpreter that ran"
    install = command_text("python", "-m", "pip", "install", called)
    own = f"where `{name}` is a part of the program itself: run it from the program's folder"
    return Explained("package-missing", says, (f"install it there: {install}", own, TRAINING))


def _no_part(name: str, below: str) -> Explained:
    repository = repository_of(name)
    where = f" (the one that is meant is a folder of {repository})" if repository is not None else ""
    says = (
        f"the `{name}` that was imported{where} has no module `{name}{below}`: it is another package or folder of that "
        "name, is not whole, or another release has it"
    )
    return Explained("package-missing", says, (
        f"see which one is imported: python -c 'import {name}; print({name})'",
        f"where it is the package: look in its notes of release for where `{name}{below}` went",
        TRAINING,
    ))  # fmt: skip
