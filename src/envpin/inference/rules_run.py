"""What the trainer, the base and the tensors' names say about the run's versions. Pure."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from envpin.inference.combine import Signal, combine
from envpin.inference.pythons import PYTHON, PYTHONS, series_of
from envpin.inference.statements import stated_signal
from envpin.matrix.fields import load_fields
from envpin.matrix.load import load_matrix
from envpin.matrix.support import Support, load_support

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping

    from envpin.inference.beside import Listed
    from envpin.inference.combine import Range
    from envpin.inference.observe import Observed
    from envpin.inference.trainers import Recognised
    from envpin.inference.versions import Known
    from envpin.matrix.match import Match

# Vision-language models whose language model transformers 4.52 moved: transformers#38627.
_MOVED = frozenset({"qwen2_vl", "qwen2_5_vl", "llava", "llava_next", "llava_next_video", "llava_onevision", "gemma3",
                    "mistral3", "mllama", "internvl", "paligemma", "aya_vision", "got_ocr2", "idefics3", "smolvlm",
                    "video_llava", "vipllava", "fuyu", "emu3"})  # fmt: skip
# Since then `model.language_model.…`; before, `language_model.model.…`, and Qwen's straight `model.layers.…`.
_NEW_PLACE = re.compile(r"^base_model\.model\.model\.language_model\.")
_OLD_PLACE = re.compile(r"^base_model\.model\.(?:language_model\.model\.|model\.layers\.)")
# Mixtures whose experts transformers 5 fused into one parameter: transformers#42491.
_FUSED = frozenset({"qwen2_moe", "qwen3_moe", "mixtral", "deepseek_v3", "olmoe", "glm4_moe", "qwen3_next", "phimoe"})
# What a signal of the base is from: nothing that the run itself wrote.
BASE_CONFIG = "the base's config.json"
BASE_NAME = "the base's name"
_EXPERT = re.compile(r"\.experts\.\d+\.")


def run_signals(observed: Observed, trainer: Recognised | None, known: Mapping[str, Known]) -> Iterator[Signal]:
    yield from _autotrain(observed, known)
    if trainer is not None:
        yield from _declared(trainer, known)
    for one in observed.listed:
        if one.package not in known:
            continue  # Python, which `python_range` reads
        found = stated_signal(one.package, one.version, one.file, known[one.package], strength=one.strength)
        if found.admits:
            yield found
    yield from _base(observed, known["transformers"])
    yield from _layout(observed, known)
    if observed.day is not None:
        yield from _dates(observed.day, observed.day_source, known)


def python_range(listed: Iterable[Listed]) -> Range | None:
    """What the files say of the run's Python; None where none does."""
    signals = [
        Signal(
            package=PYTHON, strength=one.strength, file=one.file, says=f"python {one.version[:60]}",
            admits=PYTHONS.stated(series_of(one.version) or ""), stated=True, version=one.version.strip(),
        )
        for one in listed
        if one.package == PYTHON and series_of(one.version)
    ]  # fmt: skip
    return combine(signals, PYTHONS) if signals else None


def family_signals(family: Match, known: Mapping[str, Known]) -> Iterator[Signal]:
    """What the matrix asks of the base's family, where it was recognised. Kinship alone asks nothing.

    Where the config fits several families, a release that one of them allows is allowed.
    """
    yield from _condition_signals(family, known)
    if family.family is None or family.certainty not in {"exact", "ambiguous", "by name"}:
        return
    matrix = load_matrix()
    families = [family.family, *(matrix.families[one] for one in family.alternatives if one in matrix.families)]
    file = BASE_CONFIG if family.basis == "config" else BASE_NAME
    for package, releases in known.items():
        wanted = [one.requires[package].versions if package in one.requires else "" for one in families]
        if all(wanted):
            admits = frozenset[str]().union(*map(releases.within, wanted))
            says = f"the base is {family.family.title}, which needs {package} {' or '.join(dict.fromkeys(wanted))}"
            yield Signal(package=package, strength="strong", file=file, says=says, admits=admits)


def _condition_signals(family: Match, known: Mapping[str, Known]) -> Iterator[Signal]:
    """What this model needs beyond its family, by fields of its config and by its parts: a head_dim of its own."""
    if not family.is_one:
        return
    file = BASE_CONFIG if family.basis == "config" else BASE_NAME
    own = {} if family.family is None else {name: one.versions for name, one in family.family.requires.items()}
    for need in family.needs:
        if need.package in known and own.get(need.package) != need.versions:
            admits = known[need.package].within(need.versions)
            says = f"needs {need.package} {need.versions}: {need.reason}"
            if len(admits) < len(known[need.package].versions):
                yield Signal(package=need.package, strength="strong", file=file, says=says, admits=admits)


def base_type(observed: Observed) -> str | None:
    """The base's model type: of its config, else of the module that peft noted in `auto_mapping`."""
    kind = (observed.base_config or {}).get("model_type")
    if isinstance(kind, str):
        return kind
    mapping = (observed.adapter_config or {}).get("auto_mapping")
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    found = re.fullmatch(r"transformers\.models\.(\w{1,60})\.\w+", library) if isinstance(library, str) else None
    return found.group(1) if found and found.group(1) in load_support().model_types else None


def brings_code(observed: Observed) -> bool:
    """Whether the base's classes are its own: then no release of transformers needs to know it."""
    return observed.base_runs_code


