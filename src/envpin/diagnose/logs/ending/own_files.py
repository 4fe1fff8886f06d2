"""What a script's own calls for files and folders stop at: writing, listing, opening, asking. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.logs.context.folders import WRITES
from envpin.diagnose.logs.context.lost_files import GIVE_ITS_PATH, SURELY_ADAPTER
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import code_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PATH = re.compile(r"\[Errno \d+\] [^'\"\n]{1,60}: ['\"](?P<path>[^'\"\n]{1,400})['\"]")
_CHANGES = re.compile(rf"{WRITES.pattern}|\bmkdir\(|makedirs\(|copy\w*\(|shutil\.\w+\(")
_NO_NAME = re.compile(r"\[Errno 2\] [^'\"\n]{1,60}: ['\"]['\"]")
_MADE = re.compile(r"(?:makedirs|mkdir)\((?P<what>(?:[^(),\n]|\([^()\n]{0,80}\)){1,120})")
_OF_A_PATH = re.compile(r"(?:dirname|split|Path)\((?P<path>[^()\n]{1,80})\)")
_MAKES = re.compile(r"\bmkdir\(|makedirs\(")
_RUNS = re.compile(r"raise child_exception_type\(")
_COMPILERS = re.compile(r"(?:^|/)(?:gcc|g\+\+|cc|c\+\+|clang(?:\+\+)?|nvcc|ninja|cmake|make|cl)(?:-\d+|\.exe)?$")
_GLOB = re.compile(r"glob\([^\n]{0,20}?[rf]{0,2}[\"'](?P<what>[^\"'\n]{1,200})[\"']|(?P<list>\blistdir\()")
_ASSERTED = re.compile(
    r"^\s*assert\s+(?:not\s+)?(?P<name>(?:\w+\.)*(?:args|cfg|config|opts?|flags)\.\w+)\s*(?:is not None)?\s*$"
)
_ASKS = re.compile(r"(?:input|getpass)\(\s*[rf]?[\"'](?P<what>[^\"'\n]{1,120})")
_PICKLE = re.compile(r"pickle|joblib|\bdill\b|torch\.load|load\(")
_SOUND = re.compile(r"[/\\](?:aifc|chunk|wave|sunau)\.py\"")
_MODEL = re.compile(
    r"(?i)model|check-?point|ckpt|weights|\bbase\b|torch\.load|from_pretrained|merged|"
    r"\.(?:bin|pth?|safetensors)\b"
)
_D, _S = "data-not-as-expected", "settings-refused"


def of_own_file(exception: str, message: str, before: str) -> Explained | None:
    """What a script of this field stopped at in a call for a file; None where the call is of another kind."""
    tell = _BY_EXCEPTION.get(exception)
    return None if tell is None else tell(message, before)


def no_program(who: str, message: str, before: str) -> Explained | None:
    """A program that `who` starts, and that is not there; None where a file of another kind was not found."""
    path = _path(message)
    if path is None or _RUNS.search(before) is None:
        return None
    says = f"{who} starts the program `{path}`, which is not on this machine, or not at that path"
    if _COMPILERS.search(path) is not None:
        install = (
            "install a compiler: apt-get install build-essential ninja-build; of nvcc, CUDA's own tools (CUDA_HOME)"
        )
        return Explained("compiler-missing", says, (install,))
    if path.lower() == path and "/" not in path:
        install = f"install it, most often under this name: apt-get install {path} (or conda, brew)"
    else:
        install = "install or build it, and give its path as this machine has it"
    return Explained("package-missing", says, (install,))


def _not_found(message: str, before: str) -> Explained | None:
    if _NO_NAME.search(message) is not None and (found := _MADE.search(_last_lines(before))) is not None:
        return _no_folder(found["what"].strip())
    path = _path(message)
    if path is None:
        return None
    if (told := no_program("the script", message, before)) is not None:
        return told
    if _MAKES.search(_last_lines(before)) is not None:
        above = path.rstrip("/").rpartition("/")[0] or "."
        says = f"the folder `{path}` is to be made, and `{above}` is not there, or takes no new folders (/proc, /sys)"
        return Explained(_S, says, (
            "give an output folder below one that is there and may be written",
            f"or make those above it as well: {command_text('mkdir', '-p', path)} (os.makedirs; parents=True)",
        ))  # fmt: skip
    return None


def _no_folder(what: str) -> Explained:
    """A folder that is to be made, and whose name came out empty."""
    inner = _OF_A_PATH.search(what)
    name = what if inner is None else inner["path"].strip()
    of_it = "and it is empty" if inner is None else "and that path has no folder in it: it is the name of a file alone"
    says = f"the script makes the folder of the path `{name}`, {of_it}"
    option = name.rpartition(".")[2]
    return Explained(_S, says, (
        f"give `{option}` with a folder: ./out/NAME, or ./NAME for the one in which the command runs",
        "in the script: make a folder only where os.path.dirname gives one",
    ))  # fmt: skip


def _is_folder(message: str, before: str) -> Explained | None:
    path = _path(message)
    if path is None:
        return None
    code = _code_of(path, before) if "torch" in before or _MODEL.search(path) else _D
    return Explained(code, f"the script opens `{path}` as a file, and it is a folder", (
        f"name the file in it: {command_text('ls', path)}", ("or load the folder with from_pretrained, where "
                                                            "it is a model's"),
    ))  # fmt: skip


def _is_file(message: str, before: str) -> Explained | None:
    path = _path(message)
    if path is None:
        return None
    says = f"`{path}` is a file, or lies below one, where the script wants a folder"
    folder = path.rpartition("/")[0] or "."
    if _MAKES.search(_last_lines(before)) is not None:
        says = f"`{path}` is to be made as a folder, and it, or a part of its path, is a file"
        return Explained("output-exists", says, ("move that file away, or give another output folder",))
    return Explained(_code_of(path, before), says, (f"give the folder: {command_text('ls', folder)}",))


def _exists(message: str, _: str) -> Explained | None:
    path = _path(message)
    if path is None:
        return None
    return Explained("output-exists", f"the script makes `{path}`, and it is there already", (
        "give another output folder, or move the old one away", "in the script: os.makedirs(FOLDER, exist_ok=True)",
    ))  # fmt: skip


def _not_permitted(message: str, before: str) -> Explained | None:
    path = _path(message)
    if path is None or not re.search(r"Errno (?:1|13|30)\]", message):
        return None
    why = "it lies on a file system that is read-only" if "Errno 30]" in message else "whoever runs this may not"
    does = "write" if _CHANGES.search(_last_lines(before)) or "Errno 30]" in message else "read"
    return Explained(_S, f"the script cannot {does} `{path}`: {why}", (
        f"see whose it is: {command_text('ls', '-ld', path)}", ("give a path that this user may use, or let "
                                                               "its owner permit it"),
    ))  # fmt: skip


def _ended(message: str, before: str) -> Explained | None:
    last = _last_lines(before, 14)
    if "reading a line" in message or "getpass" in last or re.search(r"\binput\(", last):
        asked = _ASKS.search(before[-3_000:])
        what = f' ("{asked["what"].strip()}")' if asked is not None else ""
        return Explained(_S, f"the program asks for something on the terminal{what}, and there is none to read from", (
            "give it by an option or a variable of the environment, as the program reads it",
            "or run it where its question can be answered",
        ))  # fmt: skip
    if _PICKLE.search(last) is None and _SOUND.search(before) is None:
        return None
    name = re.search(r"[\"']([^\"'\n]{1,200}\.\w{1,8})[\"']", last)
    file = f"`{name[1]}`" if name is not None else "the file that the script loads"
    size = command_text("ls", "-l", name[1] if name is not None else "FILE")
    return Explained("truncated-file", f"{file} is empty or was cut off", (
        f"look at its size: {size}", "delete it, where it is a cache, so that it is made again; else copy it again",
    ))  # fmt: skip


def _other_letters_out(message: str, _: str) -> Explained | None:
    codec = re.search(r"'([\w-]+)' codec can't encode", message)
    where = f" ({codec[1]})" if codec is not None else ""
    return Explained(_S, f"the script prints or writes letters that the encoding of this system{where} does not have", (
        "export PYTHONUTF8=1 (Windows: set PYTHONUTF8=1) before the run", ("files: open(FILE, \"w\", "
                                                                          "encoding=\"utf-8\")"),
    ))  # fmt: skip


def _none_matches(_: str, before: str) -> Explained | None:
    found = _GLOB.search(_last_lines(before, 2))
    if found is None:
        return None
    what = found["what"]
    if what is None:
        says = "the script takes an entry of a folder's list, and there are fewer in it, or none"
        return Explained("base-not-found", says, ("see what is in the folder, and give the one that is meant",))
    code = "adapter-not-found" if SURELY_ADAPTER.search(what) else "base-not-found"
    if re.search(r"\.(?:safetensors|bin|gguf|pth?)$", what):
        code = "missing-shard"
    elif re.search(r"\.(?:jsonl?|csv|tsv|txt|parquet|jpe?g|png|wav)$", what):
        code = _D
    says = f"no file matches `{what}`, which the script looks for"
    return Explained(code, says, ("see what is in that folder, and from where the script runs: ls", GIVE_ITS_PATH))


def _asserted(message: str, before: str) -> Explained | None:
    found = None if message else _ASSERTED.search(_last_lines(before, 1))
    if found is None:
        return None
    option = found["name"].rpartition(".")[2]
    return Explained(_S, f"the script was called without `{option}`, which it asserts", (f"give it: --{option} VALUE",))


def _path(message: str) -> str | None:
    found = _PATH.search(message)
    return None if found is None else found["path"]


def _last_lines(before: str, count: int = 4) -> str:
    """The last lines of code before an error, without those that name a frame."""
    lines = [one for one in code_lines(before, within=40) if not one.lstrip().startswith("File ")]
    return "\n".join(lines[-count:])


def _code_of(path: str, before: str) -> str:
    words = f"{path}\n{_last_lines(before, 2)}"
    if SURELY_ADAPTER.search(words) is not None:
        return "adapter-not-found"
    return "base-not-found" if _MODEL.search(words) is not None else _D


_BY_EXCEPTION: Mapping[str, Callable[[str, str], Explained | None]] = {
    "FileNotFoundError": _not_found,
    "IsADirectoryError": _is_folder,
    "NotADirectoryError": _is_file,
    "FileExistsError": _exists,
    "PermissionError": _not_permitted,
    "OSError": _not_permitted,
    "EOFError": _ended,
    "UnicodeEncodeError": _other_letters_out,
    "IndexError": _none_matches,
    "AssertionError": _asserted,
}
