"""Secrets out of everything that a record holds: by the name before a value, by the shape of a value, by URL.

One door for argument lists, variables, URLs, configs and messages. A name that says what it is (`hf_token`,
`PGPASSWORD`) hides any value; one that may mean something else (`sort_key`, `eos_token`) hides what looks drawn.
"""

import re
from typing import List, Match, Sequence

REDACTED = "[redacted]"

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Parts of a name that mean a secret wherever they stand in it: PGPASSWORD, clientSecret, x-credentials.
_SECRET_PART = re.compile(
    r"password|passwd|passphrase|passcode|secret(?!ar|ion)|credential|apikey|accesskey|privatekey|authkey|authtoken|bearer"
    r"|accountkey|sharedaccess",
    re.I,
)
# Last words that mean one; before `token`, those that mean a piece of text instead; before `key`, those that mean one.
_SECRET_LAST = {"token", "pass", "pwd", "pw", "auth", "authorization", "cookie", "creds", "cred", "pat", "jwt", "sas"}
_TEXT_TOKENS = {
    "pad", "eos", "bos", "unk", "cls", "sep", "mask", "image", "audio", "video", "special", "start", "end", "stop",
    "per", "prompt", "next", "first", "last", "new", "extra", "decoder", "forced", "suppress", "max", "min", "num",
    "add", "use", "begin", "boundary", "separator", "response", "instruction", "system", "user", "assistant",
    "trigger", "placeholder", "vision", "by", "class", "concept", "instance", "init", "initializer", "modifier",
    "tool", "think", "eot", "eom",
}  # fmt: skip
_KEY_OF = {
    "api", "access", "secret", "private", "account", "encryption", "signing", "auth", "wandb", "hf", "openai", "ssh",
    "service", "deploy", "license", "master", "storage", "subscription", "client", "anthropic", "comet", "neptune",
    "azure", "aws", "gcp", "admin", "app", "mlflow", "clearml", "swanlab", "ssl", "tls", "gpg", "rsa",
}  # fmt: skip
_SECRET_FIRST = {"auth", "access", "secret"}  # `auth-user`, `access_code`: before another word
_NOT_SECRET_AFTER = {
    "method", "mode", "type", "url", "uri", "file", "path", "dir", "provider", "enabled", "required", "time",
    "pattern", "policy", "scheme", "server", "host", "port", "endpoint", "name", "length",
}  # fmt: skip
_MAYBE = re.compile(r"pass|pwd|token|key|secret|auth|cred|session|cookie|signature|webhook|dsn|sas|jwt|pat$", re.I)
_WORKING_FOLDER = {"PWD", "OLDPWD"}
_PLAIN = re.compile(
    r"(?:true|false|none|null|yes|no|on|off|auto|default|prompt|stdin|-|\$\w+|\$\{[^}]*\}|\$\([^)]*\)|%\w+%|\*+|<[^>]*>|"
    r"\[redacted\])$",
    re.I,
)
_NUMBER = re.compile(r"[-+]?[0-9._e-]*$")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)
_RUN = re.compile(r"[A-Za-z0-9]{12,}")

