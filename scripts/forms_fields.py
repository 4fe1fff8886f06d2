"""Which fields of a config tell the tensors: sizes that are given four values each, and those that are left alone."""

import contextlib
import itertools
import math
import re

import transformers
from forms_names import is_told

GENERIC = set(transformers.PretrainedConfig().to_dict())
TOLD = {"is_decoder", "add_cross_attention"}  # of every config, and with them come tensors
# Of no effect on tensors whatever they are, or read elsewhere.
SAFE = re.compile(
    r"(?:_token_id|_token_ids|_token_index|_act|activation|activation_function|act_fn|_eps|_epsilon|_dropout|dropout"
    r"|_pdrop|drop_rate|_init|initializer_range|initializer_factor|_std|_range|rope_theta|rope_parameters|rope_scaling"
    r"|rope_local_base_freq|partial_rotary_factor|model_type|layer_types|sliding_window|dtype|language|_interval|model_name"
    r"|transformers_version|_loss_weight|_loss_reduction|loss_weight|task_specific_params|attn_implementation|layerdrop"
    r"|_select_strategy|_feature_layer|hidden_activation|dense_act_fn|classifier_pooling|mask_.*|apply_spec_augment"
    r"|forced_.*|begin_suppress_tokens|suppress_tokens|_seq_length|max_length|num_beams|.*_id|.*_ids|use_cache|name"
    r"|query_pre_attn_scalar|attention_multiplier|logits_scaling|embedding_multiplier|residual_multiplier|scale_(?!factor).*"
    r"|full_att_token_id|vision_feature_layer|fullatt_block_indexes|image_grid_pinpoints|mrope_section|image_seq_len.*"
    r"|tie_word_embeddings|tie_encoder_decoder|num_experts_per_tok|top_k|topk.*|norm_topk_prob|scoring_func)$"
)  # fmt: skip
TIED = re.compile(r"^(?:text_config\.|thinker_config\.text_config\.|thinker_config\.)?tie_word_embeddings$")
PAD = re.compile(r"(?:^|\.)(?:pad_token_id|padding_idx)$")


OF_HEADS = re.compile(r"classif|summary|pool|head|label|proj|adapter|xvector|tdnn|loss|mask|quant|codev|decoder|ctc")


def turned(*values):
    """The values by turns, so that no two fields have the same one in a model."""
    return [values[at:] + values[:at] for at in range(len(values))]


LAYERS = [*turned(5, 6, 8, 7), *turned(9, 11, 10, 12)]
HIDDEN = [tuple(48 * one for one in four) for pool in ((2, 5, 3, 7), (4, 9, 6, 8)) for four in turned(*pool)]
HEADS = turned(4, 6, 2, 12)
SMALL = list(itertools.permutations((2, 3, 4, 1)))
INNER = [tuple(8 * one for one in four) for pool in ((11, 13, 17, 19), (23, 29, 31, 37)) for four in turned(*pool)]
NAMED = (
    (r"vocab_size|text_config_vocab", [(211 + 2 * at, 307 + 4 * at, 401 + 6 * at, 263 + 8 * at) for at in range(9)]),
    (r"type_vocab_size", [(3, 5, 4, 6), (5, 3, 6, 4)]),
    (r"num_key_value_heads|.*_num_key_value_heads", [(2, 3, 1, 4)]),
    (r"num_attention_heads|num_heads|n_heads|n_head|attention_heads|\w+_attention_heads|num_\w+_attention_heads", HEADS),
    (r"hidden_size|d_model|dim|embed_dim|n_embd|embedding_size|emb_dim|projection_dim|\w+_hidden_size", HIDDEN),
    (r"num_hidden_layers|num_layers|n_layers|n_layer|depth|\w+_layers", LAYERS),
    (r"n_routed_experts|num_experts|num_local_experts", [(8, 16, 24, 12)]),
    (r"\w*intermediate_size|\w*ffn_dim|d_ff|hidden_dim|n_inner|inner_dim|ffn_hidden_size|\w+_intermediate_size", INNER),
    (r"max_position_embeddings|max_\w*_positions|n_positions|max_2d_position_embeddings",
     [(61 + 12 * at, 83 + 10 * at, 97 + 8 * at, 71 + 6 * at) for at in range(9)]),
    (r"inner_group_num|num_hidden_groups", SMALL),
    (r"head_dim|d_kv", [(20 + 8 * at, 28 + 4 * at, 36 + 4 * at, 44 + 12 * at) for at in range(5)]),
)  # fmt: skip
PATCH, SIDE = (4, 6, 8, 10), (3, 5, 4, 7)
OTHERS = [*turned(3, 5, 7, 9), *turned(13, 17, 11, 19), *turned(23, 29, 31, 27)]
WIDER = 5
# More is not made: sizes that are multiplied with one another, or stacks of stacks.
MOST_VALUES, MOST_TENSORS = 32_000_000, 3_000


