"""Secrets out of argument lists, URLs and environment values: by name, by the shape of a value, by URL userinfo."""

import re
from typing import List, Sequence

REDACTED = "[redacted]"

# A word of an option's or variable's name that means a secret. `tokenizer`, `max_tokens`, `num_key_value_heads` do not.
_SECRET_WORD = re.compile(
    r"(?:^|[-_.])(?:token|password|passwd|passphrase|pwd|secret|secrets|credential|credentials|auth|authorization|cookie|"
    r"apikey|accesskey|privatekey|access_key_id|bearer)$"
    r"|(?:^|[-_.])(?:api|access|secret|private|account|encryption|signing|auth|wandb|hf|openai|ssh)[-_.]?(?:key|token)s?$"
    r"|(?:^|[-_.])(?:auth|secret|access|password|passwd)[-_.]\w+$",
    re.IGNORECASE,
)
# Values that are secrets whatever they are called: the published prefixes of the services a training run talks to.
_SECRET_VALUE = re.compile(
    r"hf_[A-Za-z0-9]{16,}|hf_oauth_[\w.-]{16,}|api_org_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|AIza[\w-]{30,}"
    r"|pypi-[\w-]{30,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*"
    r"|(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])(?=$|[\s'\",])"  # a Weights & Biases key; a git commit looks the same
)
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/@\s]+@")
_QUERY_SECRET = re.compile(
    r"(?P<name>[?&](?:[\w-]*(?:token|key|secret|password|signature|sig|credential))=)[^&\s#]+", re.IGNORECASE
)
_ASSIGNMENT = re.compile(r"^(?P<name>-{0,2}[A-Za-z][\w.-]*)=(?P<value>[\s\S]*)$")
# Options whose value may be a commit: forty hexadecimal digits are no secret there.
_COMMIT_WORD = re.compile(r"(?:^|[-_.])(?:revision|commit|sha|rev|hash)$", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether an option or variable of this name holds a secret."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.lstrip("-"))
    return _SECRET_WORD.search(plain) is not None


def text(value: str, commit: bool = False) -> str:
    """`value` without the secrets that can be told by their shape."""
    value = _USERINFO.sub(lambda found: found.group("scheme") + REDACTED + "@", value)
    value = _QUERY_SECRET.sub(lambda found: found.group("name") + REDACTED, value)
    return value if commit else _SECRET_VALUE.sub(REDACTED, value)


def arguments(argv: Sequence[str]) -> List[str]:
    """An argument list that may be written down. Its length and order stay."""
    cleaned: List[str] = []
    previous = ""
    for argument in map(str, argv):
        found = _ASSIGNMENT.match(argument)
        if found is not None and is_secret_name(found.group("name")):
            cleaned.append(found.group("name") + "=" + REDACTED)
        elif previous.startswith("-") and is_secret_name(previous) and not argument.startswith("--"):
            cleaned.append(REDACTED)
        else:
            name = found.group("name") if found is not None else previous
            cleaned.append(text(argument, commit=_COMMIT_WORD.search(name.lstrip("-")) is not None))
        previous = argument
    return cleaned
