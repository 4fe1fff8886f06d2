"""What programs that merge, average and convert models check by themselves, and say in their own words. Pure."""

from __future__ import annotations

import re

from envpin.diagnose.logs.ending.raised_words import of_the_program
from envpin.diagnose.logs.text.explained import Explained

_DIFFER = re.compile(
    r"assert\s+not\s+(?:torch|np|numpy)\.(?:allclose|equal|array_equal)\("
    r"(?=[^\n]*(?:weight|old|before|orig|base|merged|after))|"
    r"assert\s*\(?[^\n]*(?:before|old|orig\w*|base\w*)\b[^\n]*!=[^\n]*\)\.any\(\)"
)
_NAMES = re.compile(
    r"assert\s+(?:set\(|list\()?(?:\w*(?:state|sd|params?|weights?|model|ckpt|theta|base|pre|ft|finetuned|pretrained|"
    r"vector|lora|adapter)\w*)(?:\[\w+\]|\.state_dict\(\))?\.keys\(\)\)?\s*=="
)
_ROWS = re.compile(
    r"(?i)assert\s+len\(\w*tok\w*\)\s*(?:==|<=)[^\n]*(?:emb|vocab|weight)|"
    r"assert\s+[^\n]*(?:emb|vocab|weight)[^\n]*(?:==|>=)\s*len\(\w*tok\w*\)"
)
_SHARES = re.compile(
    r"(?i)assert\s+[^\n]*(?:len|sum)\(\s*[\w.\[\]\"']*?(?:weights|alphas?|ratios?|coeffs?|coefficients|lambdas?|scales?|"
    r"densit(?:y|ies)|ranks?)[\"'\]]*\s*\)"
)
_NO_EFFECT = re.compile(
    r"(?i)\bmerg\w*\b[^\n]{0,40}\b(?:had|has) no effect|\b(?:adapter|lora)\b[^\n]{0,40}\b(?:had|has) no effect|"
    r"\b(?:weights|tensors|parameters|model|merge)\b[^\n]{0,30}\b(?:identical|equal|same)\b[^\n]{0,20}\b(?:base|original)\b|"
    r"\bweights?\b[^\n]{0,40}(?:\bunchanged\b|did(?: not|n't) change)[^\n]{0,30}\bmerg|"
    r"\bmerg[^\n]{0,60}\bweights?\b[^\n]{0,20}(?:\bunchanged\b|did(?: not|n't) change)|"
    r"\blora_B\b[^\n]{0,40}\ball[ -]?zeros?\b"
)
_NONE_MERGED = re.compile(
    r"(?i)\bno (?:lora |adapter |matching |target )*(?:layers?|modules?|weights?|tensors?|keys?|deltas?)\b[^\n]{0,20}"
    r"\b(?:merged|applied|matched)\b|\b(?:merged|applied|matched) (?:0|no|zero) "
    r"(?:lora |adapter )*(?:layers?|modules?|weights?|tensors?|deltas?)\b"
)
_COUNTS = re.compile(
    r"(?i)\b(?:weights?|alphas?|ratios?|coefficients?|lambdas?|densit(?:y|ies))\b[^\n]{0,40}"
    r"\b(?:(?:sums?|add(?:s|ing)?|total) (?:up )?to\b|"
    r"(?:must |should |does not |doesn't |do not |don't )?match\b|for (?:\d+|each|the|all) )|"
    r"\b(?:cannot|can't) (?:drop|prune|remove|keep|copy|duplicate) layers?\b"
)
_UNEQUAL = re.compile(r"The size of tensor a \((?P<base>\d+)\) must match the size of tensor b \((?P<adapter>\d+)\)")
# Of two sizes from so many rows on that differ by less than a tenth, both are of a vocabulary.
_SMALLEST_VOCABULARY, _OF_ONE_VOCABULARY = 20_000, 1.1
# The sum of a base's tensor and an adapter's product, in code of a library.
_MERGES = re.compile(r"(?i)merg|fuse|bake")
_ADDS = re.compile(
    r"(?i)[+]=?[^\n]*\b\w*delta\w*|\b\w*delta\w*[^\n]*[+]|\blora_?B\w*[^\n]*@[^\n]*lora_?A|\badd(?:mm)?_?\("
)
_NOOP = (
    "look at it: envpin check ADAPTER --base BASE, which reports a lora_B that is all zeros",
    "take the checkpoint that was trained (checkpoint-…), and see that the log of the load names no missing keys",
)
_CHANGED = (
    "the adapter changed nothing (its lora_B are all zeros: it was never trained, or its weights were not loaded), or "
    "it trained other modules than the one that is compared"
)


