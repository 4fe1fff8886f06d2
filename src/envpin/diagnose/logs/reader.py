"""Reads a log as a stream and names the causes that it shows.

The log is searched block by block for the signatures' anchors, at the speed of a memory search; only lines that hold
one are decoded and matched. So a log of 100 MB takes seconds, and memory stays that of a block, whatever the log says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO, TYPE_CHECKING

from envpin.core.findings import Evidence
from envpin.core.sizes import counted, verb
from envpin.diagnose.axes import shape_text
from envpin.diagnose.catalogue.catalogue import finding, load_catalogue
from envpin.diagnose.comparison import Mismatch
from envpin.diagnose.logs.context.askers import by_caller, by_who_asked, of_remote_code, of_whom, with_asker
from envpin.diagnose.logs.context.following import WHICH_ROW, said_after
from envpin.diagnose.logs.context.whose_folder import by_whose_folder
from envpin.diagnose.logs.ending.unexplained import Tail, Unexplained, UnexplainedError
from envpin.diagnose.logs.facts.arguments import ANCHOR, explain
from envpin.diagnose.logs.facts.listed import LISTED_ANCHORS, explain_listed
from envpin.diagnose.logs.facts.names import MEMBER_ANCHORS, explain_name
from envpin.diagnose.logs.facts.overrides import OVERRIDE_ANCHORS, explain_override
from envpin.diagnose.logs.facts.peft_methods import METHOD_ANCHORS, explain_method
from envpin.diagnose.logs.said_better import (
    LESS_EXACT,
    NO_END,
    OF_ANOTHER_TYPE,
    PASSED_ON,
    SAID_BETTER,
    SAID_BETTER_OF_A_LINE,
    is_no_pickle,
    is_of_another_class,
)  # fmt: skip
from envpin.diagnose.logs.seen import (
    Seen,
    finding_of,
    leaves,
    order_in_log,
    raise_what_ended_it,
    same_line,
    without_the_hub,
    without_wraps,
)  # fmt: skip
from envpin.diagnose.logs.shapes.mismatch import ANCHORS, BARE, Line, common_cause, in_module, read_line
from envpin.diagnose.logs.shapes.mismatch_words import numbers_for, steps_for, words_for
from envpin.diagnose.logs.signatures.signature import Signature, matchers
from envpin.diagnose.logs.text.anchors import (
    COMPLAINT_ANCHORS,
    CONTEXT_ANCHORS,
    FRAMES_NEAR,
    GOES_ON,
    HUB_NEAR,
    KIND_ANCHORS,
    RAISED_ANCHORS,
    RAISED_NEAR,
)  # fmt: skip
from envpin.diagnose.logs.text.blocks import (
    LineNumbers,
    around,
    blocks_of,
    in_short,
    line_ends,
    lines_with,
    says_nothing,
    with_next,
)
from envpin.diagnose.logs.text.field import shows_the_field
from envpin.diagnose.logs.text.stated import is_new_enough, stated_in
from envpin.diagnose.logs.text.training_signs import TrainingSigns
from envpin.diagnose.logs.worded import NEWER, by_changes, signature_of, worded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.core.findings import Finding
    from envpin.diagnose.logs.signatures.signature import Matcher

# Lines before an error that can name the file it came from: a traceback has two lines for each of its last frames.
_NEAR = 10
# Of different parameters that do not fit: the largest models have some thousand, and a few already show the cause.
_LINES_KEPT = 5_000
# Of one code, so many different things are said; the rest in the catalogue's words.
_WORDINGS = 3
# Of one block, so many lines are asked for the frames before them.
_ASKED = 300
# Around a line, what may state the releases.
_AROUND = 8_000

_FILLED_IN = re.compile(r"\{[a-zA-Z_][\w.]*\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """`findings` come blockers first, then by line; `lines` is how many lines the log has, 0 where it is empty;
    `mismatches` what it says about shapes."""

    findings: tuple[Finding, ...]
    mismatches: tuple[Mismatch, ...]
    lines: int


def diagnose_log(stream: IO[bytes], signatures: tuple[Signature, ...] | None = None) -> Diagnosis:
    """The causes that a log shows, by all signatures or those given. `stream` is read once, to its end."""
    reader = _Reader(matchers(signatures))
    for block in blocks_of(stream):
        reader.read(block)
    return reader.result()


class _Reader:
    """Takes blocks of whole lines, and keeps what the signatures find."""

    def __init__(self, matchers: Mapping[bytes, tuple[Matcher, ...]]) -> None:
        self.matchers = matchers
        self.line, self.blank = 1, True
        # by code and by what its lines say beyond the catalogue
        self.seen: dict[str, dict[str, Seen]] = {}
        # lines of one block by code and where they begin: two signatures may know one line
        self.kept: dict[tuple[str, int], str] = {}
        self.shapes: dict[Line, int] = {}
        self.shape_count = 0
        # whether `from_pretrained` offered to leave out what does not fit
        self.of_a_folder = False
        # lines of one block that the arguments of constructors explained, and those that anything did
        self.told: set[str] = set()
        self.explained: set[str] = set()
        # and those of a model of another kind, which no other rule is asked about
        self.of_a_kind: set[str] = set()
        self.tail = b""
        # errors of which nothing spoke, with the lines before them: asked of the library's own messages at the end
        self.unexplained = Unexplained()
        self.stated: set[tuple[int, ...]] = set()
        self.signs = TrainingSigns()
        self.in_field = False

    def read(self, block: bytes) -> None:
        self.in_field = self.in_field or shows_the_field(block)
        numbers = LineNumbers(block, self.line)
        self.told.clear()
        self.explained.clear()
        self.of_a_kind.clear()
        self.kept.clear()
        self._read_kinds(block, numbers)
        for at, text in lines_with(block, ANCHOR.encode()):
            before = self._lines_before(block, at)
            if text not in self.of_a_kind and (explained := explain(text, before)) is not None:
                self.told.add(text)
                self.explained.add(text)
                self._keep(signature_of(by_caller(explained, text, before), text), numbers, at, text)
        self._read_signatures(block, numbers)
        self._read_facts(block, numbers)
        self._read_frames(block, numbers)
        if not self._stopped:
            self._note_errors(block, numbers)
        self.signs.read(block, numbers)
        self.of_a_folder = self.of_a_folder or b"ignore_mismatched_sizes" in block
        self.stated |= stated_in(block)
        for literal in ANCHORS:
            for at, text in lines_with(block, literal.encode()):
                line = read_line(text) or read_line(with_next(block, at, text))
                if line is not None and line.name in BARE:
                    line = in_module(line, self._before(block, at, 3).decode("utf-8", "replace"))
                if line is not None:
                    self.shape_count += 1
                    if len(self.shapes) < _LINES_KEPT and line not in self.shapes:
                        self.shapes[line] = numbers.of(at)
        self.line += line_ends(block)
        self.blank = self.blank and not block.strip(b"\0 \t\n\xef\xbb\xbf")
        self.tail = block[-20_000:]

    def _read_kinds(self, block: bytes, numbers: LineNumbers) -> None:
        """Lines that show a model of another kind: what they ask for is a matter of no release, whatever it is like."""
        for anchor in KIND_ANCHORS:
            for at, text in islice(lines_with(block, anchor.encode()), _ASKED):
                if text in self.of_a_kind or says_nothing(block, at, text):
                    continue
                from envpin.diagnose.logs.context.kinds import explain_kind

                if (told := explain_kind(text, self._lines_before(block, at, RAISED_NEAR))) is not None:
                    self.of_a_kind.add(text)
                    self.explained.add(text)
                    self._keep(signature_of(told, text), numbers, at, text)

    def _read_signatures(self, block: bytes, numbers: LineNumbers) -> None:
        for anchor, signatures in self.matchers.items():
            for at, text in lines_with(block, anchor):
                if says_nothing(block, at, text):
                    self.explained.add(text)
                    continue
                for one in signatures:
                    if text in self.of_a_kind or (text in self.told and one.signature.code in LESS_EXACT):
                        continue
                    found = self._matches(one, text, block, at)
                    if found is None:
                        continue
                    self.explained.add(text)
                    if (own := worded(one.signature, found, text)) is not None:
                        before = self._lines_before(block, at)
                        own = by_changes(own, text, before)
                        if own.says is None and (remote := of_remote_code(own.code, text, before)) is not None:
                            own = signature_of(remote, text)
                        own = of_whom(own, text, before)
                        near = self._lines_before(block, at, HUB_NEAR) if own.code == "base-not-found" else ""
                        for each in by_whose_folder(own, found, near):
                            self._keep(each, numbers, at, text)

    def _read_facts(self, block: bytes, numbers: LineNumbers) -> None:
        """Lines of which no signature spoke, and of which the facts about releases do: a name, a model that a server
        refuses, a method that peft does not know, or one of the Trainer's that a class overrides."""
        for anchors, tell in (
            (MEMBER_ANCHORS, explain_name), (LISTED_ANCHORS, explain_listed), (METHOD_ANCHORS, explain_method),
            (OVERRIDE_ANCHORS, explain_override),
        ):  # fmt: skip
            for anchor in anchors:
                for at, text in lines_with(block, anchor.encode()):
                    if text in self.explained:
                        continue
                    listed = tell is explain_listed
                    told = explain_listed(text, around(block, at)) if listed else tell(text)
                    if told is not None:
                        self.explained.add(text)
                        before = self._lines_before(block, at)
                        told = by_who_asked(told, text, before)
                        told = told._replace(fix=with_asker(told.fix, text, before))
                        self._keep(signature_of(told, text), numbers, at, text)

    def _read_frames(self, block: bytes, numbers: LineNumbers) -> None:
        """Lines of which nothing else spoke: the frames before them tell whose call it was, and of what."""
        for anchor in CONTEXT_ANCHORS:
            for at, text in islice(lines_with(block, anchor.encode()), _ASKED):
                if text in self.explained:
                    continue
                from envpin.diagnose.logs.context.contexts import explain_in_context

                before = self._lines_before(block, at, RAISED_NEAR)
                if (told := explain_in_context(text, before)) is not None:
                    self.explained.add(text)
                    self._keep(signature_of(told, text), numbers, at, text)

    def _note_errors(self, block: bytes, numbers: LineNumbers) -> None:
        """Errors that may be the last word of the log."""
        for anchor in (*RAISED_ANCHORS, *COMPLAINT_ANCHORS):
            for at, text in lines_with(block, anchor.encode()):
                if text in self.explained or (anchor in COMPLAINT_ANCHORS and GOES_ON.search(text) is not None):
                    continue
                before = self._lines_before(block, at, RAISED_NEAR)
                after = block[at : at + 2_000].partition(b"\n")[2].decode("utf-8", "replace")
                error = UnexplainedError(numbers.of(at), text, before, after)
                if not self.unexplained.keep(error, named=anchor in RAISED_ANCHORS):
                    break
        self.unexplained.note_lost(block, numbers, self.explained)

    def _explain_errors(self) -> None:
        if any(one.of_the_hub and one.severity == "blocker" for one in self._all_seen()):
            self.unexplained.leave_after(max(one.last for one in self._all_seen() if one.of_the_hub))
        known = {text for one in self._all_seen() for _, text in one.lines}
        tail = Tail(self.line, self.tail.decode("utf-8", "replace"), known)
        answer = self.unexplained.answer(tail, in_field=self.in_field)
        if answer is not None:
            error, told, guess = answer
            if told.code in OF_ANOTHER_TYPE and (drift := self._of_another_type()) is not None:
                drift.severity = "blocker"
                return
            if guess and told.code in self.seen:
                return  # a rule has said it
            severity = "warning" if guess else load_catalogue()[told.code].severity
            some = self.seen.setdefault(told.code, {})
            new = Seen(severity, [(error.line, error.text)], 1, told.says, told.fix, last=error.line, guess=guess)
            some.setdefault(told.says, new)

    def _all_seen(self) -> list[Seen]:
        return [one for some in self.seen.values() for one in some.values()]

    def _of_another_type(self) -> Seen | None:
        """The line that tells of a model made from the config of another type, which is what stops it later."""
        drifts = self.seen.get("architecture-drift", {}).values()
        return next((one for one in drifts if (one.says or "").startswith("config.json is of `")), None)

    def _before(self, block: bytes, at: int, count: int) -> bytes:
        """The line of a position, up to there, and so many lines before it, some of them of the block before."""
        before = block[max(0, at - 20_000) : at]
        if at < 20_000:
            before = self.tail + before
        return b"\n".join(before.rsplit(b"\n", count + 1)[-count - 1 :])

    def _lines_before(self, block: bytes, at: int, count: int = FRAMES_NEAR) -> str:
        return in_short(self._before(block, at, count).decode("utf-8", "replace"))

    def _matches(self, one: Matcher, text: str, block: bytes, at: int) -> re.Match[str] | None:
        found = one.pattern.search(text)
        if found is None or (one.unless is not None and one.unless.search(text)):
            return None
        if any(_FILLED_IN.search(word or "") for word in found.groupdict().values()):
            return None  # the line of code that prints the message, not the message
        if one.near is not None:
            around = self._lines_before(block, at, RAISED_NEAR) + block[at : at + 1_000].decode("utf-8", "replace")
            if one.near.search(around) is None:
                return None
        after, against = one.signature.after, one.signature.unless_after
        if after is None and against is None:
            return found
        near = self._before(block, at, _NEAR)
        fits = (after is None or after.encode() in near) and (against is None or against.encode() not in near)
        return found if fits else None

    def _keep(self, signature: Signature, numbers: LineNumbers, at: int, text: str) -> None:
        severity = signature.severity or load_catalogue()[signature.code].severity
        some, says = self.seen.setdefault(signature.code, {}), signature.says or ""
        line = (signature.code, numbers.block.rfind(b"\n", 0, at))
        if line in self.kept and not leaves(some, self.kept[line], signature, numbers.of(at)):
            same_line(some[self.kept[line]], signature, severity)
            return
        if says not in some and len(some) >= _WORDINGS:
            says = ""
        self.kept[line] = says
        new = Seen(severity, says=says or None, fix=signature.fix if says else (), wraps=signature.wraps)
        new.in_field = signature.in_field
        if says:
            new.around, new.of_the_hub = signature.around, signature.of_the_hub
        seen = some.setdefault(says, new)
        seen.in_field = seen.in_field and signature.in_field
        seen.count += 1
        seen.last = numbers.of(at)
        seen.near = seen.near or numbers.block[max(0, at - _AROUND) : at + _AROUND]
        seen.raise_to(severity)
        if len(seen.lines) < 3 and all(text != other for _, other in seen.lines):
            seen.lines.append((numbers.of(at), text))

    def _is_said_better(self, code: str, seen: Seen) -> bool:
        if any(one in self.seen for one in SAID_BETTER.get(code, ())):
            return True
        if code in NO_END and seen.severity == "info" and self._stopped:
            return True
        if code == "architecture-drift" and seen.says is None and self._of_another_type() is not None:
            return True
        every = (line for some in self.seen.values() for other in some.values() for line in other.lines)
        if is_no_pickle(seen.lines, every):
            return True
        if seen.wraps and code in PASSED_ON and self._stopped:
            return True
        better = [one for name in SAID_BETTER_OF_A_LINE.get(code, ()) for one in self.seen.get(name, {}).values()]
        return bool(better) and {text for _, text in seen.lines} <= {text for one in better for _, text in one.lines}

    @property
    def _stopped(self) -> bool:
        """Whether something that ends a run is known: what only warns explains no error after it."""
        every = ([seen for seen in some.values() if self._counts(seen)] for some in self.seen.values())
        # what passes an error on ends the run for what another line of its code says
        said = (one for some in every if not all(seen.wraps for seen in some) for one in some)
        return bool(self.shapes) or any(one.severity == "blocker" and not one.of_the_hub for one in said)

    def _counts(self, seen: Seen) -> bool:
        """Whether a line speaks of this field: some wordings do so only where another line shows it."""
        return self.in_field or not seen.in_field

    def result(self) -> Diagnosis:
        if not self._stopped:
            self._explain_errors()
        for code, says, fix, line in self.signs.quiet(self.seen):
            self.seen[code] = {says: Seen("warning", [line], 1, says, fix)}
        ended = (one for one in self._all_seen() if one.severity == "blocker")
        stops = [one.last for one in ended if not one.of_the_hub and not one.wraps]
        without_the_hub(self._all_seen(), max(stops, default=0))
        raise_what_ended_it(self._all_seen(), self.line)
        causes = common_cause(self.shapes, of_a_folder=self.of_a_folder)
        kinds = self.seen.get("model-of-another-kind", {}).values()
        said = {"architecture-drift"} if is_of_another_class(text for one in kinds for _, text in one.lines) else set()
        found = [self._shape_finding(code, lines) for code, lines in causes.items() if code not in said]
        for code, some in self.seen.items():
            if code in causes or (code == "architecture-drift" and causes):
                continue
            found += [
                self._finding_of(code, seen) for seen in without_wraps(some)
                if self._counts(seen) and not self.signs.are_idle(code, seen.severity)
                and not self.signs.went_past(code, seen.lines)
                and not self._is_said_better(code, seen)
                and not (code in NEWER and is_new_enough(seen.says or "", self.stated))
            ]  # fmt: skip
        mismatches = tuple(
            Mismatch(parameter=line.name, found=line.found, expected=line.expected, why=code)
            for code, lines in causes.items()
            for line in lines
        )
        findings = tuple(sorted(found, key=order_in_log))
        return Diagnosis(findings=findings, mismatches=mismatches, lines=0 if self.blank else self.line)

    def _finding_of(self, code: str, seen: Seen) -> Finding:
        of_a_row = self.signs.which_row(seen.near) if seen.around == WHICH_ROW else None
        told = of_a_row or said_after(seen.around, seen.says, seen.fix, seen.near)
        return finding_of(code, seen if told is None else replace(seen, says=told[0], fix=told[1]))

    def _shape_finding(self, code: str, lines: list[Line]) -> Finding:
        total = self.shape_count if len(self.shapes) >= _LINES_KEPT else len(lines)
        evidence = [
            Evidence(line=self.shapes[line], tensor=line.name, found=shape_text(line.found),
                     expected=shape_text(line.expected))
            for line in lines[:3]
        ]  # fmt: skip
        text = words_for(code, lines) or load_catalogue()[code].meaning.partition(". ")[0].rstrip(".")
        count = f"{counted(total, 'parameter')} {verb(total, 'does', 'do')} not fit"
        return finding(
            code, f"{text} ({count})", evidence, severity="blocker", fix=steps_for(code, lines) or None,
            names=numbers_for(lines),
        )  # fmt: skip
