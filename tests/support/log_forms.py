"""One log in the forms in which terminals, containers, notebooks and test runners print it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FRAME = re.compile(r'^  File "([^"\n]+)", line (\d+), in (.+)$')
_MARKS = re.compile(r"^[ \t]*[~^]+[ \t]*$")
_TRACEBACK = "Traceback (most recent call last):"


def prefixed(prefix: str) -> Callable[[str], str]:
    """Each line behind a prefix, as loggers of containers and launchers of many processes write it."""
    return lambda log: "".join(f"{prefix}{line}\n" for line in log.rstrip("\n").split("\n"))


def coloured(log: str) -> str:
    """Errors and frames in colours, as terminals print them."""
    errors = re.sub(r"(?m)^([\w.]+(?:Error|Exception))", "\x1b[1;35m\\1\x1b[0m", log)
    return re.sub(r'"([^"\n]+)", line (\d+)', '\x1b[35m"\\1"\x1b[0m, line \x1b[35m\\2\x1b[0m', errors)


def windows(log: str) -> str:
    r"""Paths of Windows, and its line ends."""

    def path(found: re.Match[str]) -> str:
        inner = re.sub(r"^.*?/\.venv/lib/python3\.\d+/", "C:/Users/me/.venv/Lib/", found[1])
        inner = re.sub(r"^/usr/(?:local/)?lib/python3\.\d+/", "C:/Python311/Lib/", inner)
        return 'File "' + re.sub("^/home/user", "C:/Users/me", inner).replace("/", "\\") + '", line'

    return re.sub(r'File "(/[^"]+)", line', path, log).replace("\n", "\r\n")


def of_a_page(log: str) -> str:
    """As blogs and forums show it: typographic quotation marks, and spaces at a line's beginning that do not break."""
    log = re.sub(r"(?m)^ +", lambda found: "\u00a0" * len(found[0]), log)
    for mark, left, right in (("'", "\u2018", "\u2019"), ('"', "\u201c", "\u201d")):
        log = re.sub(rf"(?m)(^|[\s(\[{{=]){mark}", rf"\1{left}", log).replace(mark, right)
    return log


def json_lines(log: str) -> str:
    """Each line a JSON value, as docker keeps them."""
    return "".join(
        json.dumps({"log": line + "\n", "stream": "stderr", "time": "2026-11-30T03:00:00.000000001Z"}) + "\n"
        for line in log.rstrip("\n").split("\n")
    )


def json_records(log: str) -> str:
    """Lines as records of a logger that writes JSON, a traceback whole in its own field."""
    out = []
    for text, is_traceback in _parts(log):
        if is_traceback:
            out.append(json.dumps({"level": "ERROR", "message": "run failed", "exc_info": text}))
        else:
            out += [json.dumps({"level": "INFO", "message": line}) for line in text.split("\n")]
    return "\n".join(out) + "\n"


def in_a_notebook(log: str) -> str:
    """Tracebacks as IPython 8 prints them."""
    return _with_tracebacks(log, _ipython)


def in_an_old_notebook(log: str) -> str:
    """Tracebacks as IPython 7 prints them, on Colab."""
    return _with_tracebacks(log, _old_ipython)


def in_a_box(log: str) -> str:
    """Tracebacks as rich prints them."""
    return _with_tracebacks(log, _rich)


def in_pytest(log: str) -> str:
    """Tracebacks as pytest prints them."""
    return _with_tracebacks(log, _pytest)


def in_loguru(log: str) -> str:
    """Tracebacks as loguru prints them, with values under the lines."""
    return _with_tracebacks(log, _loguru)


def with_a_bar(log: str) -> str:
    """A progress bar that writes over its line, in front of each traceback and error."""
    bar = "".join(
        f"\r {n}%|{'█' * (n // 10):<10}| {n}/100 [00:0{n // 20}<00:0{5 - n // 20}, 19.8it/s]" for n in (0, 20, 40, 60)
    )
    return log.replace(_TRACEBACK, bar + _TRACEBACK)


def of_two_ranks(log: str) -> str:
    """Two processes that stop at the same error, their lines mixed."""
    lines = log.rstrip("\n").split("\n")
    return "".join(
        f"[rank{rank}]: {line}\n" for at in range(0, len(lines), 3) for rank in (0, 1) for line in lines[at : at + 3]
    )


def of_a_launcher(log: str) -> str:
    """With what torchrun and accelerate say after it."""
    return log.rstrip("\n") + _LAUNCHER


def _with_tracebacks(log: str, form: Callable[[list[tuple[str, str, str, str]], str], str]) -> str:
    out = []
    for text, is_traceback in _parts(log):
        out.append(form(*_frames_and_error(text)) if is_traceback else text)
    return "\n".join(out)


