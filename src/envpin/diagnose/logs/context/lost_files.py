"""Files and folders of models that are not there, or are not what their names say: told by who reads them. Pure.

Libraries word it in their own ways (`signatures/files.toml`, `folders.toml`). What is here follows from the frames
above an error, from the file's name, and from the words in which a script says by itself that something is missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from envpin.core.command_text import command_text
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import code_lines

NOT_THERE = re.compile(
    r"(?i)\bnot found|does(?: not|n['’]t) exist|\bnot exist|\bmissing\b|no such file|"
    r"(?:(?:could|did)(?: not|n['’]t)|can ?(?:not|['’]t)) (?:find|locate)|unable to (?:find|locate)|"
    r"\bhas no [\w.-]+\.(?:json|safetensors|bin|model)|no such \w+ (?:directory|folder|file|path)|"
    r"\bno .{1,40} (?:was |were )?found|不存在|未找到|找不到|没有找到|无法找到|"
    r"\bno (?:[\w.-]{1,30} ){1,4}(?:at|in|under|inside) [\"'`]?[\w.~\\-]*/|"
    r"no (?:se )?(?:encontr|existe)|não (?:foi |foram )?(?:encontrad|existe)|\bfalta(?:ndo|n|ntes?)\b|introuvable|"
    r"\bmanquante?s?\b|n['’]existe pas|non trouvé|"
    r"nicht gefunden|existiert nicht|non (?:trovat|esiste)|не найден|не существует|отсутствует|見つかりません|"
    r"存在しません|찾을 수 없|존재하지 않|không (?:tìm thấy|tồn tại)|bulunamadı|nie (?:znaleziono|istnieje)|"
    r"tidak ditemukan"
)
# Something that a package manager, a compiler or a search in data misses is none of these.
_OF_ELSE = re.compile(
    r"(?i)modul|command|packag|librar|symbol|executable|attribute|column|config option|keys?\b|argument|"
    r"\bclass|class\b|shared object|interpreter|\bpage|url\b|404|image|audio|video|from scratch|(?<!-)\bskip|"
    r"using default|"
    r"fall(?:ing)? back|warning|will be (?:created|downloaded)|creating"
)
_PATH = re.compile(
    r"[\"'`]([^\"'`\n]{1,300})[\"'`]|(?<![\w:/.])((?:\.{0,2}/|~/|[A-Za-z]:[\\/])[^\s\"'`,;，。]{1,300}|"
    r"[\w.-]{1,120}(?:[/\\][\w.-]{1,120}){1,12})"
)
# One file that is missed in a folder, in words that name both.
_FILE = r"[\"'`]?(?P<file>[\w.-]{1,100}\.(?:safetensors|bin|json|model|txt|gguf|pth?|npz))[\"'`]?"
_IN = r"(?:in|from|under|inside|at) (?:the )?(?:folder |directory |path )?[\"'`]?(?P<folder>[^\s\"'`,;]{1,300})"
_IN_A_FOLDER = (
    re.compile(rf"(?i){_FILE} (?:was |is |were )?(?:not found|missing|not present|does(?: not|n't) exist) {_IN}"),
    re.compile(
        rf"(?i)(?:\bno|missing|(?:could not|cannot|can't|couldn't) find) (?:the )?(?:file )?{_FILE} (?:found )?{_IN}"
    ),
)
_ADAPTER = re.compile(
    r"(?i)\bq?loras?\b|[_/\\-]q?lora|lora[_/\\-]|\bpeft\b|适配器|adapter|adaptador|adaptateur|адаптер|アダプタ|어댑터"
)
SURELY_ADAPTER = re.compile(
    r"(?i)lora|\bpeft\b|适配器|adapter[_ -]?(?:weights?|config|model|checkpoint)|load(?:ing)? (?:the )?adapter"
)
_TOKENIZER = re.compile(
    r"(?i)tokenizer|分词器|tokenizador|токенизатор|トークナイザ|토크나이저|spiece\.model|"
    r"preprocessor_config|processor_config"
)
_DATA = re.compile(
    r"(?i)data ?sets?\b|\bdata (?:file|path|dir)|(?:train\w*|test|valid\w*|eval\w*|input) (?:file|data|set)|"
    r"\.(?:jsonl|csv|tsv|parquet|arrow)\b|数据|\bcorpus\b|\bdados\b|\bdatos\b|données|\bdaten|данны|データ|"
    r"데이터|dữ liệu"
)
_MODEL = re.compile(
    r"(?i)\b(?:base|pre-?trained|fine-?tuned|merged|trained|saved|best|local)?[ _-]?model\b|check-?points?\b|\bckpt|"
    r"\bweights?\b|模型|权重|检查点|基座|\bmodelos?\b|\bmod[eè]les?\b|\bmodell[eo]?\b|модел|モデル|모델|mô hình"
)
_NAMED_MODEL = re.compile(r"(?i)\b(?:base|pre-?trained|fine-?tuned|merged)[ _-]?model|模型(?:路径|文件|权重|目录)|权重")
# Files that no other field has, by what is missing where they are.
_ADAPTER_FILE = re.compile(r"^adapter_(?:config|model)\b|^adapters?\.(?:safetensors|npz)$")
_TOKENIZER_FILE = re.compile(
    r"^(?:tokenizer(?:_config)?\.(?:json|model)|[\w.-]*(?:spiece|spm|sentencepiece|bpe)[\w.-]*\.model|merges\.txt|vocab\.(?:json|txt|bpe)|"
    r"special_tokens_map\.json|(?:pre)?processor_config\.json|added_tokens\.json)$"
)
_OF_A_RUN = re.compile(
    r"^(?:trainer_state\.json|optimizer\.(?:pt|bin)|scheduler\.pt|rng_state\S*\.pth|training_args\.bin)$"
)
_WEIGHTS_FILE = re.compile(
    r"\.safetensors$|\.index\.json$|^(?:pytorch_model|tf_model|flax_model|consolidated|lit_model)\b|-of-\d+\.bin$"
)
_OF_A_FAMILY = re.compile(
    r"(?i)llama|qwen|mistral|gemma|deepseek|chatglm|(?<![a-z])(?:glm|gpt|bert|t5|phi)[-\d_]|whisper|checkpoint|ckpt|"
    r"pretrained|hugging_?face|fine-?tuned|vicuna|bloom|falcon|internlm|baichuan"
)  # fmt: skip
_LOST = re.compile(
    r"(?:No such file or directory|does not exist|[Nn]ot found|[Cc]annot find the (?:path|file) specified)"
    r"[^\n'\"]{0,20}[:,] ?['\"]?([^'\"\n]{1,300}?)['\"]?\.?\s{0,40}$"
)
# A recording or picture that a row names.
_MEDIUM = re.compile(r"(?i)\.(?:wav|mp3|flac|ogg|m4a|opus|jpe?g|png|bmp|webp|tiff?|mp4|avi|mkv|webm)$")
_EMPTY_LIST = re.compile(r"list index out of range|arg is an empty sequence|argument is empty")
_CHECKPOINTS = re.compile(r"(?i)check-?points?\b|ckpts?\b")
_ASSERTED = re.compile(
    r"assert\s+(?:(?:\w+\.)*(?:exists|isdir|isfile|is_dir|is_file)\(\s*(?P<name>[^)\n]{1,200})|"
    r"(?P<of>[A-Za-z_][\w.]{0,80})\.(?:exists|is_file|is_dir)\(\))"
)
NO_WHOLE_MODEL = "the folder is not that of a whole model (an adapter's, a checkpoint's parent), or not there"
GIVE_ITS_PATH = "give its path, whole or from the folder in which the command runs"
STEPS = {
    "adapter-not-found": (
        "look where training saved it: envpin scan DIR", "give the folder that holds adapter_config.json"
    ),
    "base-not-found": (
        "give the folder that holds config.json and the weights, whole or from where the command runs",
        "train or download it first, where nothing was saved yet",
    ),
    "tokenizer-missing": (
        "save the tokenizer with the model: tokenizer.save_pretrained(FOLDER)", "take the tokenizer of the base"
    ),
    "data-not-as-expected": (GIVE_ITS_PATH,), "settings-refused": (GIVE_ITS_PATH,),
    "missing-shard": ("copy or download the missing file", "or name a folder that is whole"),
}  # fmt: skip
# What a run cannot do without and be what was meant: another model or adapter in its place gives other outputs.
_NOT_DONE_WITHOUT = frozenset({"adapter-not-found", "base-not-found"})
# Of several files that are missed: a tokenizer is saved on its own, and weights have other names as well.
_FIRST = ("tokenizer-missing",)
_IN_PARTS = (
    "where the weights lie there in parts (model-00001-of-…) or in another format: save them again in one file, "
    'save_pretrained(OUT, max_shard_size="100GB")'
)
_RESUME = (
    "name the folder of one checkpoint: resume_from_checkpoint=OUTPUT/checkpoint-N",
    "of a saved model or adapter alone no run resumes: load it, and train without resume_from_checkpoint",
)
_WHAT = {
    "adapter-not-found": "an adapter", "base-not-found": "a model or checkpoint",
    "tokenizer-missing": "tokenizer files", "data-not-as-expected": "data",
    "missing-shard": "a file of weights, or of a checkpoint", "settings-refused": "a file of settings",
}  # fmt: skip


# The adapter of a stage before, in whose place a program takes another: a first training misses none of a stage.
_STAGE = r"\b(?:SFT|DPO|CPT|GRPO|stage|phase|trained|fine-?tuned)\b[-_ ](?:LoRA[-_ ])?(?:adapters?|LoRA|weights)\b"
_OF_A_STAGE = re.compile(
    rf"(?i)(?:\b(?:no|kein\w{{0,2}})\b[^.;!\n]{{0,20}}{_STAGE}[^.;!\n]{{0,60}}(?:found|gefunden)|"
    rf"{_STAGE}[^.;!\n]{{0,80}}(?:not found|nicht gefunden|does(?: not|n't) exist))[^\n]{{0,120}}?"
    r"[.;:,!-] [^\n]{0,80}?\b(?:fresh|new|base|scratch|random|frische\w*|neue\w*|Basis\w*)\b[^\n]{0,80}"
)


@dataclass(frozen=True)
class Lost:
    """What is missing, by its code, and the path where it was looked for, as far as it is known."""

    code: str
    path: str | None
    said: str = ""
    more: tuple[str, ...] = ()

    def explained(self) -> Explained:
        if self.more:
            return self._of_several()
        where = f" at `{self.path}`" if self.path else ""
        quoted = "" if self.path or not self.said else f": {self.said}"
        says = f"the program looks for {_WHAT[self.code]}{where}, and that is not there{quoted}"
        seen = (f"see what is there: {command_text('ls', _folder(self.path))}",) if self.path else ()
        if self.path and _OF_A_RUN.search(_name(self.path)):
            return Explained(self.code, f"{says}: the folder is no whole checkpoint of the Trainer", (*seen, *_RESUME))
        if self.path and _name(self.path) == "config.json" and self.code == "base-not-found":
            return Explained(self.code, f"{says}: {NO_WHOLE_MODEL}", (*seen, *STEPS[self.code]))
        if self.path and _name(self.path) in {"model.safetensors", "pytorch_model.bin"}:
            seen = (*seen, _IN_PARTS)
        return Explained(self.code, says, (*seen, *STEPS[self.code]))

    def _of_several(self) -> Explained:
        files = ", ".join(f"`{one}`" for one in self.more)
        weights = any(_WEIGHTS_FILE.search(_name(one)) for one in self.more)
        newer = "where the weights lie there as model.safetensors: let the script look for that name" if weights else ""
        return Explained(self.code, f"the program looks for {files}, and they are not there", (
            *((newer,) if newer else ()), *STEPS[self.code],
        ))  # fmt: skip


# What a shell says of a program that a build or an installation puts into such a folder.
NO_PROGRAM = re.compile(
    r"sh: (?:line \d+: |\d+: )?(?P<path>(?:[^:\n]{0,200}/)?(?:s?bin|build)/(?:[\w.-]{1,60}/){0,6}"
    r"(?P<name>[\w-]{1,60})): (?:No such file or directory|not found)$"
)


def said_to_be_lost(text: str) -> Lost | None:
    """What a program says by itself is not there; None where the words could be of another field."""
    if NOT_THERE.search(text) is None or NO_PROGRAM.search(text) is not None:
        return None
    inside = next((found for one in _IN_A_FOLDER if (found := one.search(text)) is not None), None)
    path = _path_in(text) if inside is None else f"{inside['folder'].rstrip('./')}/{inside['file']}"
    rest = text if path is None else text.replace(path, " ")
    if _OF_ELSE.search(rest) is not None:
        return None
    if path is not None and (code := _of_name(path)) is not None:
        several = {one[1]: _of_name(one[1]) for one in _PATH.finditer(text) if one[1] and _of_name(one[1])}
        if len(several) > 1:
            return Lost(next((one for one in several.values() if one in _FIRST), code), path, more=tuple(several))
        return Lost(code, path)
    for code, words, surely in (
        ("tokenizer-missing", _TOKENIZER, _TOKENIZER),
        ("adapter-not-found", _ADAPTER, SURELY_ADAPTER),
        ("data-not-as-expected", _DATA, None),
        ("base-not-found", _MODEL, _NAMED_MODEL),
    ):
        if words.search(rest) is not None and (path is not None or (surely and surely.search(rest))):
            return Lost(code, path, " ".join(text.split())[:160])
    return _of_folder(path) if path is not None else None


def went_on_without(text: str) -> Lost | None:
    """What a program says is not there before it takes something else in its place."""
    if (stage := _OF_A_STAGE.search(text)) is not None:
        return Lost("adapter-not-found", _path_in(text), stage[0].strip())
    said = re.split(r"(?i)[.,;:!-]* *\b(?:fall(?:s|ing)? back|using|loading|continuing|will use)\b", text, maxsplit=1)
    lost = said_to_be_lost(said[0]) if len(said) > 1 and "://" not in text else None
    return lost if lost is not None and lost.path is not None and lost.code in _NOT_DONE_WITHOUT else None


def lost_by_script(exception: str, message: str, before: str) -> Lost | None:
    """What a script that raised or stopped in its own code did not find."""
    if exception in {"FileNotFoundError", "NotADirectoryError", "OSError", "SafetensorError"}:
        found = _LOST.search(message)
        if found is not None and (path := found[1]) is not None:
            code = _of_name(path)
            return Lost(code, path) if code is not None else _of_folder(path) or said_to_be_lost(message)
        return said_to_be_lost(message)
    if exception == "AssertionError" and not message and (name := asserted_to_exist(before)) is not None:
        return _of_asserted(name)
    line = _code_line(before)
    if exception in {"IndexError", "ValueError"} and _EMPTY_LIST.search(message) and _CHECKPOINTS.search(line):
        return Lost("base-not-found", None)
    if exception in {"AssertionError", "ValueError", "RuntimeError", "Exception", "SystemExit"}:
        return said_to_be_lost(message)
    return None


def asserted_to_exist(before: str) -> str | None:
    """What the last line of code asserts to be there, as it writes it."""
    asserted = _ASSERTED.search(_code_line(before))
    return None if asserted is None else (asserted["name"] or asserted["of"]).strip()


def lost_by_library(exception: str, message: str, package: str) -> Explained | None:
    """What a library did not find in a folder, by the name of the file."""
    found = _LOST.search(message) if exception == "FileNotFoundError" else None
    code = None if found is None else _of_name(found[1])
    if found is not None and code is None and _MEDIUM.search(found[1]) is not None:
        return Lost("data-not-as-expected", found[1]).explained()
    if found is None or code is None:
        return None
    told = Lost(code, found[1]).explained()
    says = f"{package} looks for `{found[1]}`, and there is no such file"
    return Explained(code, says + told.says.partition(" that is not there")[2], told.fix)


def _path_in(text: str) -> str | None:
    found = [one[1] or one[2] for one in _PATH.finditer(text)]
    shaped = [one.rstrip(".") for one in found if re.search(r"[/\\]|\.\w{2,12}$", one)]
    return shaped[0] if shaped else None


def _of_name(path: str) -> str | None:
    """What is missing by the name of a file that no other field has."""
    folder, name = _folder(path), _name(path)
    for code, pattern in (
        ("adapter-not-found", _ADAPTER_FILE), ("tokenizer-missing", _TOKENIZER_FILE), ("missing-shard", _OF_A_RUN),
        ("missing-shard", _WEIGHTS_FILE),
    ):  # fmt: skip
        if pattern.search(name):
            return code
    if name == "config.json" and (_OF_A_FAMILY.search(folder) or _MODEL.search(folder)):
        return "base-not-found"
    if name.endswith((".gguf", ".ckpt", ".pth", ".pt")):
        return "adapter-not-found" if SURELY_ADAPTER.search(path) else "base-not-found"
    return None


def _of_folder(path: str) -> Lost | None:
    """What a folder would hold, by its name."""
    if re.search(r"\.[A-Za-z]\w{0,8}$", _name(path)):
        return None
    if SURELY_ADAPTER.search(path):
        return Lost("adapter-not-found", path)
    return Lost("base-not-found", path) if _OF_A_FAMILY.search(path) else None


def _name(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _folder(path: str) -> str:
    """Where to look: the path itself, or of one to a file the folder that should hold it."""
    return path if re.search(r"\.[A-Za-z]\w{0,11}$", path) is None else path[: -len(_name(path))].rstrip("/\\") or "."


def _of_asserted(name: str) -> Lost | None:
    """What a path would lead to, by the name of the variable or the literal that is asserted to exist."""
    words = name.replace("_", " ")
    for code, pattern in (
        ("tokenizer-missing", _TOKENIZER), ("adapter-not-found", SURELY_ADAPTER), ("base-not-found", _MODEL),
    ):  # fmt: skip
        if pattern.search(words) is not None:
            return Lost(code, _path_in(name))
    return None


def _code_line(before: str) -> str:
    """The last line of code that a traceback shows."""
    return next(iter(code_lines(before)[-1:]), "")
