"""What libraries say themselves of what they no longer have."""

from __future__ import annotations

import pytest

from tests.support.logs import SCRIPT, SITE, answer


def raised(path: str, error: str) -> str:
    return f'{SCRIPT}  File "{SITE}/{path}", line 9, in f\n    raise {error.partition(":")[0]}(\n{error}\n'


@pytest.mark.parametrize(
    ("path", "error", "package"),
    [
        ("torch/_linalg_utils.py", ("RuntimeError: This function was deprecated since version 1.9 and is now removed. "
         "`torch.lstsq` is deprecated in favor of `torch.linalg.lstsq`."), "torch has no more"),
        ("llama_index/core/service_context.py", ("ValueError: ServiceContext is deprecated. Use "
         "llama_index.settings.Settings instead, or pass in modules to local functions/methods/interfaces."),
         "llama-index-core"),
        ("spacy/language.py", ("ValueError: [E966] `nlp.add_pipe` now takes the string name of the registered "
         "component factory, not a callable component. Expected string, but got <object> (name: 'None')."),
         "spacy has no more"),
    ],
)  # fmt: skip
def test_a_library_that_says_what_went_is_newer_than_the_script(path: str, error: str, package: str) -> None:
    codes, text = answer(raised(path, error))
    assert codes == ["library-api-changed"]
    assert package in text
    assert "the program itself stops" not in text


def test_a_script_that_says_so_itself_is_no_library() -> None:
    log = f"{SCRIPT}  raise ValueError(\nValueError: the flag --old was removed in v2\n"
    assert "has no more" not in answer(log)[1]
