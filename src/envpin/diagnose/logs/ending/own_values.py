"""What a script's own line asks for and does not get: a variable, a setting, a field of a row, a label. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.diagnose.logs.ending.own_amounts import of_a_template, of_an_amount
from envpin.diagnose.logs.ending.own_lookups import of_a_place
from envpin.diagnose.logs.ending.own_numbers import of_a_number, of_text_in_a_line
from envpin.diagnose.logs.text.carets import LookUp, marked_look_up
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import last_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The one place of a line of code that looks something up.
_LOOKED_UP = re.compile(r"(?P<what>[A-Za-z_][\w.]{0,60})\[(?P<key>[^\[\]\n]{1,60})\]")
_CLASSES = re.compile(r"(?i)label|class|categor|sentiment|emotion|intent|\btags?\b|\bid2")
_BEYOND = re.compile(r"index (?P<n>-?\d+) is out of bounds for (?:dimension|axis) \d+ with size (?P<size>\d+)")
_VOCABULARY = re.compile(r"(?i)emb|vocab|token|wte|lm_head")
_ENVIRONMENT = re.compile(r"os\.environ\[\s*f?[\"'](?P<name>\w{1,80})[\"']\s*\]")
_OF_A_LAUNCHER = frozenset({"LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"})
_ARGV = re.compile(r"sys\.argv\[(?P<n>\d+)\]")
_KEY = re.compile(r"^[\"'](?P<name>[^\"'\n]{1,120})[\"']$")
# Of what is asked for a key, by the name that the script gives it; the first that fits.
_LABELS = re.compile(
    r"(?i)\b(?>\w*?(?:label|class|tag|intent|sentiment|category|emotion))"
    r"(?>\w*?(?:2id|2idx|_to_id|_map|_dict|_id|_index|mapping))\w*+\s*\["
)
# Entries of config.json that GPT-2 and others call n_embd, d_model, …, and those of LoRA's adapter_config.json.
_OF_A_FAMILY = frozenset({
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "rms_norm_eps", "layer_norm_eps",
    "num_key_value_heads", "rope_theta", "hidden_act", "max_position_embeddings", "head_dim", "d_model", "n_embd",
    "num_local_experts", "num_experts", "n_routed_experts", "num_experts_per_tok", "moe_intermediate_size",
    "n_layer", "n_head", "layer_norm_epsilon", "type_vocab_size", "sliding_window", "d_ff", "num_heads", "d_kv",
})  # fmt: skip
_OF_AN_ADAPTER = frozenset({"r", "lora_alpha", "lora_dropout"})
_ADAPTER = re.compile(r"(?i)hf_cfg|adapter|peft|lora[_-]?c")
_CONVERTS = re.compile(r"(?i)convert|gguf|ggml|export|onnx|mlx|ct2|to_\w+\.py|llama2?\.c|megatron|tflite|openvino")
_INDEX = r"(?:\[[^\]\n]{1,40}\])*\s*\[\s*[\"']"
_CHECKPOINT = re.compile(
    r"(?i)\b(?>\w*?(?:ckpt|check_?point))\w*+\s*\[\s*[\"']|\b(?:state|payload|saved|bundle)\s*\[\s*[\"']"
)
# Entries that only checkpoints of training have, whatever the script calls the file that it loaded.
_OF_A_CHECKPOINT = frozenset({
    "state_dict", "model_state_dict", "optimizer_state_dict", "hyper_parameters", "ema_state_dict", "model_args",
})  # fmt: skip
_GGUF_KEY = re.compile(r"(?P<of>[a-z][a-z0-9-]{1,30})\.[a-z]\w*(?:\.\w+)*$")
_GGUF_FIELDS = re.compile(r"\.fields\s*\[")
_SETTINGS = re.compile(rf"(?i)\b(?>\w*?(?:config|cfg|conf|settings|params|args|options))\w*+{_INDEX}")
_ROW = re.compile(
    r"(?i)\b(?:\w*(?:row|example|sample|record|item|entry|line|batch|turn|message|conversation|data|dataset|doc|obj)s?|"
    rf"ex|msg|m|r|x|d|s|t|e|i){_INDEX}|"
    # what one call reads of a line, of an answer or of a request
    r"(?:json\.loads?|get_json|\.json)\([^\n\[\]]{0,60}(?:\[0\][^\n\[\]]{0,30})?\)\s*\[\s*[\"']|"
    r"\brequest\.(?:json|form|args|values)\s*\[\s*[\"']"
)
_SPLIT = re.compile(r"\[[\"'](?:train|validation|valid|val|dev|test|eval)[\"']\]")
_OF_A_SET = re.compile(r"(?i)\b(?:\w*(?:data_?sets?|dataset_?dict|splits)|raw_data|data|ds)\[")
_OF_ROWS = re.compile(
    r"(?i)\b(?>\w*?(?:rows|data|examples|samples|records|texts|lines|items|prompts))\w*+(?:\[[^\]\n]{1,30}\])*\["
)
_OPTION = re.compile(
    r"'(?P<kind>Namespace|types\.SimpleNamespace|DictConfig|AttrDict|EasyDict|Box|Munch)' "
    r"object has no attribute '(?P<name>\w+)'"
)
_NO_TENSOR = re.compile(r"'(?P<kind>list|str|int|float)' object has no attribute '(?:to|cuda|cpu|size|shape)'")
_NONE_GATHERED = re.compile(
    r"need at least one array to (?:concatenate|stack)|expect(?:s|ed) a non-empty (?:list of Tensors|TensorList)"
)
_LABEL_NUMBER = re.compile(r"^[\"']?LABEL_\d+[\"']?$")
_COMPARED = re.compile(
    r"'[<>]=?' not supported between instances of '(?:str' and '(?:int|float)|(?:int|float)' and 'str)'"
)
_SETTINGS_READ = re.compile(r"(?i)\b(?>\w*?(?:config|cfg|conf|settings|params|args|options))\b")
_UNKNOWN = re.compile(
    r"(?P<owner>\w*(?:Config|Args|Arguments|Settings|Params|Options))\.__init__\(\) got an unexpected keyword argument "
    r"'(?P<name>\w{1,80})'"
)
_ASKED = re.compile(
    r"^(?:self\.)?(?:args|cfg|config|conf|settings|opts?|params|hparams)(?:\.(?:\w+\.)*(?P<member>\w{1,60})|"
    r"(?:\[[\"']\w+[\"']\])*\[[\"'](?P<key>\w{1,60})[\"']\])(?:\.lower\(\))?$"
)
_LEFT_OUT = re.compile(
    r"(?P<owner>\w*(?:Config|Args|Arguments|Settings|Params|Options))\.__init__\(\) missing \d+ required "
    r"(?:positional|keyword-only) arguments?: (?P<names>[^\n]{1,160})"
)
_NO_SETTINGS = re.compile(
    r"(?i)(?P<what>\b\w*(?:config|cfg|conf|settings|hparams)(?:\[[\"']\w+[\"']\])*)\[[\"'](?P<key>\w{1,60})[\"']\]"
)
_NAMED = re.compile(r"\[[\"'](?P<name>\w{1,80})[\"']\](?!\s*\[)|\.(?P<member>[a-z_]\w{1,80})\b(?!\s*[\[(.])")
_TEXT_OF_A_LIST = re.compile(
    r"'list' object has no attribute '(?P<name>lower|upper|strip|split|startswith|endswith|find|replace|count|encode)'"
)
_MAPS = re.compile(r"(?i)(?P<name>\w*(?:data|set|train|val|eval|test|dev|split)\w*)\.map\(")
_D, _S = "data-not-as-expected", "settings-refused"
_FIRST_ROW = "print the first row: its names are what the script has to ask for"


# A name that only parameters and modules of a model have.
_PARAMETER = re.compile(
    r"[\"'](?:\w+\.)*(?:layers?|blocks?|\w*transformer_blocks|h|encoder|decoder|attn|self_attn|mlp|lora_\w+)\.(?:\w+\.?){1,8}[\"']"
)


def of_own_value(exception: str, message: str, before: str) -> Explained | None:
    """What the last line of a script's code did not get; None where the line does not tell."""
    code = "\n".join(last_code(before))
    if _NONE_GATHERED.search(message) is not None:
        return Explained(_D, "the script joins what it gathered from the batches, and there was none: the set that it "
                             "evaluates is empty, or smaller than a batch that is dropped", (
            "count its rows and batches: print(len(dataset), len(loader))",
        ))  # fmt: skip
    key = _KEY.match(message.strip()) if exception == "KeyError" and _SETTINGS.search(code) is not None else None
    if key is not None and (told := _of_a_config(key["name"], before)) is not None:
        return told
    if (asked := of_a_template(exception, message, code) or of_an_amount(message, code)) is not None:
        return asked
    if exception == "KeyError":
        return _of_a_key(message, code, before)
    if exception == "IndexError" and (place := of_a_place(message, code, before)) is not None:
        return place
    tell = _BY_EXCEPTION.get(exception)
    return None if tell is None else tell(message, code)