def walked(config, before=""):
    """Paths and values, those of configs within it too."""
    held = config.to_dict()
    inner = set(getattr(config, "sub_configs", {}) or {})
    for name, value in sorted(held.items()):
        part = getattr(config, name, None)
        if name in inner or hasattr(part, "to_diff_dict"):
            if hasattr(part, "to_diff_dict"):
                yield from walked(part, f"{before}{name}.")
        elif name not in GENERIC or name in TOLD or PAD.search(name) or name == "tie_word_embeddings":
            yield f"{before}{name}", value


class Known:
    """`assigned` has four values of each size by its path, `fixed` what every model is made with."""

    def __init__(self, maker, classes):
        self.maker, self.classes = maker, classes
        self.default = maker.config({})
        self.all = dict(walked(self.default))
        self.has_parts = any("." in one and "text" in one for one in self.all)
        self.fixed = {path: 1 for path, value in self.all.items() if PAD.search(path) and isinstance(value, int)}
        self.flat = "text_config" if self.default.model_type in {"qwen2_vl", "qwen2_5_vl"} else ""
        self.tied_paths = [path for path in [*self.all, "tie_word_embeddings"] if TIED.search(path)]
        self.assigned = {"num_labels": (3, 5, 7, 4)}
        self.left, self.groups = {}, {}
        self._name_sizes()
        self._try_sizes()
        self.plain = self._made(0)
        self._test_others()

    @property
    def untied(self):
        off = dict.fromkeys(self.tied_paths, False)
        return [self.values(number) | off for number in range(4)]

    @property
    def tied(self):
        return self.values(0) | dict.fromkeys(self.tied_paths, True)

    def values(self, number, **more):
        return self.fixed | {path: four[number] for path, four in self.assigned.items()} | more

    def _made(self, number, more=None, only=None):
        return {
            name: self.maker.shapes(cls, self.values(number) | (more or {}))
            for name, cls in self.classes.items() if only is None or name in only
        }  # fmt: skip

    def _is_made(self, number, only=None):
        try:
            return bool(self._made(number, only=only))
        except Exception:  # noqa: BLE001  sizes that do not go together
            return False

    def _some(self, path):
        """The model and the class with most tensors; all classes for a field that heads may go by."""
        if OF_HEADS.search(path):
            return None
        return {next(iter(self.plain)), max(self.plain, key=lambda name: len(self.plain[name]))}

    def _name_sizes(self):
        taken = {}
        for path, value in self.all.items():
            last = path.rpartition(".")[2]
            if path in self.maker.when or isinstance(value, bool) or not (value is None or isinstance(value, int)):
                continue
            for pattern, pool in NAMED:
                if re.fullmatch(pattern, last) and not (
                    value is None and pool in (LAYERS, HIDDEN) and "num" not in last
                ):
                    at = taken.get(pattern, 0)
                    taken[pattern] = at + 1
                    self.assigned[path] = pool[at % len(pool)]
                    self.groups.setdefault(pattern if pool is not HEADS else NAMED[2][0], []).append(path)
                    break
            if last == "patch_size" and isinstance(value, int):
                self.assigned[path] = PATCH
            if last == "image_size" and isinstance(value, int):
                self.assigned[path] = tuple(a * b for a, b in zip(PATCH, SIDE, strict=True))

    def _try_sizes(self):
        """Sizes that no class can be made with are left alone, one by one."""
        working = {}
        for name, cls in list(self.classes.items()):
            try:
                self.maker.shapes(cls, self.values(0))
            except Exception as error:  # noqa: BLE001  tried without some of the sizes below
                working[name] = error
        if not working:
            return
        every = self.assigned
        for path in sorted(every.keys() - {"num_labels"}, key=lambda one: self.all.get(one) is not None):
            self.assigned = {one: four for one, four in every.items() if one != path}
            if self._is_made(0):
                return
        self.assigned = every
        for name in working:
            print(f"{self.default.model_type} {name} is not made: {str(working[name])[:140]}")
            del self.classes[name]

    def _test_others(self):
        for path, value in self.all.items():
            last = path.rpartition(".")[2]
            if path in self.assigned or path in self.fixed or SAFE.search(last):
                continue
            if path in self.maker.when:
                if not str(self.maker.when[path]).startswith("="):
                    self.left[path] = ...
                continue
            odd = self._moved(path, value)
            if odd and not (type(value) is int and self._is_assigned(path, value)):
                self.left[path] = odd

    def _moved(self, path, value):
        """The values with which there are other tensors, `...` where none can be tried, none where nothing changes."""
        tried, moved, some = False, [], self._some(path)
        for other in alternatives(value):
            with contextlib.suppress(Exception):  # not a value of this field
                made = self._made(0, {path: other}, some)
                tried = True
                if any(self.plain[name] != one for name, one in made.items()):
                    moved.append(other)
            if (moved or (tried and value is not None)) and not isinstance(value, (list, tuple)):
                break
        return moved if tried else ...

    def _is_assigned(self, path, value):
        """Whether a size of no known name may be any number, or at least any multiple of its default."""
        small = [four for four in SMALL if four not in self.assigned.values()]
        for four in (OTHERS[len(self.assigned) % len(OTHERS)], *small[:3], tuple(value * one for one in (1, 3, 2, 4))):
            self.assigned[path] = four
            if all(self._is_small(number, self._some(path)) for number in (1, 2, 3)) and self._is_small(0):
                self.plain = self._made(0)
                return True
            del self.assigned[path]
        return False

    def _is_small(self, number, only=None):
        """Whether the models can be made, and are small enough to be saved again and again."""
        try:
            made = self._made(number, only=only).values()
        except Exception:  # noqa: BLE001  sizes that do not go together
            return False
        return all(len(one) < MOST_TENSORS and sum(map(math.prod, one.values())) < MOST_VALUES for one in made)

    def opaque(self, found, letters, rules):
        """Of the fields that move tensors those with which the form is not true any more, with their defaults, or with
        `#3` where any list of three numbers will do."""
        odd = {}
        for path, others in self.left.items():
            value = self.maker.when.get(path, self.all[path])
            wrong = (
                []
                if others is ...
                else [one for one in others if not self.all_hold({path: one}, found, letters, rules)]
            )
            if wrong and isinstance(value, (list, tuple)) and all(len(one) != len(value) for one in wrong):
                odd[path] = f"#{len(value)}"
            elif wrong or others is ...:
                odd[path] = value
        return odd

    def all_hold(self, changed, found, letters, rules):
        return all(self.holds(name, block, changed, letters, rules) for name, block in found.items())

    def holds(self, name, block, changed, letters, rules):
        """Whether the form tells the tensors of a class with some fields changed."""
        values = letters.values(0) | {
            letter: changed[path] for letter, path in letters.paths.items() if path in changed
        }  # fmt: skip
        try:
            held = self.maker.held(self.classes[name], self.untied[0] | changed, rules)
            return is_told(block, values, held)
        except Exception:  # noqa: BLE001  it cannot be made, or has other parts
            return False

    def wider(self):
        """Sizes as of a real model: lengths may be rounded to some hundred."""
        roomy = {path for pattern, paths in self.groups.items() for path in paths
                 if any(one in pattern for one in ("vocab", "d_model", "intermediate", "positions"))}  # fmt: skip
        return {path: WIDER * four[0] for path, four in self.assigned.items() if path in roomy and "type" not in path}

    def pairs(self):
        """Sizes of one kind, which a real config may have the same."""
        for paths in self.groups.values():
            for one, other in itertools.combinations([path for path in paths if path in self.assigned], 2):
                if one.rpartition(".")[0] == other.rpartition(".")[0]:
                    yield one, other

    def aliases(self):
        """Other names of the sizes, which a config may have in their place."""
        found = {}
        parts = {one.rpartition(".")[0] for one in self.assigned}
        for part in parts:
            at = self.default
            for one in part.split(".") if part else ():
                at = getattr(at, one)
            dot = f"{part}." if part else ""
            for alias, real in type(at).attribute_map.items():
                if dot + real in self.assigned:
                    found[dot + alias] = dot + real
        return found


def alternatives(value):
    if isinstance(value, bool):
        return (not value,)
    if value is None:
        return (2, 0.1, True)
    if isinstance(value, int):
        return (value + 1, value * 2, value + 2)
    if isinstance(value, float):
        return (value * 2, 0.5)
    if isinstance(value, (list, tuple)) and value and all(type(one) is int for one in value):
        return (list(value[1:]), [*value[:-1], value[-1] + 1], [one + 1 for one in value])
    return ()