def asserted_of_weights(condition: str) -> Explained | None:
    """A bare `assert` over weights or names of a model; None where it is of another kind."""
    what = condition.strip().removeprefix("assert").strip()
    says = f"the program asserts `{what}`, and that does not hold"
    if _DIFFER.search(condition) is not None:
        return Explained(
            "adapter-is-noop", f"{says}: after the merge the weights are those of before; {_CHANGED}", _NOOP
        )
    if _NAMES.search(condition) is not None:
        return Explained("model-of-another-kind", f"{says}: the two have tensors of other names, as models of another "
                         "architecture or number of layers have", (
            "compare their config.json, and print what only one has: set(a) ^ set(b)",
            "take two of one base and size",
        ))  # fmt: skip
    if _ROWS.search(condition) is not None:
        differ = "the tokenizer has more or fewer tokens than the embedding has rows"
        return Explained("vocab-mismatch", f"{says}: {differ}", (
            "of added tokens, resize first: model.resize_token_embeddings(len(tokenizer))",
            "else take the tokenizer of this model; rows that only pad the embedding need no check",
        ))  # fmt: skip
    if _SHARES.search(condition) is not None:
        return Explained(
            "settings-refused",
            f"{says}: there has to be one weight for each model, and their sum as it says",
            ("count and add up what the call or the file of settings gives",),
        )
    return None


def said_of_a_merge(message: str) -> Explained | None:
    """What such a program says of a merge that did nothing, or of the numbers that it was given for one."""
    if _NO_EFFECT.search(message) is not None:
        return Explained("adapter-is-noop", f"{of_the_program(message)}: {_CHANGED}", _NOOP)
    if _NONE_MERGED.search(message) is not None:
        return Explained("unmatched-adapter-keys", f"{of_the_program(message)}: none of the adapter's names is one of "
                         "this base: it is of another architecture, or a prefix differs", (
            "compare them: envpin check ADAPTER --base BASE",
            "print both: list(adapter)[:3], list(base.state_dict())[:3]",
        ))  # fmt: skip
    if _COUNTS.search(message) is not None:
        return Explained("settings-refused", of_the_program(message), (
            "change what the call or the file of settings gives: one number for each model, layers that there are",
        ))  # fmt: skip
    return None


def of_a_library_that_merges(package: str, place: str, message: str, code: str) -> Explained | None:
    """An adapter's product that a library adds to a base's tensor of another size."""
    found = _UNEQUAL.search(message)
    if found is None or _MERGES.search(place) is None or _ADDS.search(code) is None:
        return None
    sizes = sorted((int(found["base"]), int(found["adapter"])))
    if sizes[0] >= _SMALLEST_VOCABULARY and sizes[1] < sizes[0] * _OF_ONE_VOCABULARY:
        says = (
            f"{package} adds the adapter's product (B @ A) to the base's tensor of that name, and the numbers of rows "
            f"differ ({found['base']} in the base, {found['adapter']} in the adapter): most likely their vocabularies "
            "do, as tokens were added for training, or the base was padded"
        )
        return Explained("vocab-mismatch", says, (
            "resize the base first: resize_token_embeddings to the adapter's rows, with the tokenizer of the adapter",
            "compare the two: envpin check ADAPTER --base BASE",
        ))  # fmt: skip
    says = (
        f"{package} adds the adapter's product (B @ A) to the base's tensor of that name, and they are of different "
        f"sizes ({found['base']} in the base, {found['adapter']} in the adapter): it was trained on a base of another "
        "size"
    )
    return Explained("wrong-base-hidden-size", says, (
        "give the base that adapter_config.json names: base_model_name_or_path",
        "compare the two: envpin check ADAPTER --base BASE",
    ))  # fmt: skip
