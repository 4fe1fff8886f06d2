"""Does a name belong to a family? Pure. A name is weak evidence: anybody may call a folder anything.

A pattern counts only where it matches whole words (`gemma-2` is no part of `medgemma-2`), where the number at its
end is not the number of parameters (`llama-4b` is no Llama 4), and where nothing else in the name says that the model
is of another architecture: LLaVA on top of Mistral is no Mistral.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envpin.matrix.types import Condition, Recognition, TypeName

# Words of a name that mean another architecture than the family whose name stands next to them, or another config.
# They do not count where the pattern that matched covers them: `qwen2-vl` is the name of Qwen2-VL.
_WORDS = """
    vl vlm vla vision visual video onevision image img audio speech voice asr tts omni multimodal mm ocr
    embed embeds embedding embeddings embedder retriever colbert colpali colqwen vec rerank reranker splade dpr
    flash nemotron minitron mamba jamba hymba zamba moe recurrent shield pali eagle medusa dflash mtp speculator draft
    llava vila bunny cambrian minicpm idefics smolvlm internvl cogvlm cogagent xcomposer molmo ovis ultravox emu
    chameleon bitnet rwkv llada dream diffusion diffusers clip siglip vit hybrid linear xcodec codec
"""
VETOES = frozenset(_WORDS.split())
VETO_ENDINGS = ("vl", "llava", "vlm", "vla")
_SIZE = re.compile(r"\.?\d*\.?\d*[bm](?![a-z])")
_OTHER_VERSION = re.compile(r"\.\d")
_EXPERTS = re.compile(r"\dx\d")


def name_match(names: Recognition | TypeName | Condition, name: str | None) -> int:
    """How many letters of the name the best of the patterns covers; 0 where none belongs."""
    if name is None or not names.names:
        return 0
    lowered = name.lower().replace(":", "-")  # a tag of Ollama's: `qwen3:8b`
    longest = 0
    for pattern, literal in zip(names.names, names.literals, strict=True):
        # Compiling a pattern costs a hundred times what this test does, and most families are of other names.
        if literal in lowered:
            spans = [found.span() for found in re.finditer(pattern, lowered)]
            longest = max(longest, *(end - start for start, end in spans if _belongs(lowered, start, end)), 0)
    return longest


def _belongs(lowered: str, start: int, end: int) -> bool:
    if start and lowered[start].isalnum() and lowered[start - 1].isalnum():
        return False
    rest = lowered[end:]
    if lowered[end - 1].isdigit() and (_SIZE.match(rest) or _OTHER_VERSION.match(rest)):
        return False
    return not vetoes_of(lowered, start, end)


def vetoes_of(lowered: str, start: int, end: int) -> list[str]:
    """The words of a name, its owner's and those of the span left out, that mean another architecture."""
    own = lowered.rfind("/") + 1
    rest = lowered[own:start] + " " + lowered[max(end, own) :]
    letters = "".join(letter if letter.isalpha() else " " for letter in rest)
    found = [word for word in letters.split() if word in VETOES or word.endswith(VETO_ENDINGS)]
    return [*found, *(_EXPERTS.findall(rest) if "x" in rest else ())]
