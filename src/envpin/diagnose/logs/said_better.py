"""Codes that say less than another one of the same log. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.diagnose.logs.text.training_signs import OF_A_NEW_HEAD

if TYPE_CHECKING:
    from collections.abc import Iterable

# A code that another one, seen in the same log, says more exactly.
SAID_BETTER = {
    "transformers-api-changed": ("peft-transformers-incompatible",),
    "unmatched-adapter-keys": ("vlm-key-rename",),
    # names with a wrapper's prefix are what the model then lacks
    "architecture-drift": ("compile-prefix", "fsdp-prefix"),
    "adapter-needs-newer-peft": ("adapter-needs-older-peft",),
    # peft asks the Hub for the path of an adapter as well
    "base-not-found": ("adapter-not-found",),
    # a converter that found no tokenizer.json tries the next reader, which does not know what it then reads
    "serving-limit": ("tokenizer-missing",),
    # what torch says of a pointer that it takes for a pickle
    "pickle-weights": ("lfs-pointer",),
}
# The same, where it says so of the same lines: another line of the log may still be of the first kind.
SAID_BETTER_OF_A_LINE = {
    "base-not-found": ("adapter-files-in-merged",),
    "adapter-not-found": ("adapter-files-in-merged",),
    "unmatched-adapter-keys": ("tensors-not-of-method", "unpaired-lora"),
    "settings-refused": ("wrong-base-architecture", "adapter-needs-newer-peft"),
    "wrong-base-architecture": ("vlm-key-rename",),
    # a package that is optional was imported all the same; mlx-lm imports datasets where it found no folder of data
    "package-missing": ("transformers-api-changed", "data-not-as-expected", "installation-broken"),
    # what a model of two halves misses is what it is
    "data-not-as-expected": ("model-of-another-kind",),
    "tied-head": ("shared-tensors",),
    "quantization-differs": ("quantized-base-packed",),
    "transformers-api-changed": ("generation-config-invalid",),
    "library-api-changed": ("model-of-another-kind",),
    "dtype-drift": ("transformers-api-changed", "serving-limit"),
    "serving-limit": ("tokenizer-needs-newer",),
    "torch-companion-mismatch": ("peft-transformers-incompatible",),
    "adapter-needs-newer-peft": ("foreign-format",),
    # names of packed layers that a model of floats does not have, and that of a tool's folder of which it asks
    "architecture-drift": ("foreign-format",),
}
# Of a line that names the release all by itself, what these codes would say is less.
LESS_EXACT = frozenset({"adapter-needs-newer-peft", "transformers-api-changed"})
# What ends no run by itself, where it is only noted: a head that begins with random numbers, and the line that
# bitsandbytes prints on each machine without a GPU.
NO_END = OF_A_NEW_HEAD | {"torch-companion-mismatch"}
# What a model that was made from the config of another type stops at, and what is then said of it.
OF_ANOTHER_TYPE = frozenset({"settings-refused", "inputs-do-not-fit", "library-fault", "transformers-api-changed"})
# What torch says of each file that it does not unpickle, and a few lines later of one that is no pickle at all.
_NOT_UNPICKLED, _NO_PICKLE, _LATER = "Weights only load failed", "Unsupported operand ", 8


def is_no_pickle(lines: Iterable[tuple[int, str]], every: Iterable[tuple[int, str]]) -> bool:
    """Whether all that these lines say is that torch did not unpickle a file, which another of the log's lines, each
    with its number, says was none."""
    if not all(_NOT_UNPICKLED in text for _, text in lines):
        return False
    operands = [at for at, text in every if _NO_PICKLE in text]
    return bool(operands) and all(any(at < other <= at + _LATER for other in operands) for at, _ in lines)


def is_of_another_class(texts: Iterable[str]) -> bool:
    """Whether lines that a model of another kind was read from are those of shapes, which it explains."""
    return any("size mismatch for " in text for text in texts)


# Whose lines that only pass an error on (`wraps`) yield to every other cause: rows and values fail for any reason.
PASSED_ON = frozenset({"data-not-as-expected", "settings-refused", "tokenizer-missing"})