def _of_a_key(message: str, code: str, before: str) -> Explained | None:
    if (variable := _ENVIRONMENT.search(code)) is not None:
        return of_the_environment(variable["name"])
    if _LABEL_NUMBER.search(message.strip()) is not None:
        return _of_a_label_number(message.strip())
    if _LABELS.search(code) is not None:
        says = f"the data have the label {message}, which the script's table of labels does not have"
        return Explained(_D, says, ("see which labels there are, and how they are spelt: capitals, spaces, numbers",))
    found = _KEY.match(message.strip())
    told = None if found is None or found["name"] not in code else _of_an_entry(found["name"], code)
    return told or _of_a_look_up(message.strip(), code, before)


def _of_a_label_number(key: str) -> Explained:
    says = (
        f"the model calls its classes LABEL_0, LABEL_1, … as no names are in its config.json, and the script's table "
        f"has none for {key}: it was written for a model with other names, or with fewer classes"
    )
    return Explained("model-of-another-kind", says, (
        "print model.config.id2label, and give the table one entry for each",
        "or name them where the model is saved: model.config.id2label = {0: …, 1: …}",
    ))  # fmt: skip


def _of_an_option(key: str, marked: LookUp) -> Explained | None:
    """A name that the settings give, which the script looks up in a table of its own."""
    asked = _ASKED.search(marked.key)
    if asked is None or not re.fullmatch(r"[A-Za-z_][\w.]{0,60}", marked.what):
        return None
    name = asked["member"] or asked["key"]
    says = f"the program does not know {key} as `{name}`: its table `{marked.what}` has no such entry"
    return Explained(_S, says, (f"give `{name}` one of the names that the table has: print(list({marked.what}))",))


