"""What differs between the records of two runs, each difference with the cause that it would be. Pure."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

import msgspec

from envpin.core.versions import same_build
from envpin.manifest.compare import DECISIVE
from envpin.manifest.training import CodeInfo, DatasetInfo, TrainingInfo
from envpin.manifest.types import BaseModel, Manifest, PythonInfo, TokenizerInfo, TorchInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Cause = Literal[
    "world size", "resume", "seed", "data order", "data", "chat template", "tokenizer", "batch size", "accumulation",
    "adapter config", "dropout", "learning rate", "optimizer", "hyperparameter", "precision", "attention", "kernel",
    "base weights", "package", "code", "environment variable", "hardware",
]  # fmt: skip

# Arguments of the trainer by what they decide; those that only say what is logged, saved and evaluated are absent from
# both tables by prefix.
_ARGUMENTS: dict[str, Cause] = {
    "seed": "seed", "data_seed": "data order", "group_by_length": "data order", "train_sampling_strategy": "data order",
    "shuffle_dataset": "data order",
    "learning_rate": "learning rate", "warmup_steps": "learning rate", "warmup_ratio": "learning rate",
    "lr_scheduler_type": "learning rate", "lr_scheduler_kwargs": "learning rate", "num_train_epochs": "learning rate",
    "max_steps": "learning rate",
    "per_device_train_batch_size": "batch size", "auto_find_batch_size": "batch size",
    "gradient_accumulation_steps": "accumulation",
    "bf16": "precision", "fp16": "precision", "tf32": "precision", "fp16_opt_level": "precision",
    "half_precision_backend": "precision",
    "weight_decay": "optimizer", "max_grad_norm": "optimizer",
    "gradient_checkpointing": "kernel", "gradient_checkpointing_kwargs": "kernel", "full_determinism": "kernel",
    "use_liger_kernel": "kernel", "deepspeed": "kernel", "accelerator_config": "kernel",
    "packing": "data", "max_length": "data", "max_seq_length": "data", "dataset_text_field": "data",
    "padding_free": "data", "max_prompt_length": "data", "max_completion_length": "data", "truncation_mode": "data",
}  # fmt: skip
_PREFIXES: tuple[tuple[str, Cause], ...] = (
    ("adam_", "optimizer"), ("optim", "optimizer"), ("dataloader_", "data order"), ("torch_compile", "kernel"),
    ("fsdp", "kernel"), ("ddp_", "kernel"),
)  # fmt: skip
_SAYING_NOTHING = (
    "output_dir", "logging", "log_", "run_name", "save", "eval", "hub_", "push_", "report_to", "disable_tqdm", "do_",
    "_n_gpu", "local_rank", "project", "trackio", "resume_from", "overwrite", "load_best", "metric_for", "greater_is",
    "label_names", "past_index", "skip_memory", "jit_mode", "include_", "batch_eval", "prediction_loss",
    "per_device_eval", "restore_callback", "ignore_data_skip", "use_cpu", "no_cuda", "ray_", "enable_jit",
)  # fmt: skip
# The loader of an evaluation draws its seed from torch's generator, and dropout draws from there after it.
_DRAWING = frozenset({"eval_strategy", "eval_steps", "eval_on_start", "eval_delay"})
_KERNELS: dict[str, Cause] = {
    "attention": "attention", "dropout": "dropout", "autocast": "precision", "dtype": "precision",
    "matmul_precision": "precision", "cudnn_tf32": "precision", "matmul_tf32": "precision",
    "default_dtype": "precision", "processor": "hardware", "cpu_capability": "hardware",
}  # fmt: skip
_NO_CAUSE = frozenset({"cores"})
# Set by launchers, or where a run finds its models: nothing is computed otherwise because of them.
_OF_THE_PLACE = frozenset(
    {"WORLD_SIZE", "LOCAL_WORLD_SIZE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "CUDA_VISIBLE_DEVICES",
     "HIP_VISIBLE_DEVICES", "TOKENIZERS_PARALLELISM", "CUDA_MODULE_LOADING"}
)  # fmt: skip
_ADAPTER_SAYING_NOTHING = frozenset(
    {"inference_mode", "base_model_name_or_path", "peft_version", "revision", "auto_mapping"}
)
_VOCABULARIES = frozenset(
    {"tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model",
     "sentencepiece.bpe.model", "tekken.json"}
)  # fmt: skip
# Files of the command that hold rows; all others say how to train.
_ROWS = frozenset({".jsonl", ".csv", ".tsv", ".parquet", ".arrow", ".txt"})
_ABSENT = "absent"


class FactDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded fact that is another one in the other run. `weak`: it is seldom what makes a run part."""

    cause: Cause
    what: str
    before: str
    after: str
    weak: bool = False


