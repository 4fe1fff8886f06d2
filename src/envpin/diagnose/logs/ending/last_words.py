"""What a program says at its end, without a traceback: what it misses, or was not given. Pure.

Scripts look by themselves whether a token is set, a file is there or a name is known, print a line and end. Such lines
have no exception and no frame, so that only their place (the last ones of the log) and their words tell.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.logs.context.kinds_refused import said_of_a_kind
from envpin.diagnose.logs.context.lost_files import GIVE_ITS_PATH, NO_PROGRAM, NOT_THERE, said_to_be_lost
from envpin.diagnose.logs.ending.modules import no_module
from envpin.diagnose.logs.ending.own_checkpoints import said_of_names
from envpin.diagnose.logs.ending.own_checks import of_a_release, of_words
from envpin.diagnose.logs.ending.own_code import kind_of_path
from envpin.diagnose.logs.ending.own_lookups import of_a_key_alone
from envpin.diagnose.logs.ending.own_merges import said_of_a_merge
from envpin.diagnose.logs.ending.raised_words import STEPS_OF_THE_PROGRAM, of_the_program
from envpin.diagnose.logs.ending.table import row
from envpin.diagnose.logs.ending.tokens import of_a_token
from envpin.diagnose.logs.facts.index_names import on_the_index
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import known_libraries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Of a log, so many of its last lines may tell why the program ended.
LAST = 12
# What stands before the words: the time, the level, the logger, a sign.
_DECORATION = re.compile(
    r"^(?:[\s│|>*#✗❌⛔⚠️🚫🔴‼❗✖×-]|\[?\d{4}-\d\d-\d\d[ T][\d:,.]+Z?\]?|\[?\d\d:\d\d:\d\d\]?|"
    r"\[?(?:ERROR|FATAL|CRITICAL|INFO|error|fatal)\]?(?=[\s:|\]-])|\w+(?:\.\w+)*(?= - (?:ERROR|CRITICAL))|:(?=\s))+\s*"
)
_LEVEL = re.compile(
    r"(?i)^\[?(?:(?:fatal|critical|value|runtime) ?)?(?:error|fatal|erreur|fehler|erro|errore|ошибка|lỗi|hata|"
    r"错误|エラー|오류)"
    r"\]?(?: ?[:：!]| -) *"
)
_OF_THE_FIELD = re.compile(
    r"(?i)lora|peft|tokeniz|base[_ ]?model|pre-?trained|model[_ -](?:name|path|id|dir|type|file)|transformers|"
    r"fine[-_ ]?tun|llama|qwen|mistral|gemma|\bgpt|\bbert|\bt5\b|max_(?:seq_)?length|train|epochs|learning_rate|gguf|"
    r"quantiz|\bllms?\b|\bmerge|\bhf[_-]|hugging ?face|check-?point|embedding|inference|adapter|load_in_|"
    r"label2id|\binstruction\b|\bprompt\b|ollama|Modelfile|data ?set|"
    r"CUDA|torch|wandb|模型|数据集|训练"
)
# The run goes on, or ended as it should.
_GOES_ON = re.compile(
    r"(?i)fall(?:s|ing)? back|will be (?:used|ignored|created)|ignor(?:ed|ing)|skipp?(?:ed|ing)\b|optional|"
    r"\bwarn(?!ings\b)|using (?:the )?(?:default|cpu)|instead\b|continuing|from kernels-community|"
    r"Supported models are \[|\bdeprecated\b|takes? precedence|使用默认|警告|跳过"
)
# It goes on, and only makes as if it did the work.
_PRETENDS = re.compile(
    r"(?i)(?P<why>(?:CUDA|GPU)\b[^\n]{0,30}(?:not (?:available|found|detected)|unavailable)|"
    r"\bno (?:CUDA )?(?:GPUs?|CUDA)\b)[^\n]{0,60}"
    r"\b(?:simulat(?:e|es|ed|ing|ion)|mock(?:ed|ing)?|dummy|placeholders?|stubs?)\b"
)
# A line of a traceback has other readers.
_RAISED = re.compile(r"^(?:\[rank\d+\]: )?(?:[a-z_]\w*\.)*[A-Z]\w+(?:Error|Exception|Warning|Exit)\b")
_ENDED_WELL = re.compile(
    r"(?i)\b(?:saved|done|completed|finished|success\w*|uploaded|written to)\b|Running on \w+ URL|[Rr]unning "
    r"on http|startup complete|✅|🎉|完成|已保存|'train_runtime'"
)
_COMPLAINS = re.compile(
    r"(?i)^[^\w\n]{0,6}(?:\[?(?:fatal |critical )?(?:error|fatal|critical|erreur|fehler|erro|errore|ошибка|"
    r"lỗi|hata|błąd)\b\]?|"
    r"错误|エラー|오류|error:|abort)|❌|⛔|🚫|\b(?:ERROR|CRITICAL|FATAL)\b"
)
_D, _S = "data-not-as-expected", "settings-refused"
_COUNT = "count the rows after each step; a filter, another file or another name of a column leaves none"
_THING = (
    r"(?:models?|base|backbone|tasks?|data ?sets?|modes?|methods?|quant\w*|d?type|precision|format|option|command|"
    r"optimi[sz]er|backend|loss|scheduler|template|stage|split|language|strategy|argument|adapter type|架构|模型|任务)"
)


_PACKAGE = r"[\"'`]?(?P<name>[A-Za-z][\w.-]{1,40})[\"'`]?"
_NO_PACKAGE = (
    re.compile(r"No module named '?(?P<name>\w+)(?P<rest>(?:\.\w+)+)?"),
    re.compile(
        rf"(?i)(?:missing|needs?|requires?)[\w ]{{0,20}} (?:dependency|dependencies|package|library|"
        rf"module)s?:? {_PACKAGE}"
    ),
    re.compile(rf"{_PACKAGE}(?: (?:package|library|module))? (?:is|was) not installed"),
    re.compile(rf"{_PACKAGE} not installed\b(?=[^\n]{{0,40}}\binstall)"),
    re.compile(r"pip3? install (?:(?:-U|-q|--upgrade) )*[\"'`]?(?P<name>[A-Za-z][\w.-]{1,40})"),
)
_PACKAGES = known_libraries() | {"sentencepiece", "tiktoken", "protobuf", "safetensors"}
_NO_NAMES = frozenset(
    {"it", "package", "library", "module", "which", "that", "the", "this", "and", "git", "r", "python", "cuda", "gpu"}
)


_ROWS = (
    row(
        r"(?i)not enough (?:GPU |CUDA |video |system )?(?:V?RAM|memory)|insufficient (?:GPU |CUDA )?(?:V?RAM|"
        r"memory)|显存不足|内存不足",
        "out-of-memory",
        "the program looks at the memory by itself and stops: {quote}",
        "a smaller batch, a shorter length, a smaller or quantized base, or a machine with more",
    ),
    row(
        r"(?i)only one of|mutually exclusive|cannot be (?:used|combined|set) (?:together|with)|cannot use "
        r"both|not both\b|只能选择一个",
        _S,
        "two options that exclude each other were given: {quote}",
        "leave out one of the two",
    ),
    row(
        r"(?i)\d+ tokens?\b[^\n]{0,80}(?:exceed|longer|too long|more than|larger than)|exceeds? (?:the "
        r")?(?:max|model|context)[^\n]{0,40}(?:length|tokens|window)",
        "inputs-do-not-fit",
        "the text is longer than the program or the model takes: {quote}",
        "cut the text, or raise the limit where the model has the positions for it",
    ),
    row(
        r"(?i)(?:CUDA|GPUs?)\b[^\n]{0,40}?(?:is |are )?(?:not available|not found|unavailable|not detected|required)|"
        r"(?i:\bno (?:CUDA )?(?:GPUs?|CUDA)\b[^\n]{0,20}(?:found|available|detected|devices?))|"
        r"(?i:requires? (?:a |an )?(?:CUDA|(?:NVIDIA )?GPU))|(?:未检测到|没有可用的?|需要) ?(?:CUDA|GPU)|"
        r"(?i:requiere|exige|nécessite|benötigt|требуется|precisa de|richiede)[^\n]{0,20}(?:GPU|CUDA)|"
        r"GPU(?:が必要|가 필요)|"
        r"(?:CUDA|GPUs?)[^\n]{0,20}? (?i:n[aã]o (?:est[aá] )?dispon[ií]ve|no est[aá] dispon|n['’]est pas dispon|"
        r"non (?:è )?disponibil|(?:ist )?nicht (?:verfügbar|vorhanden)|не ?доступн|недоступ)|(?:CUDA|GPU) ?不可用",
        "gpu-not-supported",
        "the program asks for a GPU, and torch sees none here: {quote}",
        'run it where there is one, with a torch that was built for it: python -c "import torch; '
        'print(torch.cuda.is_available(), torch.version.cuda)"',
        "or give its option for the CPU, where it has one",
    ),
    row(
        r"(?i)\b(?:data ?set|data|records?|rows?|jsonl|corpus|input)\b[\w ]{0,30}validation (?:failed|found)"
        r"[^\n]{0,80}?[1-9]\d* (?:errors?|invalid)|"
        r"\bvalidation failed\b[^\n]{0,60}\b\d+ (?:records?|rows?|examples?|samples?|lines?)",
        _D,
        "the program checks the data, and rows of it do not pass: {quote}",
        "look at what it wrote of each: its report, or the lines above, name the rows and what is wrong with them",
        "correct or leave out these rows, and run it again",
    ),
    row(
        r"(?i)(?:output|save|target|merged?|destination|folder|director|file|path|out)[^\n]{0,200}?already exists|"
        r"already exists[^\n]{0,60}?(?:overwrite|--force|delete|remove)|(?:输出)?(?:目录|文件)[^\n]{0,100}已存在",
        "output-exists",
        "the output is there already, and the program does not write over it: {quote}",
        "give another output folder, or its option that overwrites",
    ),
    row(
        r"(?i)(?:model|checkpoint|weights)\w*[ /](?:dir\w*|folder|path)[^\n]{0,200} (?:is|was) empty|"
        r"模型(?:目录|路径)为空",
        "base-not-found",
        "the folder in which the program looks for the model has nothing in it: {quote}",
        "copy or download the model to it, or give the folder that holds config.json and the weights",
    ),
    row(
        r"(?i)\b(?:loaded|found|read|got|have|using|with|left|after filtering:?|processed|"
        r"kept|parsed|tokeni[sz]ed|indexed|collected|wrote) 0 "
        r"(?:valid |training |train |eval\w* |usable )?(?:examples?|samples?|rows?|records?|pairs?|"
        r"conversations?|texts?|documents?|images?)|"
        r"\bno (?:valid |training |usable |labell?ed |matching |eval\w* |\([^()\n]{1,60}\) )*"
        r"(?:data|examples?|samples?|rows?|records?|pairs?|"
        r"documents?|texts?|images?|files?|passages?|queries|articles?|clips?|entries|sentences?|"
        r"captions?|annotations?|utterances?|questions?|triplets?|labels?|classes)\b[^\n]{0,40}?"
        r"\b(?:found|left|loaded|remain\w*|available|after|to "
        r"(?:train|process|evaluate|tokeni[sz]e|index|embed|convert|score|save|write))|"
        r"\b(?:total|number of|num|loaded|train\w*|usable|remaining|final|after filter\w*)\b[\w ]{0,15}"
        r"(?:examples?|samples?|rows?|records?|texts?|documents?|tokens)\s*[:=] *0$|"
        r"(?<![\d/.])(?<!epoch )(?<!step )0 ?/ ?0(?![\d./])(?! \[)|\bout of 0\b|"
        r"\bnothing (?:left )?to (?:train|evaluate|process|tokenize|index|embed|score)\b|"
        r"(?:data ?set|data|split|corpus|file) (?:is|was) empty|(?:数据集?|文件)(?:为空|是空)|"
        r"没有(?:找到)?(?:任何)?(?:有效的?)?(?:训练)?(?:数据|样本)",
        _D,
        "the program was left without rows: {quote}",
        _COUNT,
        GIVE_ITS_PATH,
    ),
    row(
        rf"(?i)\b(?:unknown|unsupported|unrecogni[sz]ed|invalid|no such|not a valid|"
        rf"undefined)\b(?![^\n]*(?:director|folder|\bfile\b|path))[^\n]{{0,30}}\b{_THING}\b|"
        rf"\b{_THING}\b[^\n]{{0,80}}(?:\bnot (?:supported|recogni[sz]ed|known|valid|implemented|(?:one "
        rf")?(?:of|in))\b)|"
        rf"\b{_THING}\b[^\n]{{0,80}}must be (?:one of|in|either)|不支持的?|未知的?(?:模型|任务|参数)|不支援",
        _S,
        "the program does not know a name or value that it was given: {quote}",
        "take one of those that the line or the program's page lists, spelt as there",
    ),
)
_CONFIG_FILE = re.compile(
    r"(?i)(?P<name>[\w./\\~-]{1,200}\.(?:ya?ml|toml|ini|cfg|env)|"
    r"[\w./\\~-]{0,200}config\w*\.json)\b"
)
_NO_FILE = re.compile(
    r"\[Errno 2\] No such file or directory: ['\"](?P<name>[^'\"\n]{1,300})['\"]|\bopen "
    r"(?P<path>[^\s:]{1,300}): no such file"
)
_SHELL = re.compile(
    r"^(?:[\w./-]{0,100}(?:ba|z|da|)sh|[\w./-]{1,100}\.sh): (?:line \d+: |\d+: "
    r")?(?P<name>[^:\n]{1,200}): No such file or directory$"
)
_NOT_THERE = re.compile(
    r"(?i)^(?:(?:the|input|source|data|required) ){0,2}(?P<kind>directory|folder|path|file)[: ]{1,2}[\"'`]?"
    r"(?P<path>[\w.~-]*(?:/[\w.~-]+)+/?)[\"'`]? (?:does(?: not|n['’]t) exist|(?:was |is )?not found|is missing)\b[.!]?$"
)
_SHORT = 2
_DENIED = re.compile(r"^[\w./-]{0,100}sh: (?:line \d+: |\d+: )?(?P<name>[^:\n]{1,200}\.(?:sh|py)): Permission denied$")
_OF_WINDOWS = re.compile(r"\$'[^'\n]{0,200}\\r': command not found")
_ARGUMENT = re.compile(
    r"Invalid value for ['\"]?(?P<name>[\w\[\] /-]{1,80}?)['\"]?: "
    r"(?:File|Directory|Path) ['\"](?P<path>[^'\"\n]{1,300})['\"] "
    r"does not exist"
)
# A script's own check, in the form of argparse, whose own messages signatures know.
_REFUSED = re.compile(
    r"^(?P<name>[\w./-]{1,200}\.py): error: "
    r"(?P<said>(?!the following arg|unrecognized arg|argument |one of the arg|ambiguous )[^\n]{3,300})$"
)
_USAGE = re.compile(r"^(?i:usage): (?:python3? |\./)?(?P<name>[\w./-]{1,200}\.(?:py|sh))(?P<rest> [^\n]{1,300})$")


def of_last_words(lines: Sequence[str], *, in_field: bool) -> tuple[int, str, Explained] | None:
    """Which of the last lines of a log tells why the program ended, by its place among them, and what it tells; None
    where none does, the run ended well after it, or nothing shows that the log is of this field."""
    last = [_plain(one) for one in lines]
    of_it = in_field or any(_OF_THE_FIELD.search(one) for one in last)
    if of_it and (pretended := _of_a_pretence(last)) is not None:
        return pretended
    if of_it and (key := of_a_key_alone(lines)) is not None:
        return key
    ended = max((at for at, one in enumerate(last) if _ENDED_WELL.search(one)), default=-1)
    # a log of a line or two has nothing else that shows its field
    alone = (_of_this_field_alone, _of_a_folder) if sum(map(bool, last)) <= _SHORT else (_of_this_field_alone,)
    for tell in (_of_a_refusal, _of_what_is_missing, _of_a_complaint) if of_it else alone:
        for at, one in enumerate(last):
            if at <= ended or not one.strip() or _GOES_ON.search(one) or _RAISED.search(lines[at].strip()):
                continue
            if (told := tell(one, lines[at])) is not None:
                return at, lines[at].strip(), told
    return None


def _of_a_pretence(last: Sequence[str]) -> tuple[int, str, Explained] | None:
    at = next((at for at, one in enumerate(last) if _PRETENDS.search(one) is not None), None)
    if at is None:
        return None
    says = f"the program found no GPU, and only made as if it did the work, so that what it wrote is none: {last[at]}"
    return at, last[at], Explained("gpu-not-supported", says, (
        'run it where torch sees a GPU: python -c "import torch; print(torch.cuda.is_available(), torch.version.cuda)"',
        "or do the step by a program that takes a CPU: a merge by peft's merge_and_unload needs no GPU",
    ))  # fmt: skip


def _of_a_folder(line: str, whole: str = "") -> Explained | None:
    """A folder or file of any name, of which a line that complains says only that it is not there."""
    found = _NOT_THERE.search(line)
    if found is None or _COMPLAINS.search(whole) is None:
        return None
    path = found["path"]
    says = f"the program looks for `{path}`, and there is no such {found['kind'].lower()}"
    return Explained(kind_of_path(path) or _D, says, (
        f"see what is there: {command_text('ls', path.rpartition('/')[0] or '.')}", GIVE_ITS_PATH,
        "where it is of another repository, clone or download that first",
    ))  # fmt: skip


def _plain(line: str) -> str:
    text = _DECORATION.sub("", line.strip().strip("│").strip())
    return _LEVEL.sub("", text)


def _of_a_refusal(line: str, _: str) -> Explained | None:
    """What a script says of its arguments below the line of its usage."""
    found = _REFUSED.search(line)
    if found is None:
        return None
    says = f"`{found['name']}` refuses what it was called with: {found['said'].rstrip('.')}"
    return Explained(_S, says, ("change the option that the message names; --help says what each takes",))


def _of_what_is_missing(line: str, _: str) -> Explained | None:
    return next((told for tell in _TELL if (told := tell(line)) is not None), None)


def _of_a_complaint(line: str, whole: str) -> Explained | None:
    """A line that says of itself that it is an error, in words that name a setting or the data."""
    if _COMPLAINS.search(whole) is None:
        return None
    if (told := said_of_a_merge(line) or _of_a_folder(line, whole) or of_a_release(line)) is not None:
        return told
    if (code := of_words("", line)) is None:
        return None
    return Explained(code, of_the_program(line), STEPS_OF_THE_PROGRAM)


def _of_an_argument(line: str) -> Explained | None:
    """A path that click, typer or their like looked for before the program began."""
    found = _ARGUMENT.search(line)
    if found is None:
        return None
    name, path = found["name"], found["path"]
    code = next((code for kind in (name, path) if (code := kind_of_path(kind)) is not None), _D)
    return Explained(code, f"`{name}` was given `{path}`, and there is no such file or folder", (GIVE_ITS_PATH,))


def _of_a_row(line: str) -> Explained | None:
    row = next((one for one in _ROWS if one.pattern.search(line) is not None), None)
    if row is None:
        return None
    quoted = of_the_program(line).partition(": ")[2] or line
    return Explained(row.code, row.says.format(quote=quoted), row.fix)


def _of_a_package(line: str) -> Explained | None:
    found = next((one for form in _NO_PACKAGE if (one := form.search(line)) is not None), None)
    if found is None or found["name"].lower() in _NO_NAMES:
        return None
    if found.groupdict().get("rest") and (told := no_module(found[0])) is not None:
        return told
    name = on_the_index(found["name"]).rstrip(".,")
    install = command_text("python", "-m", "pip", "install", name)
    says = f"the program needs `{name}`, and the interpreter that ran does not have it"
    return Explained("package-missing", says, (f"install it there: {install}", TRAINING))


def _of_a_config(line: str) -> Explained | None:
    found = _CONFIG_FILE.search(line)
    if found is None or NOT_THERE.search(line) is None or found["name"].endswith("adapter_config.json"):
        return None
    if re.search(r"(?i)model|checkpoint|lora|adapter|tokenizer", line[: found.start()]) is not None:
        return None
    return Explained(_S, f"the file of settings `{found['name']}` is not there", (GIVE_ITS_PATH,))


def _of_a_path(line: str) -> Explained | None:
    lost = said_to_be_lost(line)
    if lost is not None:
        return lost.explained()
    found = _NO_FILE.search(line)
    if found is None:
        return None
    return Explained(
        _D,
        f"the program opens `{found['name'] or found['path']}`, and there is no such file or folder",
        (GIVE_ITS_PATH,),
    )


def _of_this_field_alone(line: str, _: str) -> Explained | None:
    """What only this field misses: its words need no other sign of it."""
    found = next((one for form in _NO_PACKAGE if (one := form.search(line)) is not None), None)
    if found is not None and found["name"].lower() in _PACKAGES:
        return _of_a_package(line)
    lost = said_to_be_lost(line)
    return None if lost is None else lost.explained()


def _of_the_command(line: str) -> Explained | None:
    if (program := NO_PROGRAM.search(line)) is not None:
        says = f"the program `{program['name']}` is not at `{program['path']}`: it was not built or installed there"
        return Explained("package-missing", says, (
            f"build or install what brings `{program['name']}`, or name in the script where it lies",
        ))  # fmt: skip
    if (found := _SHELL.search(line)) is not None:
        return Explained(_S, f"the script or file `{found['name']}` is not there", (GIVE_ITS_PATH,))
    if (found := _DENIED.search(line)) is not None:
        says = f"the shell may not run `{found['name']}`: the file is not marked as a program"
        run = command_text("python" if found["name"].endswith(".py") else "bash", found["name"])
        return Explained(_S, says, (f"name what runs it: {run}", command_text("chmod", "+x", found["name"])))
    if _OF_WINDOWS.search(line) is not None:
        says = "the script has the line ends of Windows (CR LF), and the shell takes each CR for a part of its line"
        return Explained(_S, says, ("take them out: sed -i 's/\\r$//' SCRIPT.sh",
                                    "git config core.autocrlf input, and check it out again"))  # fmt: skip
    if (found := _USAGE.search(line)) is None or "[options]" in line.lower():
        return None
    return Explained(_S, f"`{found['name']}` was called with other arguments than it takes:{found['rest']}", (
        "give them in the order of that line",
    ))  # fmt: skip


_TELL: tuple[Callable[[str], Explained | None], ...] = (
    of_a_token, _of_an_argument, said_of_names, _of_a_package, _of_a_config, said_of_a_kind, _of_a_row, _of_a_path,
    _of_the_command,
)  # fmt: skip
