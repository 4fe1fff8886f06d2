"""Which trainer wrote a folder: pure recognition from file names, cards, JSON keys and class paths.

Trainers are stacked (AutoTrain drives TRL, which drives transformers), so several leave traces in one folder. The
answer is the outermost one: the program that the user started.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Strength = Literal["certain", "strong", "weak"]

# Outermost first: each may run on what stands after it.
TITLES: dict[str, str] = {
    "autotrain": "AutoTrain",
    "axolotl": "Axolotl",
    "llamafactory": "LLaMA-Factory",
    "ms-swift": "ms-swift",
    "torchtune": "torchtune",
    "mlx-lm": "MLX LM",
    "unsloth": "Unsloth",
    "trl": "TRL",
    "transformers": "HF Trainer",
    "peft": "PEFT alone",
}
# The order in which traces of several trainers count.
_STRENGTHS: dict[Strength, int] = {"certain": 0, "strong": 1, "weak": 2}
_CHECKPOINT = re.compile(r"(?:tmp-)?(?:checkpoint|iter)[-_](\d+)|(?:epoch|step)_(\d+)")
_SWIFT_RUN = re.compile(r"v\d+-\d{8}-\d{6}")
_TAG = re.compile(r"^\s*-\s*['\"]?([\w.:/-]{1,100})['\"]?\s*$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Traces:
    """What one folder shows. `names` are its entries; `documents` its JSON objects, by file name; `card` its README.md.

    `classes` are the class paths named in training_args.bin, read as opcodes, outermost object first. `folder` is the
    folder's own name. `recipes` maps YAML files to the trainer whose recipe each is.
    """

    folder: str = ""
    names: frozenset[str] = frozenset()
    documents: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    card: str | None = None
    classes: tuple[str, ...] = ()
    recipes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainerSign:
    """One trace of a trainer: in which file, what it is, and the trainer's version where it says so."""

    trainer: str
    strength: Strength
    file: str
    note: str
    version: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognised:
    """`trainer` is a key of `TITLES`; `through` are the inner ones that left traces of their own."""

    trainer: str
    version: str | None
    strength: Strength
    signs: tuple[TrainerSign, ...]
    through: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return TITLES[self.trainer]


def recognise(traces: Traces, *, run: Traces | None = None) -> Recognised | None:
    """The trainer that wrote a folder; `run` is the folder around it where this is a checkpoint of a run.

    None where nothing is recognised.
    """
    signs = list(_signs(traces))
    if run is not None:
        signs += [sign for sign in _signs(run) if sign.trainer != "peft"]
    if not signs:
        return None
    order = list(TITLES)
    signs.sort(key=lambda sign: (order.index(sign.trainer), _STRENGTHS[sign.strength]))
    # A weak trace (a name, a tag that survives further training) yields to anything firm.
    firm = [sign for sign in signs if sign.strength != "weak"] or signs
    trainer = firm[0].trainer
    versions = [sign.version for sign in signs if sign.trainer == trainer and sign.version]
    inner = dict.fromkeys(sign.trainer for sign in signs if order.index(sign.trainer) > order.index(trainer))
    return Recognised(
        trainer=trainer,
        version=versions[0] if versions else None,
        strength=firm[0].strength,
        signs=tuple(signs),
        through=tuple(name for name in inner if name != "peft"),
    )


def checkpoint_step(name: str) -> int | None:
    """The step (or epoch) that a folder's name says it was saved at: `checkpoint-500`, `epoch_1`; None for others."""
    found = _CHECKPOINT.fullmatch(name)
    return int(found.group(1) or found.group(2)) if found and len(found.group(0)) < 40 else None


