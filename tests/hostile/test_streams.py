"""Closed, full, broken and narrow streams: no command loses its exit status, and a recorded run notices nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hostile.situation import Situation, endure, table

if TYPE_CHECKING:
    from pathlib import Path

# How the shell calls it, and what a command that answers and succeeds ends with.
_STREAMS = {
    "stdout closed": (">&-", 0),
    "stderr closed": ("2>&-", 0),
    "stdin closed": ("<&-", 0),
    "all closed": ("<&- >&- 2>&-", 0),
    "stdout full": (">/dev/full", 4),
    "stderr full": ("2>/dev/full", 0),
    "both full": (">/dev/full 2>&1", 4),
    "reader of stdout left": ("| true; exit ${PIPESTATUS[0]}", 0),
    "reader of both left": ("2>&1 | true; exit ${PIPESTATUS[0]}", 0),
    "one line is read": ("2>&1 | head -1; exit ${PIPESTATUS[0]}", 0),
}
_ANSWERING = {"list": "matrix list", "json": "matrix list --json", "envs": "env list", "lint": "matrix lint"}
_FAILING = {"check": "check nowhere", "unknown": "bogus", "usage": "check", "json": "check nowhere --json"}
_CHILDREN = {"exit 7": "exit 7", "writes": "echo a; echo b >&2; exit 7", "killed": "kill -9 $$", "good": "true"}
_ENCODINGS = ("ascii", "cp1252", "latin-1", "ascii:strict", "utf-16-le", "koi8-r")
_STATUS = {"exit 7": 7, "writes": 7, "killed": 137, "good": 0}
# What the run may put into the folder where its parts meet.
_PLANTS = {
    "a pipe for each list": "mkfifo $ENVPIN_RECORD/{faults,saves,wrapped}-1.txt",
    "a pipe for the sign": "mkfifo $ENVPIN_RECORD/seen",
    "a link to an endless device": "ln -s /dev/zero $ENVPIN_RECORD/saves-1.txt",
    "a folder for a list": "mkdir $ENVPIN_RECORD/saves-1.txt",
    "a loop of links": "ln -s saves-1.txt $ENVPIN_RECORD/saves-1.txt",
    "a save that is no JSON": "echo '{' >$ENVPIN_RECORD/saves-1.txt",
    "a save of another form": "echo '[1]' >$ENVPIN_RECORD/saves-1.txt",
    "a save in a place of pipes": 'mkfifo envpin.json; echo \'{"folder": "\'$PWD\'", "kind": "adapter", "seconds": 1, '
    '"device": 1, "inode": 1}\' >$ENVPIN_RECORD/saves-1.txt',
    "no folder any more": "rm -r $ENVPIN_RECORD",
    "a file in its place": "rm -r $ENVPIN_RECORD; touch $ENVPIN_RECORD; trap 'rm $ENVPIN_RECORD' EXIT",
    "no permission": "chmod 0 $ENVPIN_RECORD; trap 'chmod 700 $ENVPIN_RECORD' EXIT",
    "bytes that are no text": "printf '\\xff\\xfe\\x00' >$ENVPIN_RECORD/faults-1.txt",
    "a fault that is an escape sequence": "printf '\\033]0;title\\007' >$ENVPIN_RECORD/faults-1.txt",
}
_LIMITS = {
    "no file may grow": "ulimit -f 0",
    "few descriptors": "ulimit -n 16",
    "no core": "ulimit -c 0",
    "hang-up ignored": "trap '' HUP",
    "interrupt ignored": "trap '' INT",
    "pipe signal ignored": "trap '' PIPE",
    "child signal ignored": "trap '' CHLD",
    "no HOME": "unset HOME",
    "HOME is a file": "export HOME=/dev/null",
    "no PATH": "unset PATH; PATH=/usr/bin:/bin",
    "TMPDIR is gone": "export TMPDIR=$PWD/absent",
    "TMPDIR is a file": "export TMPDIR=/dev/null",
    "TMPDIR is read-only": "export TMPDIR=/proc",
    "no variables": "exec env -i PATH=$PATH",
    "umask 777": "umask 777",
    "a folder that is gone": "mkdir gone; cd gone; rmdir ../gone",
}

ROWS = [
    *(
        Situation(name=f"{what}, {where}", command=f"$E {command} {stream}", status=status)
        for where, (stream, status) in _STREAMS.items()
        for what, command in _ANSWERING.items()
    ),
    *(
        Situation(name=f"fails {what}, {where}", command=f"$E {command} {stream}", status=2)
        for where, (stream, _) in _STREAMS.items()
        for what, command in _FAILING.items()
    ),
    *(
        Situation(name=f"record{json}, {what}, {where}", command=f"$E record{json} -- sh -c '{script}' {stream}",
                  # The shell of the child may be ended by the pipe that it writes to, as it would be without envpin.
                  status=(7, 141) if what == "writes" else _STATUS[what])
        for json in ("", " --json")
        for where, (stream, _) in _STREAMS.items()
        for what, script in _CHILDREN.items()
    ),
    *(
        Situation(name=f"{what} in {encoding}", command=f"PYTHONIOENCODING={encoding} $E {command}", status=status,
                  never="(?!)" if encoding.startswith("utf-16") else r"Traceback|Exception ignored|\x1b")
        for encoding in _ENCODINGS
        for what, command, status in (
            ("matrix list", "matrix list", 0), ("scan", "scan .", 0), ("a name with signs", "check '→✓é漢'", 2),
            ("record", "record -- sh -c 'echo é; exit 7'", 7),
        )
    ),
    *(
        Situation(name=f"the run leaves {what}", command=f"$E record -- bash -c '{quoted}; exit 7'", status=7)
        for what, quoted in ((what, plant.replace("'", "'\\''")) for what, plant in _PLANTS.items())
    ),
    *(
        Situation(name=f"record under: {what}", status=7, command=(
            f"{limit} $E record -- sh -c 'exit 7'" if limit.startswith("exec") else
            f"{limit}; $E record -- sh -c 'exit 7'"))
        for what, limit in _LIMITS.items()
    ),
]  # fmt: skip


@table(ROWS)
def test_stream_situation(situation: Situation, tmp_path: Path) -> None:
    endure(situation, tmp_path)


def test_record_passes_every_byte(tmp_path: Path) -> None:
    """The bare command's output and status, byte for byte, whatever the child does."""
    scripts = ("head -c 100000 /dev/zero; exit 3", "printf '\\377\\000'; exit 0", "cat; exit 9", "echo x >&2; exit 1")
    for script in scripts:
        bare = Situation(name="bare", command=f'echo in | bash -c "{script}" >bare 2>bare.err; echo $?', status=0)
        under = Situation(
            name="recorded", command=f'echo in | $E record -- bash -c "{script}" >bare 2>bare.err; echo $?', status=0
        )
        found = []
        for number, one in enumerate((bare, under)):
            folder = tmp_path / f"{scripts.index(script)}-{number}"
            folder.mkdir()
            status = endure(one, folder)
            errors = (folder / "work" / "bare.err").read_bytes().split(b"warning: nothing is recorded")[0]
            found.append((status, (folder / "work" / "bare").read_bytes(), errors))
        assert found[0] == found[1]