def differing_facts(before: Manifest, after: Manifest) -> tuple[FactDifference, ...]:
    """Every recorded difference that could make one run part from the other; what only one side tells is left out."""
    old, new = before.training or TrainingInfo(), after.training or TrainingInfo()
    return (
        *_differ("world size", "world size", *(_world_size(side) for side in (before, after))),
        *_differ("resume", "first step", old.first_step, new.first_step),
        *_arguments(old.arguments, new.arguments),
        *_adapter_config(before, after),
        *_mapping("optimizer", "optimizer", {"name": old.optimizer.get("name")}, {"name": new.optimizer.get("name")}),
        *_kernels(old.kernels, new.kernels),
        *_base(before.base or BaseModel(), after.base or BaseModel()),
        *_tokenizer(before.tokenizer or TokenizerInfo(), after.tokenizer or TokenizerInfo()),
        *_data(old, new),
        *_packages(before, after),
        *_code(before, after),
        *_differ("code", "collator", old.collator, new.collator),
        *_differ(
            "code", "trainer", before.trainer and before.trainer.class_name, after.trainer and after.trainer.class_name
        ),
        *_environment(before, after),
        *_hardware(before, after),
        *_generators(old, new),
    )


def _world_size(manifest: Manifest) -> int | None:
    of_trainer = manifest.training.world_size if manifest.training is not None else None
    return of_trainer or (manifest.run.world_size if manifest.run is not None else None)


def _differ(cause: Cause, what: str, before: object, after: object, *, weak: bool = False) -> Iterator[FactDifference]:
    if before is not None and after is not None and before != after:
        yield FactDifference(cause=cause, what=what, before=_text(before), after=_text(after), weak=weak)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 200 else f"{text[:197]}…"


def _mapping(
    cause: Cause, part: str, before: Mapping[str, object], after: Mapping[str, object]
) -> Iterator[FactDifference]:
    for key in sorted(before.keys() & after.keys()):
        yield from _differ(cause, f"{part} {key}", before[key], after[key])


