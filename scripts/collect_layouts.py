"""Collect which tensors transformers saves of a causal language model, by the fields of its config.

    envpin run 'transformers==X,torch' -- python scripts/collect_layouts.py [--against OLDER.json] [-o FILE]

writes src/envpin/diagnose/layouts.json. Of each model type two small models with different sizes are made and saved; a
length of a tensor is told by the sizes that it equals in both. Each switch of the config is turned, to see which
tensors come and go with it. Fields whose change moves tensors in another way are `opaque`: with another value than the
default nothing is known. Where a deeper model is not what the small ones tell, only what the fields take is kept, and
`stack` is empty. Left out are types whose layers differ from one another, and those that an older release saves
otherwise (`--against`, the answer of that release).
"""

import argparse
import dataclasses
import json
import re
import sys
import warnings
from pathlib import Path

import torch
import transformers
from saved_shapes import saved_shapes
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CLASSES
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS

TARGET = Path(__file__).resolve().parents[1] / "src" / "envpin" / "diagnose" / "layouts.json"
LAYERS = 3
# By the usual names of fields; a config's `attribute_map` has its own. No two lengths of one model are alike by chance.
SIZES = (
    {"vocab_size": 211, "hidden_size": 48, "intermediate_size": 88, "num_attention_heads": 4, "num_key_value_heads": 2,
     "head_dim": 20, "max_position_embeddings": 61},
    {"vocab_size": 307, "hidden_size": 72, "intermediate_size": 104, "num_attention_heads": 6, "num_key_value_heads": 3,
     "head_dim": 28, "max_position_embeddings": 83},
)  # fmt: skip
# A deeper and wider one, to hold what the two say against: layers that differ by their number, lengths that are rounded.
DEEP = {"vocab_size": 401, "hidden_size": 80, "intermediate_size": 1112, "num_attention_heads": 8,
        "num_key_value_heads": 4, "head_dim": 36, "max_position_embeddings": 97}  # fmt: skip
INNER = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
# Fields of every config that change no tensor, or that transformers itself writes.
COMMON = {"output_hidden_states", "output_attentions", "return_dict", "is_encoder_decoder", "use_cache", "pad_token_id",
          "bos_token_id", "eos_token_id", "transformers_version", "architectures", "dtype", "torch_dtype", "id2label",
          "label2id", "problem_type", "chunk_size_feed_forward", "model_type", "hidden_act", "initializer_range",
          "rope_parameters", "rope_scaling", "rope_theta", "pretraining_tp",
          "add_cross_attention", "is_decoder", "decoder_start_token_id", "max_window_layers"}  # fmt: skip
GENERIC = set(transformers.PretrainedConfig().to_dict())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=TARGET)
    args = parser.parse_args()
    document = json.loads(args.against.read_text()) if args.against else {}
    older = document.get("types", {})
    types, left = {}, {}
    for name in sorted(CLASSES):
        try:
            found = layout_of(name)
        except Exception as error:  # noqa: BLE001  whatever a type needs more than sizes, it is left out
            left[name] = f"{type(error).__name__}: {str(error)[:100]}"
            continue
        if name in older and tensors_of(older[name]) != tensors_of(found):
            left[name] = "an older release saves other tensors"
            continue
        types[name] = found
    for name, why in left.items():
        print(f"{name}: {why}", file=sys.stderr)
    print(f"{len(types)} types, {len(left)} left out", file=sys.stderr)
    answer = {
        "transformers": transformers.__version__, "activations": sorted(transformers.activations.ACT2FN),
        "ropes": sorted({"default", *ROPE_INIT_FUNCTIONS}), "classes": types_of_classes(),
        "scored": [name for name in scored(types) if name in document.get("scored", [name])], "types": types,
    }  # fmt: skip
    text = json.dumps(answer, separators=(",", ":")).replace('},"', '},\n"')
    args.out.write_text(text + "\n", encoding="utf-8")


def types_of_classes():
    """The model types that a class is made for."""
    found = {}
    for name, classes in sorted(CLASSES.items()):
        for one in [classes] if isinstance(classes, str) else classes:
            found.setdefault(one, []).append(name)
    return found


def scored(types):
    """The classifiers that have a matrix of scores upon the model, and no more."""
    for name in sorted(types):
        try:
            config_class = transformers.CONFIG_MAPPING[name]
            config = config_class(**Fields(config_class, config_class()).sized(SIZES[0]), num_labels=5)
            with torch.device("meta"):
                model = getattr(transformers, CLASSIFIERS[name])(config)
        except Exception:  # noqa: BLE001, S112  the type has no classifier, or one that wants other fields
            continue
        before = f"{model.base_model_prefix}."
        head = {key: tuple(one.shape) for key, one in model.state_dict().items() if not key.startswith(before)}
        if head == {"score.weight": (5, SIZES[0]["hidden_size"])}:
            yield type(model).__name__


