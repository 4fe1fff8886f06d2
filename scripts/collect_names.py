"""Collect which release gained or lost a public name: `python scripts/collect_names.py` writes logs/facts/names.json.

Read from the wheels as syntax, by range request, the last patch of each minor series: the names at the top level of the
modules that other people's code imports from, what a package's `__init__` re-exports, the members of classes that code
of models uses, the arguments of the constructors and of a few methods, and the modules by their files. Only what changed
is kept.
"""

from __future__ import annotations

import ast
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from envpin.diagnose.logs.facts.model_types import model_type_of
from envpin.remote.index import Index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envpin.remote.index import Release

TARGET = Path(__file__).resolve().parents[1] / "src" / "envpin" / "diagnose" / "logs" / "facts" / "names.json"
_T = "transformers/"
_MODELS = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "qwen2_vl",
    "qwen2_5_vl",
    "gemma2",
    "gemma3",
    "phi3",
    "bert",
    "gpt2",
    "t5",
    "bart",
    "clip",
    "siglip",
    "whisper",
    "mixtral",
)
_AUTO = (
    "modeling_auto",
    "configuration_auto",
    "tokenization_auto",
    "processing_auto",
    "image_processing_auto",
    "feature_extraction_auto",
    "auto_factory",
)
MODULES: dict[str, tuple[str, list[str]]] = {
    "transformers": (
        "4.26",
        [_T + one for one in (
            "__init__.py", "cache_utils.py", "modeling_utils.py", "configuration_utils.py", "generation/__init__.py",
            "generation/utils.py", "generation/beam_search.py", "generation/logits_process.py",
            "generation/beam_constraints.py", "generation/stopping_criteria.py", "generation_utils.py",
            "utils/__init__.py", "utils/import_utils.py", "utils/generic.py", "utils/hub.py", "utils/doc.py",
            "utils/deprecation.py", "utils/quantization_config.py", "utils/bitsandbytes.py", "file_utils.py",
            "modeling_flash_attention_utils.py", "modeling_attn_mask_utils.py", "modeling_rope_utils.py",
            "modeling_outputs.py", "modeling_layers.py", "masking_utils.py", "pytorch_utils.py", "activations.py",
            "tokenization_utils_base.py", "tokenization_utils.py", "tokenization_utils_fast.py",
            "tokenization_utils_tokenizers.py", "tokenization_utils_sentencepiece.py", "tokenization_python.py", "image_utils.py",
            "image_processing_utils.py", "image_processing_utils_fast.py", "image_transforms.py", "video_utils.py",
            "processing_utils.py", "trainer.py", "trainer_utils.py", "trainer_pt_utils.py", "trainer_callback.py",
            "training_args.py", "training_args_seq2seq.py", "trainer_seq2seq.py", "optimization.py", "deepspeed.py",
            "integrations/__init__.py", "integrations/deepspeed.py", "integrations/bitsandbytes.py",
            "integrations/flash_attention.py", "integrations/sdpa_attention.py", "integrations/peft.py",
            "dynamic_module_utils.py", "modelcard.py", "models/auto/__init__.py", "quantizers/auto.py",
            "loss/loss_utils.py", "debug_utils.py", "data/data_collator.py", "hf_argparser.py",
            "models/llama/tokenization_llama_fast.py", "models/qwen2/tokenization_qwen2_fast.py",
            *(f"models/auto/{name}.py" for name in _AUTO),
            *(f"models/{name}/modeling_{name}.py" for name in _MODELS),
        )],
    ),
    "trl": ("0.7", ["trl/__init__.py", "trl/core.py", "trl/import_utils.py", "trl/models/__init__.py",
                    "trl/models/utils.py", "trl/models/modeling_base.py", "trl/models/modeling_value_head.py",
                    "trl/trainer/__init__.py", "trl/trainer/utils.py", "trl/trainer/base.py",
                    "trl/trainer/ppo_trainer.py", "trl/trainer/sft_trainer.py", "trl/trainer/grpo_trainer.py",
                    "trl/trainer/dpo_trainer.py", "trl/trainer/callbacks.py", "trl/data_utils.py",
                    "trl/extras/profiling.py", "trl/extras/vllm_client.py", "trl/experimental/__init__.py"]),
    "accelerate": ("0.20", ["accelerate/__init__.py", "accelerate/accelerator.py", "accelerate/big_modeling.py",
                            "accelerate/hooks.py", "accelerate/state.py", "accelerate/data_loader.py",
                            "accelerate/utils/__init__.py", "accelerate/utils/memory.py",
                            "accelerate/utils/other.py", "accelerate/utils/modeling.py",
                            "accelerate/utils/imports.py", "accelerate/utils/operations.py",
                            "accelerate/utils/dataclasses.py", "accelerate/utils/versions.py"]),
    "peft": ("0.3", ["peft/__init__.py", "peft/utils/__init__.py", "peft/utils/other.py",
                     "peft/utils/save_and_load.py", "peft/import_utils.py", "peft/mapping.py", "peft/config.py",
                     "peft/peft_model.py", "peft/utils/constants.py", "peft/utils/integrations.py",
                     "peft/tuners/__init__.py", "peft/tuners/lora/__init__.py", "peft/tuners/lora/layer.py",
                     "peft/tuners/lora/model.py", "peft/tuners/lora/bnb.py", "peft/tuners/tuners_utils.py",
                     "peft/tuners/lora.py", "peft/tuners/lora/config.py"]),
    "huggingface_hub": ("0.14", ["huggingface_hub/__init__.py", "huggingface_hub/utils/__init__.py",
                                 "huggingface_hub/errors.py", "huggingface_hub/constants.py",
                                 "huggingface_hub/file_download.py", "huggingface_hub/_snapshot_download.py", "huggingface_hub/hf_api.py"]),
    "datasets": ("2.10", ["datasets/__init__.py", "datasets/load.py", "datasets/utils/__init__.py",
                          "datasets/config.py", "datasets/features/__init__.py", "datasets/arrow_dataset.py",
                          "datasets/utils/file_utils.py", "datasets/download/download_manager.py"]),
}  # fmt: skip
# Where the methods of quantization are kept among the names.
QUANTIZERS = "quantization methods"
# Before names that a module only imports: when it began to is nobody's matter.
IMPORTED = " "
# Classes whose members code of models and scripts uses, and the methods whose arguments it gives.
MEMBERS = {"DynamicCache", "Cache", "StaticCache", "HybridCache", "EncoderDecoderCache", "PreTrainedModel",
           "GenerationMixin", "PreTrainedTokenizerBase", "PreTrainedTokenizer", "PreTrainedTokenizerFast", "Trainer",
           "PretrainedConfig", "PreTrainedConfig", "Accelerator"}  # fmt: skip
