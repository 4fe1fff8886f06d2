"""Arguments that `from_pretrained` does not know and hands on to the model's class. Pure."""

from __future__ import annotations

import re
from difflib import get_close_matches

from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import frames_of

_CALL = re.compile(
    r"TypeError: (?P<class>\w+(?:For[A-Z]\w+|Model|LMHeadModel|Tokenizer\w*))\.__init__\(\) got an unexpected keyword "
    r"argument '(?P<name>\w+)'"
)
# What makes a processor of the fields of its file. 4.41.2 gives it all of them, 4.44.2 and newer those
# that the class takes.
_PROCESSOR = re.compile(
    r"TypeError: (?:(?P<class>\w+Processor)\.)?__init__\(\) got an unexpected keyword argument '(?P<name>\w+)'"
)
_OF_ITS_FILE = re.compile(r"transformers[/\\]processing_utils\.py\"?, line \d+, in from_args_and_dict")
# What every release takes, so that a name which is almost one of these is misspelt.
_KNOWN = (
    "torch_dtype", "dtype", "device_map", "attn_implementation", "low_cpu_mem_usage", "trust_remote_code",
    "cache_dir", "config", "quantization_config", "revision", "token", "subfolder", "variant", "offload_folder",
    "max_memory", "ignore_mismatched_sizes", "use_safetensors", "local_files_only", "force_download", "load_in_4bit",
    "load_in_8bit", "offload_state_dict", "output_loading_info", "num_labels", "use_cache", "state_dict",
    "use_flash_attention_2",
)  # fmt: skip


def explain_loading(line: str, before: str) -> Explained | None:
    """A misspelt argument of a load; None where it is none, or where a release may be to blame."""
    if (told := _of_a_processor(line, before)) is not None:
        return told
    found = _CALL.search(line)
    if found is None or not any(one.library == "transformers" for one in frames_of(before)):
        return None
    close = get_close_matches(found["name"], _KNOWN, n=1, cutoff=0.85)
    if not close or close[0] == found["name"]:
        return None
    says = (
        f"`from_pretrained` does not know `{found['name']}`, and gave it on to `{found['class']}`, "
        f"which does not either: most likely `{close[0]}` is meant"
    )
    return Explained("settings-refused", says, (f"write `{close[0]}`, or leave it out",))


def _of_a_processor(line: str, before: str) -> Explained | None:
    """A field of processor_config.json for which an older class has no argument."""
    found = _PROCESSOR.search(line)
    if found is None or _OF_ITS_FILE.search(before) is None:
        return None
    of = f" of `{found['class']}`" if found["class"] else ""
    says = (
        f"processor_config.json has the field `{found['name']}`, which the processor{of} of this transformers does not "
        "take: a newer transformers wrote the file"
    )
    return Explained("tokenizer-needs-newer", says, (
        "run with the transformers that saved it, or a newer one: python -m pip install -U transformers",
        f"or by hand: take `{found['name']}` out of processor_config.json, and what this release does not know either",
    ))  # fmt: skip