def tensors_of(found):
    return {key: found[key] for key in ("stack", "layer", "other")}


def layout_of(model_type):
    config_class = transformers.CONFIG_MAPPING[model_type]
    classes = CLASSES[model_type]
    model_class = getattr(transformers, classes if isinstance(classes, str) else classes[0])
    defaults = config_class()
    own = Fields(config_class, defaults)
    saved = [save(model_class, config_class, own.sized(sizes)) for sizes in SIZES]
    sizes = [own.lengths(one) for one in SIZES]
    plain = template(*saved, sizes, own)
    switches, opaque = {}, []
    for name, value in own.others():
        changed = not value if isinstance(value, bool) else 2 if value is None else value + 1
        try:
            both = [save(model_class, config_class, own.sized(one) | {name: changed}) for one in SIZES]
            other = template(*both, sizes, own)
        except Exception:  # noqa: BLE001  the switch wants other fields with it
            opaque.append(name)
            continue
        if other == plain:
            continue
        if not isinstance(value, bool) or name == own.tied or other["stack"] != plain["stack"]:
            if name != own.tied:
                opaque.append(name)
            continue
        switches[name] = {
            "default": value, "layer": difference(plain["layer"], other["layer"]),
            "other": difference(plain["other"], other["other"]),
        }  # fmt: skip
    untied = [save(model_class, config_class, own.sized(one) | {own.tied: False}) for one in SIZES]
    plain = template(*untied, sizes, own)
    tied = save(model_class, config_class, own.sized(SIZES[0]) | {own.tied: True})
    if not holds(plain, save(model_class, config_class, own.sized(DEEP, 13) | {own.tied: False}), own):
        plain = {"stack": "", "layer": {}, "other": {}}
        switches = {}
    return {
        "class": model_class.__name__, "prefix": model_class.base_model_prefix, "stack": plain["stack"],
        "fields": own.fields(), "defaults": own.default_sizes(), "tied": getattr(defaults, own.tied, None),
        "head": sorted(set(untied[0]) - set(tied)), "layer": plain["layer"], "other": plain["other"],
        "switches": switches, "opaque": {name: getattr(defaults, name) for name in sorted(opaque)},
        "ignored": [str(one) for one in getattr(model_class, "_keys_to_ignore_on_load_unexpected", None) or ()],
        "takes": takes(config_class),
    }  # fmt: skip


class Fields:
    """What a config class calls its sizes, and the fields that are none."""

    tied = "tie_word_embeddings"

    def __init__(self, config_class, defaults):
        self.defaults = defaults
        self.map = config_class.attribute_map
        self.present = (
            {one.name for one in dataclasses.fields(config_class)}
            if dataclasses.is_dataclass(config_class)
            else set(defaults.to_dict())
        )
        self.inner = next((one for one in INNER if one in self.present), None)
        named = [other for one in EXPERTS for other in (one, self.map.get(one)) if other in self.present]
        self.experts = named[0] if named else None

    def called(self, usual):
        if usual == "intermediate_size":
            return self.inner
        name = self.map.get(usual, usual)
        return name if name in self.present else None

    def sized(self, sizes, layers=LAYERS):
        found = {self.called(name): value for name, value in sizes.items() if self.called(name)}
        found[self.called("num_hidden_layers")] = layers
        if self.experts:
            found[self.experts] = 5 if sizes is SIZES[0] else 7
        if "pad_token_id" in self.present or not dataclasses.is_dataclass(self.defaults):
            found["pad_token_id"] = 0  # the default may lie beyond a small vocabulary
        return found

    def lengths(self, sizes):
        """The values of the symbols for one choice of sizes."""
        hidden, heads = sizes["hidden_size"], sizes["num_attention_heads"]
        head = sizes["head_dim"] if self.called("head_dim") else hidden // heads
        keys = sizes["num_key_value_heads"] if self.called("num_key_value_heads") else heads
        inner = sizes["intermediate_size"] if self.inner else 4 * hidden
        experts = (5 if sizes is SIZES[0] else 7) if self.experts else 1
        return {
            "vocab": sizes["vocab_size"], "hidden": hidden, "inner": inner, "queries": heads * head,
            "keys": keys * head, "head": head, "experts": experts, "positions": sizes["max_position_embeddings"],
            "positions+2": sizes["max_position_embeddings"] + 2, "2*inner": 2 * inner, "3*hidden": 3 * hidden,
            "4*hidden": 4 * hidden, "queries+2*keys": heads * head + 2 * keys * head, "2*queries": 2 * heads * head,
        }  # fmt: skip

    def fields(self):
        names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                 "num_key_value_heads", "head_dim", "max_position_embeddings")  # fmt: skip
        found = {name: self.called(name) for name in names if self.called(name)}
        return found | ({"num_experts": self.experts} if self.experts else {})

    def default_sizes(self):
        """The config's own, before anything is derived of others: null where it is derived."""
        classes = (
            {one.name: one.default for one in dataclasses.fields(self.defaults)}
            if dataclasses.is_dataclass(self.defaults)
            else {}
        )
        found = {name: classes.get(called, getattr(self.defaults, called)) for name, called in self.fields().items()}
        return {name: value for name, value in found.items() if value is None or isinstance(value, int)}

    def others(self):
        """Fields that are no size, and whose value can be changed without knowing what they mean."""
        sizes = set(self.fields().values())
        for name in sorted(self.present - sizes - COMMON - GENERIC):
            value = getattr(self.defaults, name, ...)
            if value is None or isinstance(value, (bool, int)):
                yield name, value