def _parts(log: str) -> list[tuple[str, bool]]:
    """The log cut into what is a traceback and what is not."""
    parts: list[tuple[str, bool]] = []
    plain: list[str] = []
    lines, at = log.rstrip("\n").split("\n"), 0
    while at < len(lines):
        if lines[at].endswith(_TRACEBACK):
            end = at + 1
            while end < len(lines) and lines[end].startswith(" "):
                end += 1
            rest = end + 1
            while (
                rest < len(lines)
                and lines[rest]
                and _FRAME.match(lines[at + 1] if at + 1 < len(lines) else "")
                and not lines[rest].startswith(("[", "{", " "))
                and _TRACEBACK not in lines[rest]
                and rest < end + 4
            ):
                rest += 1
            if end < len(lines) and end > at + 1 and _FRAME.match(lines[at + 1]):
                before = lines[at][: -len(_TRACEBACK)]
                plain += [before] if before else []
                parts += [("\n".join(plain), False)] if plain else []
                parts.append(("\n".join([_TRACEBACK, *lines[at + 1 : rest]]), True))
                plain, at = [], rest
                continue
        plain.append(lines[at])
        at += 1
    return [*parts, ("\n".join(plain), False)] if plain else parts


def _frames_and_error(text: str) -> tuple[list[tuple[str, str, str, str]], str]:
    """Path, line, function and code of each frame, and the error's lines."""
    frames: list[tuple[str, str, str, str]] = []
    lines = text.split("\n")[1:]
    for at, line in enumerate(lines):
        if (found := _FRAME.match(line)) is not None:
            code = lines[at + 1].strip() if at + 1 < len(lines) and lines[at + 1].startswith("    ") else ""
            frames.append((found[1], found[2], found[3], code))
        elif not line.startswith(" "):
            return frames, "\n".join(lines[at:])
    return frames, ""


def _ipython(frames: list[tuple[str, str, str, str]], error: str) -> str:
    name = error.partition(":")[0].rpartition(".")[2]
    out = ["-" * 75, f"{name:<42}{_TRACEBACK.rstrip(':')}"]
    for path, line, function, code in frames:
        shown = re.sub("^/home/user", "~", path)
        if "site-packages" in path or path.startswith("/usr"):
            out.append(f"File {shown}:{line}, in {function}(*args, **kwargs)")
        else:
            out.append(
                f"Cell In[7], line {line}" if function == "<module>" else f"File {shown}:{line}, in {function}(args)"
            )
        n = int(line)
        out += [
            f"{n - 1:>7} # before",
            f"----> {n} {code}",
            f"{n + 1:>7} # after",
            "",
        ]
    return "\n".join([*out, error.partition(":")[0].rpartition(".")[2] + error[len(error.partition(":")[0]) :]])


def _old_ipython(frames: list[tuple[str, str, str, str]], error: str) -> str:
    name = error.partition(":")[0].rpartition(".")[2]
    out = ["-" * 75, f"{name:<42}{_TRACEBACK.rstrip(':')}"]
    for path, line, function, code in frames:
        shown = re.sub(
            r"^/home/user/\.venv/lib/python3\.\d+/site-packages", "/usr/local/lib/python3.10/dist-packages", path
        )
        cell = function == "<module>" and "packages" not in shown
        here = (
            "<ipython-input-7-1a2b3c4d5e6f> in <cell line: 0>()" if cell else f"{shown} in {function}(*args, **kwargs)"
        )
        n = int(line)
        out += [here, f"{n - 1:>7}     # before", f"----> {n}     {code}", f"{n + 1:>7}     # after", ""]
    return "\n".join([*out, name + error[len(error.partition(":")[0]) :]])


def _rich(frames: list[tuple[str, str, str, str]], error: str, width: int = 100) -> str:
    """Paths break inside the box, and the error below it at the width of the terminal."""

    def row(text: str) -> list[str]:
        inner = width - 4
        return [f"│ {text[at : at + inner]:<{inner}} │" for at in range(0, max(len(text), 1), inner)]

    out = [f"╭{' Traceback (most recent call last) ':─^{width - 2}}╮"]
    for at, (path, line, function, code) in enumerate(frames):
        out += row("") if at else []
        out += row(f"{path}:{line} in {function}")
        out += row("")
        out += (
            row(f"  {int(line) - 1:>4} │   # before")
            + row(f"❱ {line:>4} │   {code}")
            + row(f"  {int(line) + 1:>4} │   # after")
        )
    out.append(f"╰{'─' * (width - 2)}╯")
    return "\n".join(
        [*out, _wrapped(error.partition(":")[0].rpartition(".")[2] + error[len(error.partition(":")[0]) :], width)]
    )