def card_tags(card: str) -> frozenset[str]:
    """The tags in a model card's front matter, and its `library_name`, without a YAML parser."""
    lines = card.splitlines()[:400]
    if not lines or lines[0].strip() != "---":
        return frozenset()
    found: set[str] = set()
    within = False
    for line in lines[1:]:
        if line.strip() == "---":
            break
        key, colon, value = line.partition(":")
        if colon and key and not key[0].isspace() and not key.startswith("-"):
            within = key == "tags"
            if within and value.strip().startswith("["):
                found |= {part.strip(" []'\"") for part in value.split(",")}
            if key == "library_name" and value.strip():
                found.add(value.strip())
        elif within and (tag := _TAG.match(line)):
            found.add(tag.group(1))
    return frozenset(found - {""})


def _signs(traces: Traces) -> Iterator[TrainerSign]:
    yield from _of_documents(traces)
    yield from _of_names(traces)
    if traces.card is not None:
        yield from _of_card(traces.card)
    yield from _of_classes(traces.classes)
    for name, trainer in traces.recipes.items():
        yield TrainerSign(trainer=trainer, strength="strong", file=name, note="a recipe of this trainer")


def _of_documents(traces: Traces) -> Iterator[TrainerSign]:
    documents = traces.documents
    parameters = documents.get("training_params.json")
    if parameters is not None and {"project_name", "model"} <= set(parameters):
        yield TrainerSign(
            trainer="autotrain", strength="certain", file="training_params.json", note="AutoTrain's parameters"
        )
    for name in ("args.json", "sft_args.json"):
        arguments = documents.get(name, {})
        version = arguments.get("swift_version")
        if isinstance(version, str) and version:
            yield TrainerSign(
                trainer="ms-swift", strength="certain", file=name, note=f"swift_version {version}", version=version
            )
        elif {"sft_type"} & set(arguments) or {"tuner_type", "model_type", "template"} <= set(arguments):
            yield TrainerSign(trainer="ms-swift", strength="strong", file=name, note="ms-swift's arguments")
    for name in ("config.json", "adapter_config.json"):
        version = documents.get(name, {}).get("unsloth_version")
        if isinstance(version, str):
            yield TrainerSign(
                trainer="unsloth", strength="strong", file=name, note=f"unsloth_version {version}", version=version
            )
    yield from _of_adapter_config(documents.get("adapter_config.json"), traces.names)


def _of_adapter_config(config: Mapping[str, object] | None, names: frozenset[str]) -> Iterator[TrainerSign]:
    if config is None:
        return
    file = "adapter_config.json"
    mapping = config.get("auto_mapping")
    if isinstance(mapping, dict) and mapping.get("unsloth_fixed"):
        yield TrainerSign(trainer="unsloth", strength="strong", file=file, note="auto_mapping says unsloth_fixed")
    base = config.get("base_model_name_or_path")
    if isinstance(base, str) and base.lower().startswith("unsloth/"):
        yield TrainerSign(trainer="unsloth", strength="weak", file=file, note="the base is one that Unsloth publishes")
    if "fine_tune_type" in config or "lora_parameters" in config:
        yield TrainerSign(trainer="mlx-lm", strength="certain", file=file, note="MLX's own adapter format")
    elif {"r", "lora_alpha", "target_modules"} <= set(config):
        # peft writes every field of its dataclass; torchtune four or five of them, beside its own .pt of the weights.
        if len(config) <= 6 and "adapter_model.pt" in names:
            note = "only the fields that torchtune writes, and adapter_model.pt"
            yield TrainerSign(trainer="torchtune", strength="strong", file=file, note=note)
        elif "inference_mode" in config:
            yield TrainerSign(trainer="peft", strength="weak", file=file, note="a peft config")
    elif isinstance(config.get("peft_type"), str):
        yield TrainerSign(trainer="peft", strength="weak", file=file, note="a peft config")


# File names that one trainer alone writes, and how sure that makes us.
_FILES: dict[str, tuple[str, Strength]] = {
    "torchtune_config.yaml": ("torchtune", "certain"),
    "autotrain-data": ("autotrain", "strong"),
    "llamaboard_config.yaml": ("llamafactory", "certain"),
    "trainer_log.jsonl": ("llamafactory", "strong"),
    "sft_args.json": ("ms-swift", "strong"),
    "additional_config.json": ("ms-swift", "weak"),
    "adapters.safetensors": ("mlx-lm", "strong"),
    "trainer_state.json": ("transformers", "strong"),
    "training_args.bin": ("transformers", "strong"),
    "train_results.json": ("transformers", "weak"),
}


