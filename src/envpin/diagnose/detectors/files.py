"""Detectors on files and configs of one folder: damage, remote code, doubled meaning, drift."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from envpin.checkpoint.formats.safetensors import read_header
from envpin.checkpoint.own_code import named_code, native_classes
from envpin.core.adapter_format import foreign_model
from envpin.core.command_text import command_text
from envpin.core.findings import Evidence
from envpin.core.sizes import counted, verb
from envpin.diagnose.adapter_names import is_factor
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.shapes import SHOWN, places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.subject import CheckSubject

# What transformers' GenerationConfig.validate refuses while sampling is off: the parameter and its harmless value.
_SAMPLING: dict[str, tuple[object, ...]] = {
    "temperature": (None, 1.0), "top_p": (None, 1.0), "min_p": (None,), "typical_p": (None, 1.0),
    "epsilon_cutoff": (None, 0.0), "eta_cutoff": (None, 0.0),
}  # fmt: skip
_DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"}
_NATIVE_FIX = (
    "load it without trust_remote_code, as envpin does",
    "where training ran its own code, copy the .py files of the base's repository into the folder",
)


def detect_files(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    """What is wrong with one folder's files; `folder` is the subject's or its base."""
    grouped: dict[str, list[Evidence]] = {}
    messages: dict[str, str] = {}
    for fault in folder.faults:
        seen = Evidence(file=fault.file, found=fault.found, expected=fault.expected, note=fault.message)
        grouped.setdefault(fault.code, []).append(seen)
        messages.setdefault(fault.code, f"`{folder.path / fault.file}`: {fault.message}")
    for code, evidence in grouped.items():
        more = f" (and {len(evidence) - 1} more)" if len(evidence) > 1 else ""
        # The only fault of a pickle as such: it would import what no weights need.
        foreign: Severity | None = "blocker" if code == "pickle-weights" else None
        fix = ("do not load it; ask whoever published it for safetensors",) if foreign else None
        yield finding(code, messages[code] + more, evidence[:20], severity=foreign, fix=fix, names=places(subject))
    pickles = [name for name in folder.weight_files if name.endswith((".bin", ".pt", ".pth"))]
    if pickles and "pickle-weights" not in grouped:
        text = f"`{folder.path / pickles[0]}` is a pickle; its tensors were listed without unpickling it"
        yield finding("pickle-weights", text, [Evidence(file=name) for name in pickles[:SHOWN]], names=places(subject))
    yield from _absent(folder, subject)
    yield from _remote_code(folder, subject)
    yield from _no_new_tokens(folder, subject)


def _absent(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    """A folder without weights: half a download, or a save that wrote none."""
    if folder.kind == "adapter" and folder.weight_files and not folder.adapter_tensors and not folder.faults:
        text = f"`{folder.path / folder.weight_files[0]}` holds no tensor at all: an empty state dict was saved"
        seen = [Evidence(file=folder.weight_files[0], found="0 tensors")]
        yield finding("adapter-is-noop", text, seen, severity="blocker", names=places(subject))
    if folder.kind == "unknown":
        yield from _misnamed(folder, subject)
    if folder.weight_files:
        yield from _without_config(folder, subject)
        return
    if folder.kind == "adapter":
        text = f"`{folder.path}` has an adapter_config.json, and no adapter_model.safetensors or adapter_model.bin"
        absent = [Evidence(file="adapter_model.safetensors")]
        yield finding("missing-shard", text, absent, fix=_elsewhere(folder), names=places(subject))
    elif folder.config is not None:
        # Shapes can be had from the config; a merge needs the weights.
        severity: Severity = "blocker" if folder is subject.folder else "warning"
        text = f"`{folder.path}` has a config.json, and no weights"
        yield finding(
            "missing-shard", text, [Evidence(file="model.safetensors")], severity=severity, names=places(subject)
        )


def _without_config(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    """Weights alone: the libraries begin with the config, and end there."""
    name = "adapter_config.json" if folder.kind == "adapter" else "config.json"
    if folder.kind not in {"adapter", "model"} or name in folder.names:
        return
    text = f"`{folder.path}` has weights, and no {name}: {'peft' if folder.kind == 'adapter' else 'transformers'} "
    text += "cannot load them"
    # A model's weights without a config are what Accelerate's `save_state` leaves, too, which loads them itself.
    severity: Severity = "warning" if folder.kind == "model" and folder is subject.folder else "blocker"
    fix = (f"take the {name} that was saved with these weights",)
    yield finding("missing-shard", text, [Evidence(file=name)], severity=severity, fix=fix, names=places(subject))


def _misnamed(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    """Tensors of peft in a file that peft does not look for, without a config as well."""
    found = next((one for name, one in folder.tensors.items() if is_factor(name)), None)
    if found is not None:
        text = f"`{folder.path / found.file}` holds an adapter's tensors, and there is no adapter_config.json"
        seen = [Evidence(file=found.file, found=found.name)]
        fix = ("take the whole folder that `save_pretrained` wrote, with adapter_config.json",)
        yield finding("missing-shard", text, seen, fix=fix, names=places(subject))


def _elsewhere(folder: Checkpoint) -> tuple[str, ...] | None:
    """What gives the weights that peft would look for, where they lie there in another form."""
    for name in sorted(folder.names):
        if name.startswith("pytorch_model_fsdp"):
            merge = command_text("accelerate", "merge-weights", folder.path / name, "OUT")
            return (f"FSDP wrote shards: {merge}", "save again with the whole state gathered (FULL_STATE_DICT)")
        if name.startswith("global_step") or name == "zero_to_fp32.py":
            return (f"DeepSpeed wrote shards: {command_text('cd', folder.path)} && python zero_to_fp32.py . OUT",)
    held = [name for name in sorted(folder.names) if name.endswith(".safetensors") and _holds_factors(folder, name)]
    if len(held) > 1:
        parts = ", ".join(held[:SHOWN]) + " …" * (len(held) > SHOWN)
        return (f"peft reads one file: write the tensors of {parts} into one adapter_model.safetensors",)
    if held:
        return (command_text("mv", folder.path / held[0], folder.path / "adapter_model.safetensors"),)
    return None


def _holds_factors(folder: Checkpoint, name: str) -> bool:
    return any(is_factor(one.name) for one in read_header(folder.files / name).tensors)


def detect_folder(subject: CheckSubject) -> Iterator[Finding]:
    """What is wrong with the folder as a whole."""
    folder = subject.folder
    if folder.kind == "both":
        text = (
            f"`{folder.path}` holds whole weights and an adapter: every version of transformers reads that differently"
        )
        seen = [Evidence(file=name) for name in (*folder.weight_files[:SHOWN], "adapter_config.json")]
        yield finding("adapter-files-in-merged", text, seen, names=places(subject))
    if folder.kind == "model":
        yield from _below(folder, subject)
        yield from _of_another_library(folder, subject)
    yield from _no_configuration(folder, subject)
    yield from _generation(folder, subject)
    yield from _dtype(folder, subject)


def _of_another_library(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    if (found := foreign_model(folder.config or {})) is not None:
        seen = [Evidence(file="config.json", found=f"{found.field}: {found.kind}")]
        text = f"`{folder.path}` is {found.words}"
        yield finding("foreign-format", text, seen, fix=(found.next_step,), names=places(subject))


def _below(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    """A merger that wrote base and adapter apart: the weights look merged, and are not."""
    for name in sorted(folder.names):
        try:
            there = "." not in name and folder.is_local and (folder.files / name / "adapter_config.json").is_file()
        except OSError:
            continue
        if there:
            path = folder.path / name
            text = f"an adapter lies in `{name}/` below these weights, which may be its base, and not a merge of it"
            fix = (command_text("envpin", "replay", "merge", path, "--base", folder.path, "-o", "OUT"),)
            yield finding("adapter-below", text, [Evidence(file=f"{name}/adapter_config.json")], fix=fix,
                          names=places(subject))  # fmt: skip


def _no_configuration(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    """A file of that name that peft cannot take for one of its own."""
    config = folder.adapter_config
    if config is None or config.get("peft_type"):
        return
    text = f"`{folder.path / 'adapter_config.json'}` has no `peft_type`: peft did not write it"
    if set(config) <= {"error", "message", "detail"} and (said := next(iter(config.values()), None)):
        text = f"`{folder.path / 'adapter_config.json'}` is what a server answered: `{str(said)[:80]}`"
    if "model_type" in config:
        text = f"`{folder.path / 'adapter_config.json'}` is a model's config.json under another name"
    seen = [Evidence(file="adapter_config.json", expected="peft_type")]
    fix = ("take the adapter_config.json that `save_pretrained` wrote next to these weights",)
    yield finding("corrupt-header", text, seen, fix=fix, names=places(subject))


def _remote_code(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    if not folder.auto_map:
        return
    code, own = named_code(folder), native_classes(folder, subject.version("transformers"))
    if code.absent:
        text = f"`auto_map` names `{code.absent[0]}`, which is not in `{folder.path}`"
        seen = [Evidence(file=name) for name in code.absent[:SHOWN]]
        fix: tuple[str, ...] | None = None
        severity: Severity | None = None
        if own is not None:
            text += f": transformers loads its own {own}, and nothing with trust_remote_code=True"
            fix, severity = _NATIVE_FIX, "warning"
        yield finding("remote-code-missing", text, seen, severity=severity, fix=fix, names=places(subject))
    elif code.held or code.elsewhere:
        text = f"loading `{folder.path}` runs Python code that came with it"
        if own is not None:
            text += f", where trust_remote_code=True is passed: else transformers loads its own {own}"
        seen = [Evidence(file=name) for name in code.held[:SHOWN]] or [Evidence(file="config.json", note="auto_map")]
        yield finding("remote-code-needed", text, seen, names=places(subject))


def _no_new_tokens(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    most = (folder.generation_config or {}).get("max_new_tokens")
    if isinstance(most, int) and not isinstance(most, bool) and most <= 0:
        text = f"`max_new_tokens` is {most}: transformers refuses it, and the model with it"
        seen = [Evidence(file="generation_config.json", found=f"max_new_tokens: {most}")]
        yield finding("generation-config-invalid", text, seen, severity="blocker", names=places(subject))


def _generation(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    config = folder.generation_config
    if config is None or config.get("do_sample") is True:
        return
    wrong = {key: config[key] for key, harmless in _SAMPLING.items() if key in config and config[key] not in harmless}
    if wrong:
        text = f"`do_sample` is off, and {', '.join(f'`{key}`' for key in wrong)} set: transformers will not save this"
        seen = [Evidence(file="generation_config.json", found=f"{key}: {value}") for key, value in wrong.items()]
        yield finding("generation-config-invalid", text, seen, names=places(subject))


def _dtype(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    if folder.kind == "adapter" or not folder.tensors or folder.config is None or folder.quantization is not None:
        return
    config: dict[str, object] = folder.config or {}
    said = config.get("dtype", config.get("torch_dtype"))
    wanted = _DTYPES.get(said) if isinstance(said, str) else None
    stored, count = Counter(tensor.dtype for tensor in folder.tensors.values()).most_common(1)[0]
    if wanted is not None and stored in _DTYPES.values() and stored != wanted:
        text = (
            f"{count} of {counted(len(folder.tensors), 'tensor')} {verb(count, 'is', 'are')} stored as "
            f"{stored}, config.json says {said}"
        )
        yield finding("dtype-drift", text, [Evidence(file="config.json", found=stored, expected=wanted)],
                      names=places(subject))  # fmt: skip
