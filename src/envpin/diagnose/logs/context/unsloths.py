"""What stops in code that Unsloth wrote for, or puts in place of, that of transformers and trl. Pure.

`unsloth_compiled_cache/unsloth_compiled_module_MODEL.py` is made of transformers' file of a model, and
`Unsloth…Trainer.py` of trl's (unsloth_zoo/compiler.py, unsloth/models/rl.py; read in 2025.3 to 2026.10). So a call that
does not fit there blames the release of the other package, and the newer unsloth that knows it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.facts.names import knows
from envpin.diagnose.logs.facts.releases import release_words
from envpin.diagnose.logs.text.explained import Explained

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_FOLDERS = frozenset({"unsloth", "unsloth_zoo", "unsloth_compiled_cache"})
# Whose code a file of theirs replaces or is made of.
_WHOSE = (
    ("trl", re.compile(r"Unsloth\w+Trainer\.py$|(?:^|[/\\])(?:rl|rl_replacements|trainer|dpo|tokenizer_utils)\.py$")),
    ("vllm", re.compile(r"(?:^|[/\\])vllm_\w+\.py$")),
    ("transformers", re.compile(
        r"unsloth_compiled_module_\w+\.py$|^models[/\\]|^temporary_patches\b|"
        r"^(?:compiler|compiler_replacements|patching_utils|hf_utils|training_utils|loss_utils)\.py$"
    )),
)  # fmt: skip
_NEWER = command_text("python", "-m", "pip", "install", "-U", "unsloth", "unsloth_zoo")


def of_unsloth(frames: list[Frame], said: str, what: str, name: str, before: str) -> Explained | None:
    """None where it is not Unsloth's code that stopped, or a name of its own that it lacks."""
    last = frames[-1]
    if last.library not in _FOLDERS:
        return None
    package = next((one for one, files in _WHOSE if files.search(last.path) is not None), None)
    if package is None:
        return None
    written = last.library == "unsloth_compiled_cache"
    if "NameError" in said and not (written or knows(package, name)):
        return None
    file = re.split(r"[/\\]", last.path)[-1]
    meant = f"`{what}`, `{name}`" if what and " " not in what else f"`{name}`"
    made = f"unsloth's `{file}`, which it made of {package}'s code" if written else f"unsloth's `{file}`"
    says = f"{made}, does not fit the {package} that is installed ({meant}): the two are of different times"
    released = release_words("unsloth", before)
    cache = "delete the folder unsloth_compiled_cache, and " if written else ""
    return Explained(
        "transformers-api-changed" if package == "transformers" else "library-api-changed",
        f"{says}; {released}" if released else says,
        (
            f"{cache}take the newest of both: {_NEWER}",
            f"or the {package} that the installed unsloth was made for: python -m pip check; {TRAINING}",
        ),
    )
