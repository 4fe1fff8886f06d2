"""Settings or rows that a script's own pydantic model refuses: the fields stand below the error. Pure."""

from __future__ import annotations

import re

from envpin.core.sizes import counted
from envpin.diagnose.logs.text.explained import Explained

_ERRORS = re.compile(r"^(?P<n>\d+) validation errors? for (?P<owner>[\w.\[\], ]{1,80})$")
# One field, and why it is refused: `a.b` and, indented, `Field required [type=missing, input_value=…, …]`.
_FIELD = re.compile(
    r"^(?P<field>\w[\w.\[\]-]{0,120})\n {2}(?P<why>[^\n]{1,200}?) \[type=(?P<type>\w+)"
    r"(?:, input_value=(?P<value>.{1,60}?))?(?:, input_type=\w+)?\]$", re.MULTILINE,
)  # fmt: skip
_OF_ROWS = re.compile(
    r"(?i)row|example|sample|record|message|conversation|item|instance|turn|annotation|document|chat(?!config)"
)
_SHOWN = 3
_WHY = {"missing": "is left out", "extra_forbidden": "is not known: misspelt, or in another place"}


def of_validation(exception: str, message: str, after: str) -> Explained | None:
    """What a model of pydantic refuses of the settings or rows that a script reads; None of another error."""
    errors = _ERRORS.match(message.strip()) if exception == "ValidationError" else None
    fields = [] if errors is None else list(_FIELD.finditer(after))
    if errors is None or not fields:
        return None
    of_rows = _OF_ROWS.search(errors["owner"]) is not None
    told = "; ".join(f"`{one['field']}` {_why(one)}" for one in fields[:_SHOWN])
    what = "a row of the data" if of_rows else "the settings"
    says = f"the program's own `{errors['owner']}` refuses {what} ({counted(int(errors['n']), 'field')}): {told}"
    where = (
        "bring such rows to this form" if of_rows else "correct these in the file of settings, or on the command line"
    )
    return Explained("data-not-as-expected" if of_rows else "settings-refused", says, (
        where, "see what each field takes, and how it is spelt, in the class of that name",
    ))  # fmt: skip


def _why(found: re.Match[str]) -> str:
    if (why := _WHY.get(found["type"])) is not None:
        return why
    given = f" (given {found['value']})" if found["value"] else ""
    return f"{found['why'][:1].lower()}{found['why'][1:]}{given}"