# Values that are secrets whatever they are called: the published forms of the services a training run talks to, those
# of Yelp's detect-secrets among them.
_SECRET_VALUE = re.compile(
    r"hf_[A-Za-z0-9]{16,}|hf_oauth_[\w.-]{16,}|api_org_[A-Za-z0-9]{16,}|\b(?:sk|rk|pk)[-_][A-Za-z0-9_-]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|oas)-[\w-]{16,}|GR1348941[\w-]{20,}"
    r"|xox[a-z]-[\w-]{10,}|xapp-[\w-]{10,}|(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[0-9A-Z]{16}|AIza[\w-]{30,}|ya29\.[\w-]{20,}"
    r"|pypi-[\w-]{30,}|npm_[A-Za-z0-9]{30,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*|SG\.[\w-]{16,}\.[\w-]{16,}|sq0csp-[\w-]{40,}"
    r"|\bAC[a-z0-9]{32}\b|\bSK[a-z0-9]{32}\b|\b[0-9a-f]{32}-us[0-9]{1,2}\b|\b[0-9]{8,10}:[\w-]{35}\b"
    r"|\b[MNO][A-Za-z\d_-]{23,25}\.[\w-]{6}\.[\w-]{27,}|\bAKC[a-zA-Z0-9]{10,}|\bAP[A-F][a-zA-Z0-9]{30,}"
    r"|nvapi-[\w-]{30,}|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{30,}|hvs\.[\w-]{20,}|dckr_pat_[\w-]{20,}"
    r"|dapi[0-9a-f]{32}|do[opr]_v1_[0-9a-f]{40,}|lin_api_\w{20,}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|pcsk_\w{20,}"
    r"|wandb_v1_\w{20,}|tgp_v1_[\w-]{20,}|AGE-SECRET-KEY-1[0-9A-Z]{40,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY[A-Z ]*-----[\s\S]*"
    r"|(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])(?=$|[\s'\",;&}\]])"  # a Weights & Biases key; a git commit looks the same
)
_SHORTEST = 13  # characters of the shortest of these
_WORD = re.compile(r"\w*\Z")
_WEBHOOK = re.compile(
    r"(?P<name>hooks\.slack\.com/(?:services|workflows)/|discord(?:app)?\.com/api/webhooks/|\.webhook\.office\.com/|"
    r"outlook\.office(?:365)?\.com/webhook/|api\.telegram\.org/bot|hooks\.zapier\.com/hooks/|chat\.googleapis\.com/v1/spaces/|"
    r"(?:open\.feishu\.cn|open\.larksuite\.com)/open-apis/bot/v2/hook/|maker\.ifttt\.com/trigger/\w+/with/key/)[^\s'\"]+"
)
_SCHEME = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}:(?://|\\/\\/)")
_QUERY = re.compile(
    r"(?P<name>[?&](?:[\w-]*(?:token|key|secret|password|pwd|signature|sig|credential|accesskeyid))=)[^&\s#'\"]+", re.I
)
_URL_END = re.compile(r"[\s'\"<>]|$")
_HOST = re.compile(r"(?:localhost|\[[0-9a-f:]+\]|[\w-]+(?:\.[\w-]+)+|[\w.-]+:[0-9]+)(?=[/:?#]|$)")
# The start of an assignment, wherever it stands: in JSON, YAML, a header, a shell line, a query, an ODBC string.
_NAME = re.compile(
    r"(?<![\w.])[+~-]{0,3}(?P<name>[A-Za-z_][\w.-]{0,80})(?:\\?[\"']\]?)?[ \t]{0,3}(?::=|=>|[=:])[ \t]{0,3}"
)
_OPTION = re.compile(r"(?<![\w.])--?(?P<name>[A-Za-z][\w.-]{0,80})[ \t]{1,3}(?!-)")
_VALUE = re.compile(
    r"\\\"(?P<escaped>[^\"\\]*)\\\"|\"(?P<double>(?:[^\"\\]|\\.)*)\"|'(?P<single>[^']*)'"
    r"|(?:(?:Bearer|Basic|Token|Digest|ApiKey)[ \t]+)?(?P<bare>[^\s,;&\"'{}()|\\]+)", re.I
)  # fmt: skip
_SCHEMED = re.compile(r"\b(?P<name>(?:Bearer|Basic|Token|ApiKey)[ \t]{1,3})(?P<value>[A-Za-z0-9._~+/=-]{8,})", re.I)
_WHOLE = re.compile(r"^[+~-]{0,3}(?P<name>[A-Za-z_][\w.-]{0,80})=(?P<value>[\s\S]*)$")
# Options whose value may be a commit: forty hexadecimal digits are no secret there.
_COMMIT_WORD = re.compile(r"(?:^|[-_.])(?:revision|commit|sha|rev|hash|commit[-_]?id|commit[-_]?hash)$", re.IGNORECASE)
_LOGIN = {"-u", "--user", "--proxy-user", "-U", "--login", "--userpwd"}


def is_secret_name(name: str) -> bool:
    """Whether an option or variable of this name holds a secret, whatever its value."""
    bare = name.lstrip("+~-")
    words = [word for word in re.split(r"[-_.]+", _CAMEL.sub("_", bare).lower()) if word]
    if not words or bare in _WORKING_FOLDER or words[-1] in _NOT_SECRET_AFTER:
        return False
    last = words[-1]
    if _SECRET_PART.search(bare.replace("_", "").replace("-", "")):
        return True
    before = words[-2] if len(words) > 1 else ""
    if last == "token":
        return before not in _TEXT_TOKENS
    if last in {"key", "keys", "tokens"}:
        return before in (_KEY_OF if last != "tokens" else {"api", "access", "auth"})
    return last in _SECRET_LAST or (len(words) > 1 and words[-2] in _SECRET_FIRST) or words[-2:] == ["key", "id"]


def text(value: str, commit: bool = False) -> str:
    """`value` without its secrets. `commit` says that forty hexadecimal digits are a commit here."""
    if _WORD.match(value):  # most names and values of a configuration: no address, assignment or option stands in it
        return value if commit or len(value) < _SHORTEST else _SECRET_VALUE.sub(_shape, value)
    value = _without_userinfo(value)
    value = _WEBHOOK.sub(lambda found: found.group("name") + REDACTED, value)
    value = _QUERY.sub(lambda found: found.group("name") + REDACTED, value)
    value = _assignments(value, _NAME)
    value = _assignments(value, _OPTION)
    value = _SCHEMED.sub(_scheme, value)
    return value if commit else _SECRET_VALUE.sub(_shape, value)


def arguments(argv: Sequence[str]) -> List[str]:
    """An argument list that may be written down. Its length and order stay."""
    words = [str(one) for one in argv]
    programs = {word.rpartition("/")[2] for word in words}
    cleaned: List[str] = []
    previous = ""
    for argument in words:
        cleaned.append(_argument(argument, previous, programs))
        previous = argument
    return cleaned


def document(value: object, name: str = "") -> object:
    """A value of JSON without its secrets, the names of its objects considered, which may be addresses themselves."""
    if isinstance(value, dict):
        return {text(str(key), commit=True): document(one, str(key)) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [document(one, name) for one in value]
    if not isinstance(value, str):
        return value
    if _hides(name, value):
        return REDACTED
    return text(value, commit=_COMMIT_WORD.search(name) is not None)


def _argument(argument: str, previous: str, programs: "set[str]") -> str:
    found = _WHOLE.match(argument)
    name = found.group("name") if found is not None else ""
    if found is not None and is_secret_name(name) and not _PLAIN.match(found.group("value")):
        return argument[: found.start("value")] + REDACTED
    if previous.startswith("-") and not argument.startswith("--") and _hides(previous.lstrip("-"), argument):
        return REDACTED
    if previous in _LOGIN and ":" in argument and "://" not in argument:
        return argument.partition(":")[0] + ":" + REDACTED
    if previous == "-p" and "sshpass" in programs:
        return REDACTED
    if (
        argument.startswith("-p")
        and len(argument) > 2
        and any(one.startswith(("mysql", "mariadb")) for one in programs)
    ):
        return "-p" + REDACTED
    commit = _COMMIT_WORD.search((name or previous).lstrip("-")) is not None
    return text(argument, commit=commit)


def _hides(name: str, value: str) -> bool:
    """Whether the value behind this name is to be hidden."""
    if not value or _PLAIN.match(value):
        return False
    if is_secret_name(name):
        return not (name.lower().endswith(("token", "tokens", "pass")) and _NUMBER.match(value) and len(value) < 6)
    return _MAYBE.search(name) is not None and name not in _WORKING_FOLDER and _by_chance(value)


def _by_chance(value: str) -> bool:
    """Whether a value looks like one that was drawn, and not named: digits and letters in turns, or cases."""
    if _UUID.search(value):
        return True
    for run in _RUN.findall(value):
        turns = sum(1 for one, other in zip(run, run[1:]) if one.isdigit() != other.isdigit())  # noqa: B905 (Python 3.8)
        cases = sum(1 for one, other in zip(run, run[1:]) if one.islower() and other.isupper())  # noqa: B905 (Python 3.8)
        if turns >= 3 or (len(run) >= 20 and cases * 5 >= len(run)):
            return True
    return False


def _assignments(value: str, start: "re.Pattern[str]") -> str:
    parts: List[str] = []
    done = 0
    for found in start.finditer(value):
        if found.start() < done:
            continue
        held = _VALUE.match(value, found.end())
        if held is None or held.lastgroup is None:
            continue
        secret = held.group(held.lastgroup)
        if secret.startswith("//") or not _hides(found.group("name"), secret):
            continue
        parts += [value[done : held.start(held.lastgroup)], REDACTED]
        done = held.end(held.lastgroup)
    return "".join(parts) + value[done:]


def _scheme(found: "Match[str]") -> str:
    if found.group("name").lower().startswith("bearer") or _by_chance(found.group("value")):
        return found.group("name") + REDACTED
    return found.group(0)


def _shape(found: "Match[str]") -> str:
    """`sk-` and its like begin harmless names as well: those of words."""
    return REDACTED if not found.group(0).startswith(("sk", "rk", "pk")) or _drawn(found.group(0)) else found.group(0)


def _drawn(value: str) -> bool:
    return _by_chance(value) or re.search(r"[a-z0-9]{24,}", value, re.I) is not None or value.startswith("sk-ant-")


def _without_userinfo(value: str) -> str:
    """Drop what stands before the host of each URL. A password may hold an `@` or `/` that should have been quoted."""
    parts: List[str] = []
    done = 0
    for found in _SCHEME.finditer(value):
        if found.start() < done:
            continue
        start = found.end()
        end = _URL_END.search(value, start).start()  # type: ignore[union-attr]  # it matches the end
        cut = _end_of_userinfo(value[start:end])
        if cut is not None:
            parts += [value[done:start], REDACTED, "@"]
            done = start + cut + 1
    return "".join(parts) + value[done:]


def _end_of_userinfo(rest: str) -> "int | None":
    """Where in the rest of a URL the `@` before its host stands; None where there is no user."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    at = rest.find("@")
    if at < 0:
        return None
    if "@" not in authority:
        user, colon, password = authority.partition(":")
        # `me:pa/ss@host`; but `host:8080/package@1.0` and `host/package@1.0` name no user.
        if not colon or not password or (user and password.isdigit()):
            return None
    for position in [match.start() for match in re.finditer("@", rest)]:
        if _HOST.match(rest, position + 1):
            return position
    return rest.rfind("@", 0, len(authority)) if "@" in authority else at