def _of_a_look_up(key: str, code: str, before: str) -> Explained | None:
    """A line that looks up one thing: what it looks in stands there, and the key in the message."""
    marked = marked_look_up(before)
    if marked is not None and (option := _of_an_option(key, marked)) is not None:
        return option
    if marked is not None and re.fullmatch(r"[A-Za-z_][\w.]{0,60}", marked.what) and len(key) <= 120:
        return _of_a_table(key, marked.what, marked.key)
    every = list(_LOOKED_UP.finditer(code))
    literal = [one for one in every if one["key"].strip() == key]
    found = every if len(every) == 1 else literal or [one for one in every if one["key"][0] not in "\"'"]
    if len(found) != 1 or len(key) > 120:
        return None
    return _of_a_table(key, found[0]["what"], found[0]["key"].strip())


def _of_a_table(key: str, what: str, asked: str) -> Explained:
    if _CLASSES.search(what) is not None:
        if key[:1] in "\"'" and re.search(r"\d", key) is None:
            says = f"the data have the class {key}, which the script's `{what}` does not have"
            return Explained(_D, says, (
                "compare the spelling; of folders, take away what is no class (.ipynb_checkpoints, .DS_Store)",
                f"print what `{what}` has, numbers or text",
            ))  # fmt: skip
        first = ", or begins with 1" if key.strip("'\"") == "0" else ""
        says = (
            f"the script has no name for the class {key}: `{what}` has other keys (numbers or text), or fewer "
            f"classes{first}"
        )
        steps = ("compare them: print(model.config.id2label), model.config.num_labels, and the keys of the table",)
        return Explained("index-out-of-range", says, steps)
    if _PARAMETER.fullmatch(key) is not None:
        says = (
            f"the script looks up the weight or module {key} in `{what}`, which has none of that name: the file "
            "names its weights in another way, and is of another trainer, format or model than the script takes"
        )
        return Explained("foreign-format", says, (
            f"print both and compare: list({what})[:5] and the names in the file (envpin check FOLDER)",
            "take a file of the form that the script reads, or the script of the program that wrote it",
        ))  # fmt: skip
    says = f"the script looks up {key} in `{what}`, which has no such entry"
    return Explained(_D, says, (f"print the keys that are there, and where `{asked}` comes from",))


