"""Causes in files and folders: broken downloads, missing pieces, folders that mean two things."""

from __future__ import annotations

from envpin.diagnose.catalogue.cause import Cause

FILES: tuple[Cause, ...] = (
    Cause(
        "base-not-found", "warning",
        "The base that the adapter names is not on this machine, so its shapes could not be compared.",
        "none of the places where `base_model_name_or_path` can point holds a model",
        ("envpin check {adapter} --base FOLDER",),
    ),
    Cause(
        "base-changed-since-training", "blocker",
        "The base at this place is not the one that training loaded: its config or its commit differs from the manifest.",
        "`envpin.json` records another commit, config digest or embedding size than the folder has",
        ("get the recorded commit of the base, and name it: envpin check {adapter} --base FOLDER",),
    ),
    Cause(
        "lfs-pointer", "blocker",
        "A git-lfs pointer of some hundred bytes stands where the weights should be: the repository was cloned without lfs.",
        "the file starts with git-lfs' version line",
        ("git lfs install && git lfs pull, inside the clone", "or download again: hf download REPOSITORY"),
    ),
    Cause(
        "html-instead-of-weights", "blocker",
        "A web page was saved under the name of a weight file: a login page, an error page, or a viewer.",
        "the file starts with HTML",
        ("download again: hf download REPOSITORY (hf auth login first, if it is gated)",),
    ),
    Cause(
        "truncated-file", "blocker",
        "The file's size is not what its header says: cut off (a full disk, a broken download), empty, or with bytes after "
        "its end.",
        "header length and byte ranges against the size of the file",
        ("download or copy the file again, and compare sizes",),
    ),
    Cause(
        "corrupt-header", "blocker",
        "A header, index or JSON file cannot be read as what its name says.",
        "the first bytes, the JSON, and the byte ranges of each file",
        ("download or copy the file again",),
    ),
    Cause(
        "missing-shard", "blocker",
        "The index names a shard that is not there, or tensors that no shard holds; or the folder has no weights at all.",
        "the weight map of the index against the folder and the shards' headers",
        ("download the missing files again",),
    ),
    Cause(
        "pickle-weights", "info",
        "The weights are a pickle (`.bin`), which can run code when it is loaded. envpin reads its list of tensors "
        "without unpickling it. A pickle that would import anything that weights do not need is a blocker.",
        "weight files that end in .bin, .pt or .pth; the names that their opcodes import",
        ("convert once to safetensors, in an environment that you can throw away",),
    ),
    Cause(
        "remote-code-needed", "warning",
        "The model's classes live in Python files beside its weights: loading runs that code.",
        "`auto_map` in config.json or tokenizer_config.json, with the files present",
        ("read those files, then pass `trust_remote_code=True`",),
    ),
    Cause(
        "remote-code-missing", "blocker",
        "`auto_map` names a Python file that is not in the folder (often lost when a fine-tune was saved).",
        "the modules of `auto_map` against the folder",
        ("copy the .py files of the base's repository into the folder",),
    ),
    Cause(
        "adapter-files-in-merged", "blocker",
        "A folder with whole weights and an adapter_config.json. transformers 4 loads the adapter's base and ignores the "
        "merged weights; transformers 5 applies the adapter a second time, silently.",
        "model weights and adapter_config.json in one folder",
        ("move adapter_config.json and adapter_model.safetensors out of the merged folder",),
    ),
    Cause(
        "adapter-already-merged", "blocker",
        "The base is a merge of this adapter already: merging again adds the change twice.",
        "`envpin-merge.json` or the weights' metadata in the base names this adapter's digest",
        ("use the merged folder as it is", "or merge into the original base"),
    ),
    Cause(
        "output-exists", "blocker",
        "The output folder exists and is not empty; envpin overwrites nothing.",
        "the folder named by `-o`",
        ("name another folder, or remove it yourself",),
    ),
    Cause(
        "generation-config-invalid", "warning",
        "generation_config.json holds values that transformers refuses when it saves the model (4.39 and newer), such as "
        "a `temperature` with `do_sample=False`.",
        "sampling parameters that are set while `do_sample` is false",
        ("set `do_sample` to true in generation_config.json, or remove temperature and top_p",),
    ),
    Cause(
        "meta-tensor-offload", "blocker",
        "Weights were left on the meta device or on disk (`device_map` offload), and a copy or a save needs their values.",
        "messages about meta tensors, or offload of modules",
        ("load with `device_map=None` on a machine with enough memory", "or merge file by file: envpin replay merge {adapter} -o MERGED"),
    ),
    Cause(
        "out-of-memory", "blocker",
        "The process ran out of GPU or main memory, or was killed for it.",
        "CUDA's out-of-memory errors, MemoryError, failed allocations, exit status 137",
        ("merge file by file, with a few hundred MB: envpin replay merge {adapter} -o MERGED --engine stream",),
    ),
)  # fmt: skip
