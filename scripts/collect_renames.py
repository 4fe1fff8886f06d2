"""Collect what transformers 5 calls the modules of a checkpoint that was saved by another one's names.

    envpin run 'transformers==X,torch' -- python scripts/collect_renames.py

writes src/envpin/diagnose/renames.json. Runs in an environment with the newest transformers, whose
`conversion_mapping.py` it reads: by model type and by class, the patterns with their replacements in the order in which
loading applies them. Of what fuses several tensors into one, only the name is kept. Renamings that only move the
language model inside the model are left out: `check` compares names without its place.
"""

import json
from pathlib import Path

import transformers
from transformers import CONFIG_MAPPING, conversion_mapping
from transformers.models.auto import modeling_auto

TARGET = Path(__file__).resolve().parents[1] / "src" / "envpin" / "diagnose" / "renames.json"


def rules_of(transforms):
    """[pattern, replacement, fused?] of each."""
    found = []
    for one in transforms:
        kind = type(one).__name__
        if kind == "PrefixChange":
            if one.prefix_to_remove:
                found.append([r"^" + one.prefix_to_remove + r"\.", "", False])
        elif kind == "WeightRenaming":
            found += [[bounded(source), one.target_patterns[0], False] for source in one.source_patterns]
        elif kind == "WeightConverter":
            for source in one.source_patterns:
                pattern = source.replace(".*.", r"\.[0-9]+\.")
                found += [[bounded(pattern), target, True] for target in one.target_patterns]
    return found


def bounded(pattern):
    """A pattern ends on the boundary of a name, as `WeightTransform` has it."""
    return pattern + r"(?!\w)" if pattern[-1:].isalnum() else pattern


def types_of_classes():
    """The model types that a class belongs to, by its name."""
    found = {}
    for name in dir(modeling_auto):
        mapping = getattr(modeling_auto, name)
        if name.endswith("_MAPPING_NAMES"):
            for model_type, classes in mapping.items():
                for one in [classes] if isinstance(classes, str) else classes:
                    found.setdefault(one, set()).add(model_type)
    return found


def main():
    mapping = conversion_mapping._build_checkpoint_conversion_mapping()
    by_class = types_of_classes()
    rules = {}
    for name, transforms in sorted(mapping.items()):
        own = rules_of(transforms)
        types = {name} if name in CONFIG_MAPPING or name not in by_class else by_class[name]
        for one in sorted(types):
            held = rules.setdefault(one, [])
            held += [rule for rule in own if rule not in held]
    rules = {name: held for name, held in sorted(rules.items()) if held and name != "legacy"}
    document = {"transformers": transformers.__version__, "rules": rules}
    text = json.dumps(document, separators=(",", ":")).replace('],"', '],\n"').replace(',"rules":', ',\n"rules":')
    TARGET.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