def _wrapped(text: str, width: int) -> str:
    lines: list[str] = []
    for line in text.split("\n"):
        now = ""
        for word in re.split(r"(?<= )", line):
            if len(now) + len(word.rstrip()) > width and now:
                lines.append(now)
                now = ""
            now += word
        lines.append(now)
    return "\n".join(lines)


def _pytest(frames: list[tuple[str, str, str, str]], error: str) -> str:
    name = error.partition(":")[0].rpartition(".")[2]
    out = ["=" * 35 + " FAILURES " + "=" * 35, "_" * 35 + " test_it " + "_" * 35, ""]
    for at, (path, line, function, code) in enumerate(frames):
        short = re.sub(r"^/home/user/", "", path)
        short = re.sub(r"^\.venv/", "../.venv/", short)
        out += [f"    def {function}(self):", "        # before", f">       {code}", ""]
        if at + 1 < len(frames):
            out += [f"{short}:{line}: ", "_ " * 40, ""]
        else:
            first, *rest = error.split("\n")
            out += [f"E       {first}", *(f"E       {one}" for one in rest), "", f"{short}:{line}: {name}"]
    out += ["=" * 26 + " short test summary info " + "=" * 27]
    return "\n".join([*out, f"FAILED tests/test_it.py::test_it - {error.partition(chr(10))[0]}"])


def _loguru(frames: list[tuple[str, str, str, str]], error: str) -> str:
    out = ["2026-11-30 03:00:00.123 | ERROR    | __main__:main:12 - it failed", _TRACEBACK, ""]
    for path, line, function, code in frames:
        out += [
            f'> File "{path}", line {line}, in {function}'
            if len(out) == 3
            else f'  File "{path}", line {line}, in {function}',
            f"    {code}",
            "    │    └ <class 'object'>",
            "",
        ]
    return "\n".join([*out, error])


_LAUNCHER = """
Traceback (most recent call last):
  File "/home/user/.venv/bin/accelerate", line 8, in <module>
    sys.exit(main())
             ^^^^^^
  File "/home/user/.venv/lib/python3.11/site-packages/accelerate/commands/accelerate_cli.py", line 50, in main
    args.func(args)
  File "/home/user/.venv/lib/python3.11/site-packages/accelerate/commands/launch.py", line 1213, in launch_command
    multi_gpu_launcher(args)
  File "/home/user/.venv/lib/python3.11/site-packages/accelerate/commands/launch.py", line 800, in multi_gpu_launcher
    distrib_run.run(args)
  File "/home/user/.venv/lib/python3.11/site-packages/torch/distributed/run.py", line 892, in run
    elastic_launch(
  File "/home/user/.venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 133, in __call__
    return launch_agent(self._config, self._entrypoint, list(args))
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/home/user/.venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 264, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
  <NO_OTHER_FAILURES>
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-30_03:00:00
  host      : node1
  rank      : 0 (local_rank: 0)
  exitcode  : 1 (pid: 4711)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================
"""

FORMS: dict[str, Callable[[str], str]] = {
    "rank": prefixed("[rank0]: "),
    "torchrun-tee": prefixed("[default0]:"),
    "srun": prefixed("0: "),
    "deepspeed": prefixed("worker-1: "),
    "mpi": prefixed("[1,0]<stderr>:"),
    "ray": prefixed("(TrainTrainable pid=4711, ip=10.0.0.2) "),
    "ray-colour": prefixed("\x1b[36m(RayTrainWorker pid=4711)\x1b[0m "),
    "vllm": prefixed("(EngineCore_DP0 pid=272) "),
    "vllm-old": prefixed("ERROR 11-30 03:00:00 [core.py:396] "),
    "compose": prefixed("trainer-1  | "),
    "kubernetes": prefixed("2026-11-30T03:00:00.123456789Z stderr F "),
    "actions": prefixed("2026-11-30T03:00:00.1234567Z "),
    "journald": prefixed("Nov 30 03:00:00 host python[4711]: "),
    "logging": prefixed("2026-11-30 03:00:00,123 - ERROR - "),
    "quoted": prefixed("> "),
    "indented": prefixed("    "),
    "tabbed": prefixed("\t"),
    "colours": coloured,
    "windows": windows,
    "docker-json": json_lines,
    "json-records": json_records,
    "notebook": in_a_notebook,
    "colab": in_an_old_notebook,
    "rich": in_a_box,
    "pytest": in_pytest,
    "loguru": in_loguru,
    "bar": with_a_bar,
    "two-ranks": of_two_ranks,
    "launcher": of_a_launcher,
    "page": of_a_page,
}