def _of_names(traces: Traces) -> Iterator[TrainerSign]:
    for name, (trainer, strength) in _FILES.items():
        if name in traces.names:
            yield TrainerSign(trainer=trainer, strength=strength, file=name, note="a file that this trainer writes")
    if "recipe_state" in traces.names and any(name.startswith("epoch_") for name in traces.names):
        yield TrainerSign(trainer="torchtune", strength="strong", file="recipe_state", note="torchtune's recipe state")
    if _SWIFT_RUN.fullmatch(traces.folder):
        yield TrainerSign(
            trainer="ms-swift", strength="weak", file=traces.folder, note="a folder named as ms-swift names its runs"
        )


_TAGS: dict[str, tuple[str, Strength]] = {
    "autotrain": ("autotrain", "strong"),
    "axolotl": ("axolotl", "strong"),
    "llama-factory": ("llamafactory", "strong"),
    "unsloth": ("unsloth", "strong"),
    "swift": ("ms-swift", "weak"),
    "torchtune": ("torchtune", "strong"),
    "mlx": ("mlx-lm", "weak"),
    "trl": ("trl", "strong"),
    "generated_from_trainer": ("transformers", "strong"),
    "peft": ("peft", "weak"),
}
_PHRASES: tuple[tuple[re.Pattern[str], str, Strength], ...] = (
    (re.compile(r"^# Model Trained Using AutoTrain", re.MULTILINE), "autotrain", "strong"),
    (re.compile(r"axolotl version: `([^`\n]{1,60})`"), "axolotl", "certain"),
    (re.compile(r"[Bb]uilt with Axolotl"), "axolotl", "strong"),
    (re.compile(r"^- Swift:? ([\w.+]{1,40})\s*$", re.MULTILINE), "ms-swift", "strong"),
    (re.compile(r"trained 2x faster with \[Unsloth\]"), "unsloth", "strong"),
    (re.compile(r"^- TRL:? ([\w.+]{1,40})\s*$", re.MULTILINE), "trl", "strong"),
    (re.compile(r"trained using \[TRL\]"), "trl", "strong"),
)


def _of_card(card: str) -> Iterator[TrainerSign]:
    for tag in sorted(card_tags(card)):
        if tag in _TAGS:
            trainer, strength = _TAGS[tag]
            yield TrainerSign(trainer=trainer, strength=strength, file="README.md", note=f"tag `{tag}`")
    for pattern, trainer, strength in _PHRASES:
        found = pattern.search(card)
        if found is not None:
            version = found.group(1) if pattern.groups else None
            yield TrainerSign(
                trainer=trainer, strength=strength, file="README.md", note=found.group(0)[:80].strip(), version=version
            )


_MODULES: dict[str, str] = {
    "autotrain": "autotrain",
    "axolotl": "axolotl",
    "llamafactory": "llamafactory",
    "llmtuner": "llamafactory",
    "swift": "ms-swift",
    "unsloth": "unsloth",
    "UnslothSFTTrainer": "unsloth",
    "trl": "trl",
    "transformers": "transformers",
}


def _of_classes(classes: tuple[str, ...]) -> Iterator[TrainerSign]:
    """The class of the saved arguments; enumerations of transformers stand in every one of these files."""
    for path in classes:
        last = path.rpartition(".")[2]
        if not last.endswith(("Arguments", "Config")):
            continue
        root = path.partition(".")[0]
        trainer = _MODULES.get(root) or ("unsloth" if root.startswith("Unsloth") else None)
        if trainer is not None:
            yield TrainerSign(trainer=trainer, strength="strong", file="training_args.bin", note=path[:120])
