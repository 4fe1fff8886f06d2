"""What of a stranger's adapter_config.json may reach peft: nothing that chooses an import or a file, and no regular
expression that does not come to an end.

peft imports the module that `megatron_core` names, loads the models and adapters that other fields name, and matches
the patterns of `target_modules` and its like against the name of every module, for as long as Python's `re` takes:
without end for some.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Dict, Iterable, List, Tuple

from ..protocol import KnownError

if TYPE_CHECKING:
    from .methods import AdapterConfig

# Longer than a slow machine needs for every pattern of a real adapter (some milliseconds); a stranger's has no end.
_DEADLINE = 10.0  # seconds
_SINGLE = ("target_modules", "exclude_modules", "layers_pattern", "modules_to_save", "feedforward_modules",
           "target_parameters")  # fmt: skip
# What chooses an import or a file when an adapter is loaded (peft to 0.21.2), and the values that choose nothing. peft
# itself writes the first into every config. The files of `corda_config` and `lora_ga_config` are opened before training
# only, by a function that the trainer calls.
_CHOOSING: Dict[str, Tuple[object, ...]] = {
    "megatron_core": (None, "", "megatron.core"),
    "megatron_config": (None, {}),
    "prompt_tuning_init_state_dict_path": (None, ""),
    "tokenizer_name_or_path": (None, ""),
    "tokenizer_kwargs": (None, {}),
    "adapters": (None, {}, []),  # X-LoRA: other adapters, by path or from the Hub
    "shadow_model": (None, ""),  # Shadow: another model, likewise
}
# How often loading repeats something costly, by the config's word (an iteration of LoftQ quantizes every weight). Real
# configs say 1 to 16.
_MOST_REPEATS = 1000
_NEEDS_A_TRIAL = re.compile(r"[*+{|]")

# In the forms that releases of peft put a pattern into. `re` cannot be interrupted: it holds Python's lock. So a
# process tries, which the system ends at its deadline, or together with whoever waits for it.
_TRIAL = """
import json, re, signal, sys
if hasattr(signal, "alarm"):
    signal.alarm(int(sys.argv[1]) + 1)
try:
    import ctypes
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
except Exception:
    pass
asked = json.load(sys.stdin)
for pattern in asked["patterns"]:
    forms = []
    for form in ("%s", r".*\\.?(%s)$", r"(.*\\.)?(%s)$", r"(^|.*\\.)%s($|\\..*)", r"(?:^|.*?\\.)%s\\.(?P<idx>\\d+)\\."):
        try:
            forms.append(re.compile(form % pattern))
        except Exception:
            pass  # peft says what is wrong with it
    sys.stdout.write(json.dumps(pattern) + "\\n")
    sys.stdout.flush()
    for name in asked["names"]:
        for form in forms:
            form.fullmatch(name)
            form.match(name)
"""


def admit(config: AdapterConfig, names: Iterable[str]) -> None:
    """Hold a config against what peft would do with it. `names` are those that its patterns will be matched with.

    Raises:
        KnownError: `refused-config`.
    """
    _refuse_choices(config)
    _refuse_endless(config)
    found = patterns(config)
    if found:
        _try(found, list(names))


def patterns(config: AdapterConfig) -> List[str]:
    """The regular expressions of a config that are more than a name."""
    found: List[str] = []
    for field in _SINGLE:
        value = config.get(field)
        found += [value] if isinstance(value, str) else [one for one in value or () if isinstance(one, str)]
    for field, value in config.items():
        if field.endswith("_pattern") and isinstance(value, dict):
            found += [key for key in value if isinstance(key, str)]
    return sorted({one for one in found if _NEEDS_A_TRIAL.search(one)})


def _refuse_choices(config: AdapterConfig) -> None:
    for field, harmless in _CHOOSING.items():
        if field in config and config[field] not in harmless:
            raise _refused("`%s` is `%s`, which chooses what peft imports or opens" % (field, str(config[field])[:80]))


def _refuse_endless(config: AdapterConfig) -> None:
    loftq = config.get("loftq_config")
    counts = {
        "loftq_config.loftq_iter": loftq.get("loftq_iter") if isinstance(loftq, dict) else None,
        "num_cayley_neumann_terms": config.get("num_cayley_neumann_terms"),
    }
    pissa = re.match(r"pissa_niter_(\d{1,4300})$", str(config.get("init_lora_weights")))
    if pissa is not None:
        counts["init_lora_weights"] = int(pissa.group(1))
    for field, count in counts.items():
        if isinstance(count, (int, float)) and not count <= _MOST_REPEATS:
            raise _refused("`%s` asks for more than %d repetitions" % (field, _MOST_REPEATS))


def _try(found: List[str], names: List[str]) -> None:
    asked = json.dumps({"patterns": found, "names": names}).encode("ascii")
    command = [sys.executable, "-I", "-S", "-c", _TRIAL, "%d" % _DEADLINE]
    try:
        done = subprocess.run(command, input=asked, stdout=subprocess.PIPE, timeout=_DEADLINE, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as late:
        lines = (late.output or b"").decode("ascii", "replace").split("\n")
        at = json.loads(lines[-2]) if len(lines) > 1 else found[0]
        raise _refused(
            "the pattern `%s` takes longer than %d s to match the names of modules" % (at[:80], _DEADLINE)
        ) from None
    if done.returncode != 0:
        raise _refused("its patterns cannot be tried: the process that tries them ended with %d" % done.returncode)


def _refused(reason: str) -> KnownError:
    return KnownError("refused-config", "adapter_config.json is not given to peft: %s" % reason)