def ran_own_code(observed: Observed) -> bool:
    """Whether the run's own config.json says so: many bases brought code before transformers had their type."""
    saved = observed.traces.documents.get("config.json")
    return observed.base_config is None and bool((saved or {}).get("auto_map"))


def autotrain_releases(parameters: Mapping[str, object]) -> tuple[str, ...]:
    """The releases of AutoTrain that write exactly these parameters."""
    package = load_fields().packages["autotrain-advanced"]
    facts = package.classes.get("llm")
    if facts is None:
        return ()
    return tuple(
        version
        for at, version in enumerate(package.releases)
        if {name for name, one in facts.fields.items() if any(first <= at <= last for first, last in one.spans)}
        == set(parameters)
    )


def _autotrain(observed: Observed, known: Mapping[str, Known]) -> Iterator[Signal]:
    """AutoTrain pins what it runs on, so that its release tells all of it."""
    parameters = observed.traces.documents.get("training_params.json")
    releases = autotrain_releases(parameters) if parameters else ()
    package = load_fields().packages["autotrain-advanced"]
    pins = [package.pinned(package.positions[release]) for release in releases]
    for name in ("peft", "transformers", "torch"):
        if pins and all(name in one for one in pins):
            admits = frozenset[str]().union(*(known[name].stated(one[name]) for one in pins))
            which = releases[0] if len(releases) == 1 else f"{releases[0]} to {releases[-1]}"
            says = f"AutoTrain {which} requires {name} {known[name].describe(admits)}"
            yield Signal(package=name, strength="strong", file="training_params.json", says=says, admits=admits)


def _declared(trainer: Recognised, known: Mapping[str, Known]) -> Iterator[Signal]:
    """What the trainer's release declares, where its version is known."""
    if trainer.version is None:
        return
    version = trainer.version.strip("`v ")
    declared = _trainer_pins().get(trainer.trainer, {}).get(version, {})
    for name, wanted in declared.items():
        admits = known[name].within(wanted)
        if admits and len(admits) < len(known[name].versions):
            file = next((sign.file for sign in trainer.signs if sign.version), trainer.signs[0].file)
            says = f"{trainer.title} {version} requires {name}{wanted}"
            yield Signal(package=name, strength="strong", file=file, says=says, admits=admits)


@cache
def _trainer_pins() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    text = resources.files("envpin.inference").joinpath("trainer_pins.json").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, Mapping[str, str]]] = json.loads(text)["trainers"]
    return found


@cache
def _support() -> Support:
    return load_support()


def _base(observed: Observed, known: Known) -> Iterator[Signal]:
    kind = base_type(observed)
    file = BASE_CONFIG if observed.base_config else "adapter_config.json"
    if kind is not None and not brings_code(observed):
        support = _support()
        admits = frozenset(version for version in known.versions if support.knows(version, kind) is not False)
        if admits and len(admits) < len(known.versions):
            says = f"the base is a `{kind}`"
            yield Signal(package="transformers", strength="strong", file=file, says=says, admits=admits)
    config = observed.base_config or {}
    rope = config.get("rope_scaling")
    if isinstance(rope, dict) and rope.get("rope_type") == "llama3":
        says = "`rope_scaling` of type llama3"
        yield Signal(package="transformers", strength="strong", file=file, says=says, admits=known.within(">=4.43.0"))
    if isinstance(config.get("rope_parameters"), dict) and "rope_theta" not in config:
        says = "`rope_parameters`, as transformers 5 writes it"
        yield Signal(package="transformers", strength="weak", file=file, says=says, admits=known.within(">=5.0.0"))


def _layout(observed: Observed, known: Mapping[str, Known]) -> Iterator[Signal]:
    kind = base_type(observed)
    names = list(observed.tensors)
    file = next(iter(observed.weight_files), "adapter_model")
    transformers = known["transformers"]
    if kind in _MOVED:
        if any(_NEW_PLACE.match(name) for name in names):
            says = "tensors below `model.language_model.`"
            admits = transformers.within(">=4.52.0")
            yield Signal(package="transformers", strength="strong", file=file, says=says, admits=admits)
        elif any(_OLD_PLACE.match(name) for name in names):
            says = "tensors where 4.51 and older had the language model"
            admits = transformers.within("<4.52.0")
            yield Signal(package="transformers", strength="strong", file=file, says=says, admits=admits)
    if kind in _FUSED and any(_EXPERT.search(name) and ".lora_" in name for name in names):
        says = "LoRA on single experts, which transformers 5 fused"
        admits = transformers.within("<5.0.0")
        yield Signal(package="transformers", strength="strong", file=file, says=says, admits=admits)
    if any(".experts.base_layer.lora_" in name or ".experts.lora_" in name for name in names):
        says = "LoRA on a fused parameter (`target_parameters`)"
        yield Signal(package="peft", strength="hard", file=file, says=says, admits=known["peft"].within(">=0.17.0"))


def _dates(day: dt.date, source: str, known: Mapping[str, Known]) -> Iterator[Signal]:
    """Nothing that came out later can have been used. Weak: clocks lie, and copies are younger than their run."""
    for name in ("peft", "transformers", "torch"):
        admits = frozenset(version for version, date in known[name].dates.items() if not date or date <= str(day))
        if admits:
            says = f"not after {day}"
            yield Signal(package=name, strength="weak", file=source, says=says, admits=admits)