def _of_an_entry(name: str, code: str) -> Explained | None:
    if (found := _GGUF_KEY.match(name)) is not None and _GGUF_FIELDS.search(code) is not None:
        says = f"the GGUF has no entry `{name}`: its entries begin with the name of its own architecture"
        return Explained("model-of-another-kind", f"{says}, which is not `{found['of']}`, or it holds no whole model", (
            "take the name from the file: arch = reader.fields[\"general.architecture\"].contents()",
            "or give a GGUF of the architecture that the script was written for: print(list(reader.fields))",
        ))  # fmt: skip
    if _CHECKPOINT.search(code) is not None or name in _OF_A_CHECKPOINT:
        says = (
            f"the checkpoint that the script loads has no entry `{name}`: another program, or another version of this "
            "one, wrote it"
        )
        look = "see what it holds: print(checkpoint.keys()); where those are weights, it is the state dict itself"
        return Explained("foreign-format", says, (look,))
    if _SETTINGS.search(code) is not None:
        says = f"the settings that the script reads have no `{name}`{_within(name, code)}: left out, misspelt, or in "
        return Explained(_S, f"{says}another place", ("add it where the script looks for it, spelt like that",))
    if _SPLIT.search(code) is not None and _OF_A_SET.search(code) is not None:
        split = (
            f"the data set that the script loads has no split `{name}`: its files are of others, or the script was to"
        )
        return Explained(_D, f"{split} make it, by a share that is 0 or was left out", (
            "see which there are: print(dataset)",
            f"name one of them, or have `{name}` made: a script's option, or dataset.train_test_split(test_size=0.1)",
        ))  # fmt: skip
    if _ROW.search(code) is not None:
        says = f"a row of the data has no field `{name}`, which the script asks for: all rows lack it, or this one"
        which = f'see which lack it: [i for i, row in enumerate(rows) if "{name}" not in row]'
        return Explained(_D, says, (_FIRST_ROW, f"rename the field that is meant to `{name}`", which))
    return None


def _within(name: str, code: str) -> str:
    """The part of the settings in which an entry is looked for, where it is not the top."""
    found = re.search(rf"(?P<part>\w+(?:\[[\"']\w+[\"']\])+)\[[\"']{re.escape(name)}[\"']\]", code)
    return "" if found is None else f" in `{found['part']}`"


def _of_a_config(name: str, before: str) -> Explained | None:
    """An entry that config.json of some families has, or adapter_config.json of some methods."""
    if name in _OF_AN_ADAPTER and _ADAPTER.search(before) is not None:
        says = (
            f"adapter_config.json has no `{name}`, which only LoRA's has: the adapter is of another method (peft_type)"
        )
        steps = ("look at its peft_type; merge it by peft, merge_and_unload(), where the program takes LoRA alone",)
        return Explained("serving-limit", says, steps)
    if name == "quantization_config":
        says = "config.json has no `quantization_config`, which the program takes: the model is not quantized"
        return Explained("model-of-another-kind", says, ("give it the quantized model, or leave this step out",))
    if name not in _OF_A_FAMILY:
        return None
    says = (
        f"the model's config.json has no `{name}`, which the program reads: it was written for families that have it, "
        "and the model is of another (or keeps it in a part, as text_config)"
    )
    steps = ("look at model_type in config.json, and give a model of a family that the program takes",)
    return Explained("serving-limit" if _CONVERTS.search(before) else "model-of-another-kind", says, steps)


def of_the_environment(name: str) -> Explained:
    """A variable of the environment that is not set."""
    if name in _OF_A_LAUNCHER:
        return Explained(_S, f"`{name}` is not set: the script is written to be started by a launcher", (
            "start it so: torchrun --nproc_per_node 1 SCRIPT, or accelerate launch SCRIPT",
        ))  # fmt: skip
    return Explained(_S, f"the environment variable `{name}`, which the script reads, is not set", (
        f"set it before the run: export {name}=VALUE",
    ))  # fmt: skip


def _of_a_place(message: str, code: str) -> Explained | None:
    if (beyond := _BEYOND.search(message)) is not None and _VOCABULARY.search(code) is not None:
        says = f"the script takes row {beyond['n']} of a table of {beyond['size']}: a token beyond the embedding's rows"
        compare = "compare len(tokenizer), config.vocab_size and the rows of the embedding"
        resize = "of added tokens, resize first: model.resize_token_embeddings(len(tokenizer))"
        return Explained("index-out-of-range", says, (compare, resize))
    if _ARGV.search(code) is not None:
        return Explained(_S, "the script was called with fewer arguments than it takes", (
            "see at its beginning which ones it reads: sys.argv",
        ))  # fmt: skip
    if _OF_ROWS.search(code) is not None:
        says = "the script takes a row, or a part of one, that is not there: there are fewer than it expects, or none"
        return Explained(_D, says, ("count the rows that were read, and look at the first ones",))
    found = list(_LOOKED_UP.finditer(code))
    if len(found) == 1 and _CLASSES.search(found[0]["what"]) is not None:
        says = f"the model gives a class beyond the names that the script has in `{found[0]['what']}`"
        return Explained("index-out-of-range", says, (
            "compare model.config.num_labels with the number of names, and take the names of the training run",
        ))  # fmt: skip
    return None