def save(model_class, config_class, fields):
    torch.manual_seed(0)
    return saved_shapes(model_class(config_class(**fields)))


def template(first, second, sizes, own):
    """The tensors of one layer and the others, with symbols for their lengths."""
    if {re.sub(r"\.\d+\.", ".#.", one) for one in first} != {re.sub(r"\.\d+\.", ".#.", one) for one in second}:
        raise ValueError("the sizes change the names")
    stacks, layers, other = set(), {}, {}
    for name, shape in first.items():
        match = re.match(r"(.*?)\.(\d+)\.(.*)", name)
        lengths = [symbol(*pair, sizes) for pair in zip(shape, second[name], strict=True)]
        if match is None:
            other[name] = lengths
            continue
        stacks.add(match[1])
        layers.setdefault(int(match[2]), {})[match[3]] = lengths
    if len(stacks) != 1 or sorted(layers) != list(range(LAYERS)):
        raise ValueError("not one stack of layers")
    folded = [experts_folded(one, own) for one in layers.values()]
    if any(one != folded[0] for one in folded):
        raise ValueError("layers that differ")
    return {"stack": stacks.pop(), "layer": folded[0], "other": other}


def holds(plain, saved, own):
    """Whether the template tells the tensors of the deeper model."""
    sizes, experts = own.lengths(DEEP), 7 if own.experts else 1
    told = dict(plain["other"])
    for layer in range(13):
        for name, lengths in plain["layer"].items():
            for one in range(experts) if "*" in name else (0,):
                told[f"{plain['stack']}.{layer}.{name.replace('*', str(one))}"] = lengths
    return told.keys() == saved.keys() and all(
        one is None or sizes.get(one, one) == length
        for name, lengths in told.items()
        for one, length in zip(lengths, saved[name], strict=True)
    )


def experts_folded(layer, own):
    """`experts.3.w1` of each expert as `experts.*.w1`."""
    found, numbers = {}, {}
    for name, lengths in layer.items():
        bare = re.sub(r"\.\d+\.", ".*.", name)
        if bare != name:
            numbers.setdefault(bare, []).append(int(re.search(r"\.(\d+)\.", name)[1]))
        found[bare] = lengths
    for name, held in numbers.items():
        if own.experts is None or name.count("*") > 1 or sorted(held) != list(range(5)):
            raise ValueError(f"numbers in `{name}` that no field tells")
    return found


def symbol(first, second, sizes):
    """A length by the sizes that it equals in both models; itself where it is the same in both; null otherwise."""
    named = [name for name in sizes[0] if (sizes[0][name], sizes[1][name]) == (first, second)]
    return named[0] if named else first if first == second else None


def difference(plain, other):
    """What a switch puts in and takes out; a tensor of another shape is both."""
    return {
        "more": {name: one for name, one in other.items() if plain.get(name, ...) != one},
        "less": sorted(name for name, one in plain.items() if other.get(name, ...) != one),
    }


def takes(config_class):
    """By field the kinds of JSON values that its annotation allows; fields with others are left out."""
    if not dataclasses.is_dataclass(config_class):
        return {}
    words = {"int": "int", "float": "float", "bool": "bool", "str": "str", "None": "null", "list": "list",
             "dict": "dict", "tuple": "list", "torch.dtype": "str",
             "transformers.modeling_rope_utils.RopeParameters": "dict"}  # fmt: skip
    found = {}
    for field in dataclasses.fields(config_class):
        text = str(field.type) if not isinstance(field.type, type) else field.type.__name__
        parts = [re.sub(r"\[.*", "", one.strip()) for one in re.sub(r"\[[^\]]*\]", "", text).split("|")]
        kinds = [words.get(one) for one in parts]
        if None not in kinds:
            found[field.name] = "|".join(sorted(set(kinds)))
    return found


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    main()