# What transformers 5 calls otherwise; the old name stays, as an alias.
RENAMED = {"PretrainedConfig": "PreTrainedConfig", "PreTrainedTokenizerFast": "TokenizersBackend",
           "PreTrainedTokenizer": "PythonBackend"}  # fmt: skip
# Of these, what the instances set counts as well: it is read from outside.
OPEN = {"DynamicCache", "Cache", "StaticCache", "HybridCache", "EncoderDecoderCache", "PretrainedConfig",
        "PreTrainedConfig"}  # fmt: skip


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement that runs on import, whatever the branch."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
                yield from statements(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body)


def names_of(tree: ast.Module) -> set[str] | None:
    """Names that `from module import …` finds: definitions, imports, and what `_import_structure` or `__all__` list.

    None where a module takes whatever other modules list: then its own text does not tell.
    """
    found: set[str] = set()
    if any(isinstance(one, ast.ImportFrom) and one.names[0].name == "*" for one in ast.walk(tree)) and not any(
        isinstance(one, ast.Dict) and len(one.keys) > 10 for one in ast.walk(tree)
    ):
        return None
    for node in statements(tree.body):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {IMPORTED + (one.asname or one.name).split(".")[0] for one in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names = {one.id for one in targets if isinstance(one, ast.Name)}
            found |= names
            text = ast.unparse(node)[:60]
            if "_import_structure" in text or "__all__" in text:
                found |= listed(node)
    return found


def listed(node: ast.stmt) -> set[str]:
    """The strings of `_import_structure`, without those of single models: their classes are facts of model types."""
    found: set[str] = set()
    value = getattr(node, "value", None)
    if isinstance(value, ast.Dict):
        for key, part in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and str(key.value).startswith("models.") and key.value != "models.auto":
                continue
            found |= {str(one.value) for one in ast.walk(part) if isinstance(one, ast.Constant)}
        return found
    if "models." in ast.unparse(node)[:60] and "models.auto" not in ast.unparse(node)[:60]:
        return found
    return {str(one.value) for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def members_of(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Methods and attributes of the classes of MEMBERS, inherited ones included."""
    own: dict[str, tuple[set[str], list[str]]] = {}
    for tree in trees.values():
        for node in statements(tree.body):
            if isinstance(node, ast.ClassDef):
                held = {one.name for one in node.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))}
                held |= {
                    one.target.id
                    for one in node.body
                    if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
                }
                held |= {
                    part.id
                    for one in node.body
                    if isinstance(one, ast.Assign)
                    for part in one.targets
                    if isinstance(part, ast.Name)
                }
                stored = {
                    one.attr
                    for one in ast.walk(node)
                    if isinstance(one, ast.Attribute)
                    and isinstance(one.ctx, ast.Store)
                    and isinstance(one.value, ast.Name)
                    and one.value.id == "self"
                }
                held |= served(node)
                held |= stored if node.name in OPEN or "Cache" in node.name else set()
                bases = [part.id if isinstance(part, ast.Name) else getattr(part, "attr", "") for part in node.bases]
                if node.name not in own or len(held) > len(own[node.name][0]):
                    own[node.name] = (held, bases)

    for name, later in RENAMED.items():
        if later in own:
            own[name] = own[later]

    def gather(name: str, depth: int = 0) -> set[str]:
        held, bases = own.get(name, (set(), []))
        return set(held).union(*(gather(one, depth + 1) for one in bases if depth < 12))

    return {name: gather(name) for name in MEMBERS & own.keys()}


def served(node: ast.ClassDef) -> set[str]:
    """What a tokenizer's `__getattr__` serves from 4.47 on, and properties before: its special tokens and their ids."""
    found: set[str] = set()
    for one in node.body:
        target = one.targets[0] if isinstance(one, ast.Assign) else getattr(one, "target", None)
        if isinstance(target, ast.Name) and target.id == "SPECIAL_TOKENS_ATTRIBUTES":
            names = {str(part.value) for part in ast.walk(one) if isinstance(part, ast.Constant)}
            found |= names | {f"{name}_id" for name in names} | {f"{name}_ids" for name in names}
    return found


def arguments_of(trees: dict[str, ast.Module]) -> dict[str, set[str] | None]:
    """The arguments of the public methods of MEMBERS, and of the Trainer's others, which people override, as
    `Class.method`; of public functions by their name. None for one that takes any keyword."""
    found: dict[str, set[str] | None] = {}
    for tree in trees.values():
        for node in statements(tree.body):
            if isinstance(node, ast.ClassDef) and node.name in MEMBERS:
                for one in node.body:
                    public = node.name == "Trainer" or not getattr(one, "name", "_").startswith("_")
                    if isinstance(one, ast.FunctionDef) and public:
                        found[f"{node.name}.{one.name}"] = given(one)
            elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found[node.name] = given(node)
    return found


def given(node: ast.FunctionDef) -> set[str] | None:
    if node.args.kwarg is not None:
        return None
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return {part.arg for part in every} - {"self", "cls"}


def read(index: Index, package: str, release: Release) -> dict[str, dict[str, set[str] | None]]:
    wheel = release.wheel
    assert wheel is not None
    there = set(index.member_names(wheel))
    wanted = [one for one in MODULES[package][1] if one in there]
    trees = {path: ast.parse(source) for path, source in index.members(wheel, wanted).items()}
    names = {dotted(path): names_of(tree) for path, tree in trees.items()}
    if package == "transformers":
        auto = [path for path in trees if path.startswith(_T + "models/auto/")]
        every = (names["transformers"] or set()).union(*(exported(trees[path]) for path in auto))
        shared = set().union(*(told or () for holder, told in names.items() if not of_a_model(holder)))
        names["transformers"] = {
            one
            for one in every
            if not model_class(one) or (one.strip() in shared and model_type_of(one.strip()) is None)
        }
        names[QUANTIZERS] = quantizers_of(trees)
    return {
        "names": names,
        "members": dict(members_of(trees)),
        "arguments": dict(arguments_of(trees)),
        "modules": {package: modules_among(package, there)},
    }


def modules_among(package: str, files: Iterable[str]) -> set[str]:
    """The modules of a package among the files of a wheel, but for those of single models, which their types tell."""
    code = {one for one in files if one.startswith(f"{package}/") and one.endswith(".py")}
    return {one for one in map(dotted, code) if one != package and not one.startswith("transformers.models.")}


def of_a_model(holder: str) -> bool:
    """Whether a module is of one model, or the one that lists them all."""
    return holder == "transformers" or holder.startswith("transformers.models.")


def quantizers_of(trees: dict[str, ast.Module]) -> set[str]:
    """The values of `quant_method` that a release takes: the keys of its table, and the members of its enum."""
    found: set[str] = set()
    for node in (one for tree in trees.values() for one in statements(tree.body)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "AUTO_QUANTIZER_MAPPING":
            assert isinstance(node.value, ast.Dict)
            found |= {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.ClassDef) and node.name == "QuantizationMethod":
            values = [one.value for one in node.body if isinstance(one, ast.Assign)]
            found |= {str(one.value) for one in values if isinstance(one, ast.Constant)}
    return found


def exported(tree: ast.Module) -> set[str]:
    return set().union(*(listed(one) for one in statements(tree.body) if ast.unparse(one).startswith("__all__")), set())


def model_class(name: str) -> bool:
    """Classes of single models move between the two ways in which releases list them."""
    return not name.startswith("Auto") and name.endswith(
        ("ForCausalLM", "Model", "Config", "Tokenizer", "TokenizerFast", "Processor", "ForConditionalGeneration")
    )


def dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def changes(
    releases: list[str], read_of: list[dict[str, set[str] | None]], absent: frozenset[str] | None = frozenset()
) -> dict[str, dict[str, list[str]]]:
    """Holder to name to where it came and went by turns, "" for one that the first release has.

    A release whose holder does not tell its names counts as the one before; one without the holder has the names
    `absent`, which is None where that tells nothing.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for holder in sorted(set().union(*read_of)):
        told = [one.get(holder, absent) for one in read_of]
        for name in sorted({one.strip() for part in told if part for one in part}):
            stays = turns(releases, [None if one is None else bool({name, IMPORTED + name} & one) for one in told])
            imported = all(name not in one for one in told if one)
            private = imported or name.startswith("_")
            named = name.isidentifier() or holder == QUANTIZERS
            if stays != [""] and named and not (private and len(stays) == 1):
                found.setdefault(holder, {})[name] = stays
    return found


def turns(releases: list[str], present: list[bool | None]) -> list[str]:
    stays: list[str] = []
    there: bool | None = None
    for at, now in enumerate(present):
        if now is None or now == there:
            continue
        if now or there is not None:
            # the first that tells has it as far back as anything was told
            stays.append("" if there is None else releases[at])
        there = now
    return stays


def always(read_of: list[dict[str, set[str] | None]], package: str) -> set[str]:
    """What every release exports at its top: nobody lacks it for a version's sake."""
    sets = [{one.strip() for one in part} for read in read_of if (part := read.get(package)) is not None]
    return {one for one in set.intersection(*sets) if one.isidentifier() and not one.startswith("_")} if sets else set()


def of_exported(package: str, tables: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """The arguments without those of functions that the top of the package does not export, where it tells what it
    does: others share their names."""
    exported = {*tables["always"], *tables["names"].get(package, {})}
    return {
        called: some
        for called, some in tables["arguments"].items()
        if "." in called or called in exported or not tables["always"]
    }


def main() -> None:
    index = Index(connections=8)
    document: dict[str, object] = {"schema": 1}
    for package, (first, _) in MODULES.items():
        last: dict[tuple[int, ...], Release] = {}
        for one in index.releases(package):
            version = Version(one.version)
            if not one.is_prerelease and not one.yanked and one.wheel is not None and version >= Version(first):
                last[version.release[:2]] = one
        kept = list(last.values())
        with ThreadPoolExecutor(max_workers=8) as pool:
            results = list(pool.map(lambda one: read(index, package, one), kept))  # noqa: B023  used at once
        series = [".".join(one.version.split(".")[:2]) for one in kept]
        print(package, len(kept), series[0], kept[-1].version, flush=True)
        tables: dict[str, Any] = {
            "releases": [series[0], kept[-1].version, len(kept)],
            "always": sorted(always([one["names"] for one in results], package)),
            **{part: changes(series, [one[part] for one in results]) for part in ("names", "members")},
            "arguments": changes(series, [one["arguments"] for one in results], absent=None),
        }
        tables["arguments"] = of_exported(package, tables)
        there = [one["modules"][package] or set() for one in results]
        stays = {name: turns(series, [name in one for one in there]) for name in sorted(set().union(*there))}
        tables["modules"] = stays
        document[package] = tables
    TARGET.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    print(TARGET.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
