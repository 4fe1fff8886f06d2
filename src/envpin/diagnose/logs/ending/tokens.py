"""Variables of the environment and tokens that a program says it was not given. Pure."""

from __future__ import annotations

import re

from envpin.diagnose.logs.ending.own_values import of_the_environment
from envpin.diagnose.logs.ending.raised_words import quote
from envpin.diagnose.logs.text.explained import Explained

_NAME = r"(?P<name>[A-Z][A-Z0-9]{0,30}(?:_[A-Z0-9]{1,30}){1,6})"
_NOT_SET = (
    r"(?:not (?:been )?(?:set|found|defined|provided|configured|specified)|(?:is )?(?:missing|undefined|unset|empty)|"
    r"(?:is )?required|must be set|(?:is )?None|未设置|未配置|未找到|不能为空|nicht gesetzt|no está|não "
    r"(?:está|foi|definid)|"
    r"(?:non|pas) définie?|manquante?|не задан|не установлен|設定されていません|설정)"
)
_ENVIRONMENT = (
    re.compile(rf"(?<!\w)(?:[\"'`$]|\$\{{)?{_NAME}[^\n.]{{0,60}}?\b{_NOT_SET}"),
    re.compile(
        rf"(?i:(?:set|export|define|provide|specify|missing|need|requires?|no|add|请设置|缺少)\b|请设置|缺少)[^\n.]{{0,60}}?{_NAME}"
    ),
)
_ENVIRONMENT_WORDS = re.compile(
    r"(?i)environ|\benv\b|\bvariab|\.env|export |variable|token|secret|api[ _]?key|环境变量|密钥"
)
_HUB_TOKEN = re.compile(r"(?i)hugging ?face|\bhf[_ -]|hub")
# What a library tells those who want to see more of an error.
_OF_A_HINT = re.compile(
    r"HYDRA_FULL_ERROR|RUST_BACKTRACE|CUDA_LAUNCH_BLOCKING|TORCH_USE_CUDA_DSA|TORCHDYNAMO_VERBOSE|TORCH_(?:LOGS|SHOW_CPP)\w*|"
    r"NCCL_DEBUG|TRANSFORMERS_VERBOSITY|TF_CPP_MIN_LOG_LEVEL|TORCH_DISTRIBUTED_DEBUG"
)
_NO_TOKEN = re.compile(
    r"(?i)(?:no|missing|provide|need|require[sd]?|without|invalid|enter|set)\b[^\n]{0,40}(?:hugging ?face|"
    r"\bhf\b|access)[\w ]{0,20}"
    r"token|(?:hugging ?face|\bhf\b)[\w ]{0,20}token[^\n]{0,30}(?:not|missing|required|empty|invalid)|"
    r"(?:log ?in|login) (?:to|with|first|using)[^\n]{0,40}(?:hugging ?face|huggingface-cli|hf auth)"
)
_LOGIN = ("or log in once on this machine: hf auth login",)


def of_a_token(line: str) -> Explained | None:
    """What a line says of a variable or a token that is not set; None where it speaks of none."""
    found = next((one for form in _ENVIRONMENT if (one := form.search(line)) is not None), None)
    if found is not None and _OF_A_HINT.fullmatch(found["name"]) is not None:
        return None
    if found is not None and _ENVIRONMENT_WORDS.search(line) is not None:
        told = of_the_environment(found["name"])
        return told._replace(fix=(*told.fix, *_LOGIN)) if _HUB_TOKEN.search(found["name"]) else told
    if _NO_TOKEN.search(line) is None:
        return None
    says = f"the program wants a token of the Hub and was given none: {quote(line)}"
    return Explained("settings-refused", says, (
        "set it before the run: export HF_TOKEN=VALUE, or give it by the program's option", *_LOGIN,
    ))  # fmt: skip


def of_a_hub_token(line: str) -> Explained | None:
    """The same, of a token for the Hub alone, of which no program of another field speaks."""
    found = next((one for form in _ENVIRONMENT if (one := form.search(line)) is not None), None)
    named = found is not None and _HUB_TOKEN.search(found["name"]) is not None
    return of_a_token(line) if named or _NO_TOKEN.search(line) is not None else None
