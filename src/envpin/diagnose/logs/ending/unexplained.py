"""Errors of a log in which nothing is known: kept while it is read, asked about at its end. Pure."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from envpin.diagnose.logs.text.anchors import LOST_ANCHORS
from envpin.diagnose.logs.text.blocks import lines_with

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from envpin.diagnose.logs.text.blocks import LineNumbers
    from envpin.diagnose.logs.text.explained import Explained

_KEPT = 60
# Of the lines in which a program says by itself that something is not there, the last ones of a log tell why it ended.
_SAID_LAST, _AT_THE_END = 8, 12
_RERAISED = re.compile(r"(?:During handling of the above exception|The above exception was the direct cause)[^\0]*\Z")
_LINE_OF_A_FILE = re.compile(
    r"(?i)\b(?:lines?|rows?|linha|línea|linea|ligne|zeile|fila|строк\w{1,3}|dòng|satır)\b[ #:№=]{1,3}"
    r"(?P<n>\d{1,9})\b(?! column)|第 ?(?P<m>\d{1,9}) ?行"
)
# What accelerate and torchrun say when the script that they started has ended: its own error is the one to read.
_OF_A_LAUNCHER = re.compile(
    r"CalledProcessError: Command '\[[^\n]*python[\d.]*'(?:, '-[\w-]+')*, '[^'\n]+\.py'|ChildFailedError|"
    # and torch of a worker, below which its own error stands
    r"Caught \w+ in (?:DataLoader worker process|replica|pin memory thread)"
)
# Where a repository is made to upload to: what a run that could not reach the Hub says at its end.
_OF_AN_UPLOAD = "/api/repos/create"
# What a script stops at that caught the failure of a load, and goes on without what it was to give.
_FOLLOWS = re.compile(r"^(?:NameError|UnboundLocalError)\b|'NoneType'|is not (?:defined|callable)|None\b")
# What a library says that it goes on without.
_WITHOUT = re.compile(r"won't be available")
_TRACEBACK = "Traceback (most recent call last)"


class UnexplainedError(NamedTuple):
    """A line of which nothing speaks; `before` are the lines before it, up to the words by which it was found."""

    line: int
    text: str
    before: str
    after: str

    @property
    def whole(self) -> str:
        """The line and those of its traceback before it, or after it where someone turned it round."""
        before = self.before.rpartition("\n")[0]
        before = before[max(before.rfind(_TRACEBACK), 0) :]
        after = self.after.partition("\n\n")[0] if "File " in self.after and "File " not in before else ""
        return f"{before}\n{self.text}\n{after}".rstrip()

    @property
    def around(self) -> str:
        return f"{self.before}\n{self.after}"


class Answer(NamedTuple):
    """What one of the errors says; `guess` where only its likeness to known ones speaks for it."""

    error: UnexplainedError
    told: Explained
    guess: bool


class Tail(NamedTuple):
    """The end of a log: the number of its last line, its text, and the lines of it that something explains."""

    line: int
    text: str
    known: Collection[str]


_NO_TAIL = Tail(0, "", ())


@dataclass
class Unexplained:
    """Errors, and lines that complain without the name of an exception."""

    errors: list[UnexplainedError] = field(default_factory=list)
    complaints: list[UnexplainedError] = field(default_factory=list)
    lost: deque[UnexplainedError] = field(default_factory=lambda: deque(maxlen=_SAID_LAST))

    def keep(self, error: UnexplainedError, *, named: bool) -> bool:
        """Keep an error; False where no more are kept of its kind."""
        if _OF_A_LAUNCHER.search(error.text) is not None or _OF_AN_UPLOAD in error.text:
            return True
        some = self.errors if named else self.complaints
        if len(some) < _KEPT:
            some.append(error)
        return len(some) < _KEPT

    def leave_after(self, line: int) -> None:
        """Keep only errors after a line, which are of no name that the script lacks as it caught what came before."""
        self.errors = [one for one in self.errors if one.line > line and _FOLLOWS.search(one.text) is None]
        self.complaints = [one for one in self.complaints if one.line > line and not self.errors]
        self.lost.clear()

    def note_lost(self, block: bytes, numbers: LineNumbers, explained: Collection[str]) -> None:
        """Keep the last lines of a block in which a program says that something is not there."""
        said = {at: text for anchor in LOST_ANCHORS for at, text in lines_with(block, anchor.encode())}
        for at, text in sorted((at, text) for at, text in said.items() if text not in explained)[-_SAID_LAST:]:
            if _WITHOUT.search(text) is None:
                self.lost.append(UnexplainedError(numbers.of(at), text, "", ""))

    def answer(self, tail: Tail = _NO_TAIL, *, in_field: bool = False) -> Answer | None:
        """The first error that is very like known ones, else the first that a library raised itself or stopped at, else
        what the program says at its end, in the `tail` of the log, else the first that is like known ones: the
        later ones of a log follow from it. `in_field` where the log shows that it is of this field."""
        errors = sorted(self.errors) or sorted(self.complaints)
        if not errors:
            return self._said_last(tail, in_field=in_field)
        from envpin.diagnose.logs.ending.native import explain_native
        from envpin.diagnose.logs.ending.nearest import explain_nearest
        from envpin.diagnose.logs.ending.raised import explain_raised

        for one in errors:
            if (told := explain_native(one.text, one.before, one.after)) is not None:
                return Answer(one, told, False)
        asked: tuple[tuple[Callable[[UnexplainedError], Explained | None], bool], ...] = (
            (lambda one: explain_nearest(one.whole, one.around, strong=True), True),
            (lambda one: explain_raised(one.text, one.before, one.after, in_field=in_field), False),
            (lambda one: explain_nearest(one.whole, one.around), True),
        )
        for explain, guess in asked:
            for at, one in enumerate(errors):
                if (told := explain(one)) is None:
                    continue
                if told.code == "library-fault" and (later := _raised_of(errors[at + 1 :], explain)) is not None:
                    return Answer(*later, guess)
                return Answer(one, _with_its_line(told, errors[at + 1 :]), guess)
            if not guess and (said := self._said_last(tail, in_field=in_field)) is not None:
                return said
        return None

    def _said_last(self, tail: Tail, *, in_field: bool) -> Answer | None:
        """What the program says in its last lines, without an exception, or of what it went on without."""
        if (lost := self._lost_at(tail.line)) is not None:
            return lost
        from envpin.diagnose.logs.ending.last_words import LAST, of_last_words

        lines = _after_a_traceback(tail.text.split("\n"))[-LAST - 1 :]
        said = (
            None
            if any(text in one for text in tail.known for one in lines)
            else of_last_words(lines, in_field=in_field)
        )
        if said is None:
            return self._went_on_without()
        at, text, told = said
        return Answer(UnexplainedError(tail.line - (len(lines) - 1 - at), text, "", ""), told, False)

    def _lost_at(self, last: int) -> Answer | None:
        from envpin.diagnose.logs.context.lost_files import said_to_be_lost

        after = max((last - _AT_THE_END, *(error.line for error in self.errors)))
        for one in sorted(self.lost):
            if one.line >= after and (lost := said_to_be_lost(one.text)) is not None:
                return Answer(one, lost.explained(), False)
        return None

    def _went_on_without(self) -> Answer | None:
        """A model or adapter of which the program says that it is not there, and that it takes another."""
        from envpin.diagnose.logs.context.lost_files import went_on_without

        for one in sorted(self.lost):
            if (lost := went_on_without(one.text)) is not None:
                return Answer(one, lost.explained(), True)
        return None


def _after_a_traceback(lines: list[str]) -> list[str]:
    """The lines below the last traceback, if there is one, and below the error that ends it."""
    frame = max((at for at, one in enumerate(lines) if 'File "' in one), default=None)
    if frame is None:
        return lines
    below = lines[frame + 1 :]
    error = next((at for at, one in enumerate(below) if one[:1].strip()), len(below))
    return below[error + 1 :]


def _with_its_line(told: Explained, later: list[UnexplainedError]) -> Explained:
    """The same with the line of a file of data that a script names as it passes the error on."""
    for one in later if told.code == "data-not-as-expected" else ():
        if _RERAISED.search(one.before) is None:
            break
        if (found := _LINE_OF_A_FILE.search(one.text)) is not None:
            says = f"{told.says}; the program names the place: {found[0].strip()}"
            return told._replace(says=says, fix=(f"look at it: sed -n {found['n'] or found['m']}p FILE", *told.fix))
    return told


def _raised_of(
    errors: list[UnexplainedError], explain: Callable[[UnexplainedError], Explained | None]
) -> tuple[UnexplainedError, Explained] | None:
    """What a library raised on meeting an error that it stopped at: it knows more of it than where it stopped."""
    for one in errors:
        if _RERAISED.search(one.before) is None:
            return None
        if (told := explain(one)) is not None and told.code != "library-fault":
            return one, told
    return None
