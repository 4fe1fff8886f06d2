"""Causes in the versions of the libraries. Boundaries were read from release wheels or tried; see docs/explanation."""

from __future__ import annotations

from envpin.diagnose.catalogue.cause import Cause

VERSIONS: tuple[Cause, ...] = (
    Cause(
        "config-needs-newer-transformers", "blocker",
        "This transformers does not know the model type: the model is younger than the library.",
        "`model_type` against the releases that know it, or the message of the load",
        ("see which release knows it: envpin matrix resolve {model}", "run with it: envpin run REF -- CMD"),
    ),
    Cause(
        "config-needs-older-transformers", "blocker",
        "This transformers no longer reads the config or lacks a class that the model's time had.",
        "the message of the load, or the matrix",
        ("run with the versions of the training run: envpin run {adapter} -- CMD",),
    ),
    Cause(
        "rope-config-unreadable", "blocker",
        "The config's `rope_scaling` is of a form that this transformers refuses (Llama 3.1 before 4.43.0).",
        "`rope_scaling` with more than `type` and `factor`, against the transformers version",
        ("transformers ≥ 4.43.1: envpin run transformers==4.43.1 -- CMD",),
    ),
    Cause(
        "rope-theta-lost", "blocker",
        "The config was written by transformers 5, with `rope_parameters` instead of `rope_theta`. transformers 4 reads "
        "it without complaint, and takes rope_theta = 10000: the model answers worse, and nothing says why.",
        "`rope_parameters` and no `rope_theta` in config.json, against the transformers version",
        ("load with transformers ≥ 5.0", "or write `rope_theta` and `rope_scaling` into config.json as 4.x had them"),
    ),
    Cause(
        "adapter-needs-newer-peft", "blocker",
        "adapter_config.json has fields that this peft does not know (peft before 0.14 raises, newer ones warn).",
        "fields of the config against the peft release that added them, or the message of the load",
        ("load with the peft that wrote it: envpin run {adapter} -- CMD",
         "by hand: remove the field, if its value is the default"),
    ),
    Cause(
        "peft-transformers-incompatible", "blocker",
        "This peft cannot be imported beside this transformers: one of them moved a name that the other needs.",
        "the versions against the table of imports, or the message of the import",
        ("take a pair that works: envpin matrix resolve {model}",),
    ),
    Cause(
        "tokenizer-needs-newer", "blocker",
        "The tokenizer files were written by a newer tokenizers or transformers than this one.",
        "pairs in `merges` and `TokenizersBackend` in the files, or the message of the load",
        ("tokenizers ≥ 0.20 (transformers ≥ 4.45), or transformers ≥ 5.0 for TokenizersBackend",
         "or take the base's own tokenizer files, if no token was added"),
    ),
    Cause(
        "torch-too-old-for-bin", "blocker",
        "transformers ≥ 4.52 refuses to load `.bin` weights with torch before 2.6 (CVE-2025-32434).",
        "`.bin` weights and both versions, or the message of the load",
        ("torch ≥ 2.6", "or convert the weights to safetensors"),
    ),
    Cause(
        "transformers-api-changed", "blocker",
        "Code uses a name or an argument that this transformers no longer has, or does not have yet.",
        "the name in the message against the releases that have it",
        ("run with the versions that the code was written for: envpin run REF -- CMD",
         "find the release that changed it: envpin bisect transformers --good V --bad V"),
    ),
    Cause(
        "torch-companion-mismatch", "blocker",
        "Packages that belong together do not: torchvision, torchaudio, flash-attn or bitsandbytes were built for another "
        "torch, or a package (tokenizers, huggingface-hub, torch) is outside the range that transformers takes.",
        "undefined symbols, missing operators, CUDA versions or version ranges in the message",
        ("built for another torch: install the release that belongs to this torch, from the same index",
         "outside a range: install a release inside it, or run with the versions of the training run: "
         "envpin run {adapter} -- CMD"),
    ),
    Cause(
        "numpy-abi", "blocker",
        "A module compiled against numpy 1 runs beside numpy 2, or torch before 2.2 beside numpy 2.",
        "numpy's own messages about _ARRAY_API, dtype size and `Numpy is not available`",
        ("numpy < 2", "or newer releases of the module that fails"),
    ),
)  # fmt: skip