def _arguments(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[FactDifference]:
    for key in sorted(before.keys() & after.keys()):
        draws = key in _DRAWING
        if (key.startswith(_SAYING_NOTHING) and not draws) or before[key] == after[key]:
            continue
        prefix: Cause | None = next((cause for start, cause in _PREFIXES if key.startswith(start)), None)
        cause: Cause = _ARGUMENTS.get(key) or prefix or "hyperparameter"
        yield FactDifference(cause=cause, what=key, before=_value(before[key]), after=_value(after[key]), weak=draws)


def _value(value: object) -> str:
    return "none" if value is None else _text(value)


def _adapter_config(before: Manifest, after: Manifest) -> Iterator[FactDifference]:
    old = (before.saved.config if before.saved else None) or {}
    new = (after.saved.config if after.saved else None) or {}
    for key in sorted((old.keys() & new.keys()) - _ADAPTER_SAYING_NOTHING):
        if _ordered(old[key]) != _ordered(new[key]):
            cause: Cause = "dropout" if "dropout" in key else "adapter config"
            yield FactDifference(cause=cause, what=f"adapter {key}", before=_value(old[key]), after=_value(new[key]))


def _ordered(value: object) -> object:
    return sorted(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value


def _kernels(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[FactDifference]:
    for key in sorted((before.keys() & after.keys()) - _NO_CAUSE):
        yield from _differ(_KERNELS.get(key, "kernel"), key.replace("_", " "), before[key], after[key])


def _base(before: BaseModel, after: BaseModel) -> Iterator[FactDifference]:
    whole = before.files.keys() & after.files.keys()
    for name in sorted(whole):
        yield from _differ("base weights", f"base {name}", before.files[name][:12], after.files[name][:12])
    for name in sorted((before.weights.keys() & after.weights.keys()) - whole):
        one, other = before.weights[name], after.weights[name]
        if one != other:
            yield FactDifference(cause="base weights", what=f"base {name}", before=one.blocks_sha256[:12],
                                 after=other.blocks_sha256[:12])  # fmt: skip
    yield from _differ("base weights", "base config", before.config_sha256, after.config_sha256, weak=True)
    yield from _differ("precision", "base dtype", before.dtype, after.dtype)
    yield from _differ("precision", "base quantization", before.quantization, after.quantization)


def _tokenizer(before: TokenizerInfo, after: TokenizerInfo) -> Iterator[FactDifference]:
    one, other = before.chat_template_sha256, after.chat_template_sha256
    if one != other:
        yield FactDifference(cause="chat template", what="chat template", before=(one or _ABSENT)[:12],
                             after=(other or _ABSENT)[:12])  # fmt: skip
    yield from _differ("tokenizer", "tokenizer length", before.length, after.length)
    for name in sorted((before.files.keys() & after.files.keys()) if before.source == after.source else ()):
        rules = name == "tokenizer.json" and before.rules_sha256 is not None
        # The rest has the template, and what a tokenizer was loaded with or last asked for.
        weak = name not in _VOCABULARIES or (rules and before.rules_sha256 == after.rules_sha256)
        yield from _differ("tokenizer", name, before.files[name][:12], after.files[name][:12], weak=weak)
    old, new = ({one.text: list(one.ids) for one in side.samples} for side in (before, after))
    for text in sorted(old.keys() & new.keys()):
        yield from _differ("tokenizer", f"tokens of {text[:20]!r}", old[text], new[text])


def _data(before: TrainingInfo, after: TrainingInfo) -> Iterator[FactDifference]:
    if before.dataset is not None and after.dataset is not None:
        old, new = before.dataset, after.dataset
        yield from _differ("data", "rows", old.rows, new.rows)
        yield from _differ("data", "contents of the rows", _short(old.members), _short(new.members))
        if old.members == new.members:
            yield from _differ("data order", "order of the rows", _short(old.order), _short(new.order))
    for number, (one, other) in enumerate(zip(before.datasets, after.datasets, strict=False), 1):
        yield from _dataset(f"dataset {number}", one, other)


def _dataset(label: str, before: DatasetInfo, after: DatasetInfo) -> Iterator[FactDifference]:
    yield from _differ("data", f"{label} commit", before.commit, after.commit)
    yield from _differ("data", f"{label} repository", before.repository, after.repository)
    old, new = ({path: file.sha256 for path, file in side.files.items() if file.sha256} for side in (before, after))
    if old and new:
        yield from _other_files("data", old, new, whole=len(old) == len(before.files) and len(new) == len(after.files))


def _short(digest: str | None) -> str | None:
    return None if digest is None else digest[:12]


def _packages(before: Manifest, after: Manifest) -> Iterator[FactDifference]:
    old, new = ({one.name: one.version for one in side.distributions} for side in (before, after))
    if not old or not new:
        return
    found: list[FactDifference] = []
    for name in sorted(old.keys() | new.keys()):
        one, other = old.get(name), new.get(name)
        if not same_build(one, other):
            found.append(FactDifference(cause="package", what=name, before=one or _ABSENT, after=other or _ABSENT,
                                        weak=None in (one, other)))  # fmt: skip
    yield from sorted(found, key=lambda one: (one.weak, one.what not in DECISIVE))
    python, other_python = (side.python or PythonInfo() for side in (before, after))
    yield from _differ("package", "python", python.version, other_python.version, weak=True)


def _code(before: Manifest, after: Manifest) -> Iterator[FactDifference]:
    old, new = before.code, after.code
    if old is None or new is None:
        return
    yield from _differ("code", "script", _short(old.sha256), _short(new.sha256))
    files, others = _apart_from_script(old, old.folder, old.files), _apart_from_script(new, new.folder, new.files)
    yield from _other_files("code", files, others, whole=not old.left_out and not new.left_out)
    named, renamed = (_apart_from_script(side, side.directory, side.named) for side in (old, new))
    for name in sorted((named.keys() & renamed.keys()) - files.keys()):
        cause: Cause = "data" if PurePath(name).suffix in _ROWS else "code"
        yield from _differ(cause, name, _short(named[name]), _short(renamed[name]))


def _apart_from_script(code: CodeInfo, folder: str | None, files: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if str(PurePath(folder or "", name)) != code.script}


def _other_files(
    cause: Cause, files: Mapping[str, str], others: Mapping[str, str], *, whole: bool
) -> Iterator[FactDifference]:
    """Files with their digests that hold something else. One of the same name or content elsewhere stands for one that
    was moved; that there is none counts where the lists are whole."""
    for name in sorted(files.keys() & others.keys()):
        yield from _differ(cause, _last(name) if cause == "data" else name, _short(files[name]),
                           _short(others[name]))  # fmt: skip
    old, new = ({name: one[name] for name in sorted(one.keys() - other.keys())}
                for one, other in ((files, others), (others, files)))  # fmt: skip
    for by_name in (False, True):
        for name in list(old):
            alike = (other for other in new
                     if (_last(name) == _last(other) if by_name else old[name] == new[other]))  # fmt: skip
            if (found := next(alike, None)) is not None:
                yield from _differ(cause, _last(name) if cause == "data" else name, _short(old.pop(name)),
                                   _short(new.pop(found)))  # fmt: skip
    for name in sorted(old.keys() | new.keys()) if whole else ():
        yield FactDifference(cause=cause, what=_last(name) if cause == "data" else name,
                             before=_short(old.get(name)) or _ABSENT, after=_short(new.get(name)) or _ABSENT,
                             weak=cause == "code")  # fmt: skip


def _last(name: str) -> str:
    return PurePath(name).name


def _environment(before: Manifest, after: Manifest) -> Iterator[FactDifference]:
    """Variables that are not equal; those of threads only where torch does not say that it used as many."""
    old, new = (side.run.environment if side.run else {} for side in (before, after))
    threads = [side.training.kernels.get("threads") if side.training else None for side in (before, after)]
    for name in sorted((old.keys() | new.keys()) - _OF_THE_PLACE):
        one, other = old.get(name), new.get(name)
        of_threads = "THREADS" in name
        if one == other or (of_threads and threads[0] is not None and threads[0] == threads[1]):
            continue
        hashes = name == "PYTHONHASHSEED"  # the order of sets; a Python without it draws one
        yield FactDifference(cause="data order" if hashes else "environment variable", what=name,
                             before=one or _ABSENT, after=other or _ABSENT, weak=of_threads or hashes)  # fmt: skip


def _hardware(before: Manifest, after: Manifest) -> Iterator[FactDifference]:
    old, new = before.torch or TorchInfo(), after.torch or TorchInfo()
    yield from _differ("hardware", "gpus", [one.name for one in old.gpus], [one.name for one in new.gpus])
    yield from _differ("hardware", "driver", old.driver, new.driver)
    one, other = before.python or PythonInfo(), after.python or PythonInfo()
    yield from _differ("hardware", "machine", one.machine, other.machine)
    yield from _differ("hardware", "libc", one.libc, other.libc, weak=True)


def _generators(before: TrainingInfo, after: TrainingInfo) -> Iterator[FactDifference]:
    """Another state of the generators before the adapter was made. Where the seed differs too, that says it better."""
    old, new = (side.initial.made if side.initial else None for side in (before, after))
    if old is None or new is None:
        return
    yield from _differ("seed", "torch's seed when the adapter was made", old.seed, new.seed)
    if old.seed == new.seed:
        yield from _differ("seed", "torch's generator when the adapter was made", old.generators.get("torch"),
                           new.generators.get("torch"), weak=True)  # fmt: skip