def _of_a_member(message: str, code: str) -> Explained | None:
    if (found := _OPTION.search(message)) is not None:
        says = f"the script reads the option `{found['name']}`, which is not among those that it was given"
        return Explained(_S, says, ("see how it is spelt where the options are defined",))
    if message.startswith("'NoneType' object has no attribute 'backward'"):
        says = "the model gave no loss (None): it was given no `labels`, of which it makes one"
        return Explained(_D, says, ('give them: model(**batch, labels=batch["input_ids"]), or a column `labels`',))
    if message.startswith("'NoneType' object has no attribute 'map'") and (asked := _MAPS.search(code)) is not None:
        says = f"`{asked['name']}` is None: the data set, split or file that it was to be made of is not there"
        return Explained(_D, says, ("see its splits: print(dataset), and how the files of the data are called",))
    if (asked := _TEXT_OF_A_LIST.search(message)) is not None and "completion" in code:
        says = (
            f"the reward function asks each completion for `{asked['name']}` as of a text, and it is a list of "
            "messages: the prompts are conversations, and so are the completions to them"
        )
        return Explained(_D, says, ('take the text: completion[0]["content"]', "or give prompts that are plain texts"))
    found = _NO_TENSOR.search(message)
    if found is None or re.search(r"\.(?:to|cuda)\(", code) is None:
        return None
    says = f"a batch holds a `{found['kind']}` where the script wants tensors: text, or a list"
    columns = 'leave such columns out, and make the rest tensors: dataset.set_format("torch", columns=[…])'
    return Explained(_D, says, (columns,))


def _of_a_type(message: str, code: str) -> Explained | None:
    return _of_a_comparison(message, code) or of_text_in_a_line(message, code)


def _of_a_comparison(message: str, code: str) -> Explained | None:
    """A setting that the program's class does not have, or a number that is text."""
    if (unknown := _UNKNOWN.search(message)) is not None and "**" in code:
        says = f"the settings name `{unknown['name']}`, which the program's own `{unknown['owner']}` does not have"
        return Explained(_S, says, ("look at its spelling, or take the file of this version of the program",))
    if (left := _LEFT_OUT.search(message)) is not None and "**" in code:
        names = left["names"].replace("'", "`")
        says = f"the settings leave out {names}, which `{left['owner']}` of the program wants"
        return Explained(_S, says, ("add it to the file of settings, or give it in the command",))
    nothing = _NO_SETTINGS.search(code) if message.startswith("'NoneType' object is not subscriptable") else None
    if nothing is not None:
        says = (
            f"the script asks `{nothing['what']}` for `{nothing['key']}`, and it is None: the file of settings, or "
            "that part of it, is empty"
        )
        return Explained(_S, says, ("look at the file: a name in YAML with nothing below it is None",))
    of_settings = _COMPARED.search(message) is not None and _SETTINGS_READ.search(code) is not None
    named = _NAMED.findall(code) if of_settings and _ROW.search(code) is None else []
    if not named:
        return None
    name = named[-1][0] or named[-1][1]
    says = f"the setting `{name}` is text, and the script compares it with a number"
    return Explained(_S, says, (
        "write it as a number, without quotes; YAML reads 2e-4 as text, and 2.0e-4 as a number",
    ))  # fmt: skip


def _of_no_rows(_message: str, _code: str) -> Explained | None:
    return Explained(_D, "the script divides by a number that is 0: most often that of rows, which were none", (
        "count the rows that are read and evaluated",
    ))  # fmt: skip


_BY_EXCEPTION: Mapping[str, Callable[[str, str], Explained | None]] = {
    "IndexError": _of_a_place,
    "AttributeError": _of_a_member,
    "TypeError": _of_a_type,
    "ZeroDivisionError": _of_no_rows,
    "ValueError": of_a_number,
}
