"""Which releases have a module that is not there, by the files of the wheels. Pure but for collected data."""

from __future__ import annotations

from envpin.diagnose.logs.facts.name_facts import TRAINING, facts_of, said
from envpin.diagnose.logs.text.explained import Explained


def of_files(package: str, module: str, code: str) -> Explained | None:
    """What is said of a module of `package`; None for those of single models, which were not kept."""
    modules = facts_of(package).modules
    first, last, _ = facts_of(package).releases
    stays, shown = modules.get(module), package.replace("_", "-")
    if stays == ("",):
        says = f"every release of {shown} from {first} on has the module `{module}`: this one is older, or damaged"
        return Explained(code, f"{says}, or a file or folder of the program is called `{package}` as well", (
            f"see which one is imported: python -c 'import {package}; print({package}.__file__)'",
            f"install {shown} again, into the interpreter that ran",
        ))  # fmt: skip
    if stays is not None:
        told = said(f"the module `{module}`", package, stays)
        return Explained(code, told.says, told.fix)
    if module.startswith("transformers.models.") or any(one.startswith(f"{module}.") for one in modules):
        return None
    says = f"no release of {shown} that was looked at ({first} to {last}) has the module `{module}`: it is misspelt"
    return Explained(code, f"{says}, or of an older release, a fork or a development build", (
        "see how it is spelt", f"where the program comes with its own {shown}: install that one", TRAINING,
    ))  # fmt: skip
