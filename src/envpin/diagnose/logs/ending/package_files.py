"""A file of an installed package itself that its own code does not find. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.logs.facts.index_names import on_the_index
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import shown_name

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_OF_A_PACKAGE = re.compile(
    r"No such file or directory: '[^'\n]{0,300}?(?:site|dist)-packages[/\\]+(?P<root>\w+)[/\\]+(?P<rest>[^'\n]{1,200})'"
)


def of_package_file(exception: str, message: str, frames: list[Frame]) -> Explained | None:
    """None where the file is of no package, or none of its own frames asks."""
    found = _OF_A_PACKAGE.search(message) if exception == "FileNotFoundError" else None
    if found is None or all(one.library != found["root"] for one in frames):
        return None
    package = on_the_index(shown_name(found["root"]))
    says = (
        f"{package} reads a file of its own installation, `{found['rest']}`, that is not there: the release or build "
        "that was installed leaves it out, or the installation is damaged"
    )
    again = command_text("python", "-m", "pip", "install", "--force-reinstall", "--no-deps", package)
    return Explained("installation-broken", says, (
        f"install it again: {again}",
        "where the file is still not there: from a clone of its repository, pip install -e FOLDER, or another release",
        TRAINING,
    ))  # fmt: skip
