"""Collect what releases of the libraries around the stack gave and took: `python scripts/collect_around.py` writes
logs/facts/around.json.

Read from wheels as syntax, of each package up to so many minor series (their last patch), spread from 2022 on: the
modules by their files, the public names of modules (`from .x import *` is followed), the members of classes with those
that they inherit inside the package, and the arguments of functions, methods and constructors. Only what changed is
kept. Nothing is run, so names that code makes as it runs and those of compiled modules are not seen.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import warnings
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from around_release import read
from collect_names import turns as turns_of
from packaging.version import Version

from envpin.core.errors import InputError, NetworkError
from envpin.remote.index import Index

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpin.remote.index import Release, ReleaseFile

TARGET = Path(__file__).resolve().parents[1] / "src" / "envpin" / "diagnose" / "logs" / "facts" / "around.json"
# Name on the index to the folders that are imported, where they are called otherwise.
ROOTS = {
    "scikit-learn": ("sklearn",), "protobuf": ("google",), "bert-score": ("bert_score",), "faiss-cpu": ("faiss",),
    "open-clip-torch": ("open_clip",), "hydra-core": ("hydra",), "auto-gptq": ("auto_gptq",), "autoawq": ("awq",),
    "lm-eval": ("lm_eval",), "comet-ml": ("comet_ml",), "tensorboard": ("tensorboard",), "pillow": ("PIL",),
    "optimum": ("optimum",), "optimum-onnx": ("optimum",), "keras": ("keras",), "ms-swift": ("swift",),
    "opencv-python": ("cv2",), "typing-extensions": ("typing_extensions",), "llama-index-core": ("llama_index",),
    "attrs": ("attr", "attrs"), "pyyaml": ("yaml",), "gitpython": ("git",),
    "python-dotenv": ("dotenv",), "sacrebleu": ("sacrebleu",), "flagembedding": ("FlagEmbedding",),
    "beautifulsoup4": ("bs4",), "umap-learn": ("umap",), "pyannote-audio": ("pyannote",), "setuptools": ("setuptools", "pkg_resources"), "soundfile": ("soundfile",),
}  # fmt: skip
PACKAGES = (
    "transformers", "gradio", "gradio-client", "fastapi", "starlette", "streamlit", "pandas", "numpy", "scipy", "scikit-learn",
    "torchaudio", "torchvision", "torchmetrics", "pytorch-lightning", "evaluate", "jiwer", "sacrebleu", "bert-score",
    "sentence-transformers", "setfit", "gliner", "span-marker", "librosa", "soundfile", "openai", "anthropic",
    "langchain", "langchain-core", "langchain-text-splitters", "langchain-huggingface", "diffusers", "timm", "optimum",
    "optimum-onnx", "onnx", "torchao", "bitsandbytes", "gguf", "ctranslate2", "auto-gptq", "gptqmodel", "autoawq",
    "hqq", "lm-eval", "mergekit", "liger-kernel", "adapters", "pydantic", "httpx", "requests", "jinja2", "protobuf",
    "pyarrow", "fsspec", "hydra-core", "omegaconf", "tiktoken", "sentencepiece", "einops", "tqdm", "click", "typer",
    "wandb", "seaborn", "matplotlib", "nltk", "spacy", "flair", "chromadb", "open-clip-torch", "controlnet-aux",
    "xformers", "torchtune", "deepspeed", "moviepy", "albumentations", "torchtext", "optuna", "tokenizers",
    "safetensors", "onnxruntime", "urllib3", "pillow", "rich", "packaging", "setuptools", "dill", "multiprocess",
    "uvicorn", "aiohttp", "xgboost", "lightgbm", "tensorboard", "faster-whisper", "openai-whisper", "speechbrain",
    "qwen-vl-utils", "llmcompressor", "compressed-tensors", "simpletransformers", "bertopic", "flagembedding", "mteb",
    "unsloth-zoo", "unsloth", "ragas", "mlflow", "llama-index-core", "langchain-community", "lightning", "basicsr",
    "imageio", "keybert", "outlines", "xgrammar", "comet-ml", "vllm",
)  # fmt: skip
# Where names of one package went that others of its family took over.
FAMILIES = {
    "langchain": ("langchain-core", "langchain-text-splitters", "langchain-huggingface", "langchain-openai",
                  "langchain-community", "langchain-classic"),
    "langchain-community": ("langchain-huggingface", "langchain-openai", "langchain-core", "langchain-classic"),
    "optimum": ("optimum-onnx",),
    }  # fmt: skip
# Read by the other collectors, release by release.
ELSEWHERE = frozenset({"trl", "peft", "accelerate", "datasets", "huggingface-hub"})
MOST, SINCE = 10, 2022
# Of what people meet most, more releases are read.
OFTEN = {
    "transformers": 28, "torch": 26,
    **dict.fromkeys(("pandas", "scikit-learn", "scipy", "matplotlib", "pytorch-lightning", "torchmetrics", "timm",
                     "sentence-transformers", "bitsandbytes", "wandb", "optuna", "torchvision"), 24),
    "llama-index-core": 7, **dict.fromkeys(("gradio", "gradio-client", "fastapi", "starlette", "streamlit", "numpy"), 14),
}  # fmt: skip
# Old code asks these for what they had long ago.
LONG_AGO, OF_OLD = 2019, frozenset({
    "torch", "timm", "pytorch-lightning", "torchmetrics", "spacy", "torchtext", "scikit-learn", "scipy", "pandas", "nltk",
    "seaborn", "matplotlib", "jinja2", "librosa", "gensim", "xgboost", "lightgbm", "flask", "werkzeug", "markupsafe", "wandb", "albumentations", "hydra-core", "omegaconf", "click", "pillow",
    "tqdm", "flair", "optuna", "sentence-transformers", "fsspec", "urllib3", "openai", "onnx",
    "bitsandbytes", "datasets", "torchvision", "streamlit", "pydantic", "protobuf", "lm-eval", "sentencepiece",
})  # fmt: skip
# Changed where what is read of a release changes.
READ = "around 3"
_DEEP, _NEAREST, _HEIRS = 2, 3, 8
# Of generated code and of what a package keeps for itself.
INNER = re.compile(r"\.(?:types|resources|proto|beta|_\w*|beta_types|vendor|compat|testing|internal|libs)(?:\.|$)")
Table = dict[str, dict[str, str]]


def spread(index: Index, package: str) -> list[Release]:
    """The last patch of minor series: all of them, or as many as are to be read, with both sides of each major."""
    last: dict[tuple[int, ...], Release] = {}
    for one in index.releases(package):
        file = one.linux_wheel or one.wheel
        since = LONG_AGO if package in OF_OLD else SINCE
        if one.is_prerelease or one.yanked or not file or not file.uploaded or file.uploaded.year < since:
            continue
        last[Version(one.version).release[:2]] = one
    kept, most = sorted(last), OFTEN.get(package, MOST)
    if len(kept) <= most:
        return [last[one] for one in kept]
    ends = {at for at, one in enumerate(kept) if at in (0, len(kept) - 1) or one[0] != kept[at - 1][0]}
    ends |= {at - 1 for at in ends if at}
    ends |= {
        round(part * (len(kept) - 1) / (max(most - len(ends), 0) + 1)) for part in range(max(most - len(ends), 0) + 2)
    }
    return [last[kept[at]] for at in sorted(ends)]


def fewer(read_of: list[dict[str, Any]]) -> dict[str, str]:
    """Function to the release from which on fewer arguments may be given by place, as `9:5>1`: at least two fewer."""
    found = {}
    for name in sorted(set().union(*(one["places"] for one in read_of))):
        counts = [one["places"].get(name) for one in read_of]
        drops = [
            f"{at}:{one}>{other}" for at, (one, other) in enumerate(itertools.pairwise(counts), 1)
            if one is not None and other is not None and other <= one - 2
        ]  # fmt: skip
        if drops:
            found[name] = " ".join(drops)
    return found


def turns(present: list[bool | None]) -> str:
    """At which of the releases a name came and went, by turns, as `3/7`; one that the first has begins with `/`."""
    return "/".join(turns_of([str(at) for at in range(len(present))], present))


def changed(read_of: list[dict[str, Any]], part: str) -> dict[str, dict[str, str]]:
    """Holder to turns to names. A release without the holder tells nothing of its names, nor does one in which a
    function takes any keyword: then nothing is kept of it."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for holder in sorted(set().union(*(one[part] for one in read_of))):
        told = [one[part].get(holder) for one in read_of]
        keyword = part == "arguments" and any(holder in one[part] and one[part][holder] is None for one in read_of)
        if keyword and told[-1] is None and told[0] is None:
            continue
        sets = [None if some is None else set(some) for some in told]
        for name in sorted(set().union(*(one for one in sets if one))):
            stays = turns([None if one is None else name in one for one in sets])
            if stays:
                found[holder][stays].append(name)
    return {holder: {stays: " ".join(names) for stays, names in some.items()} for holder, some in found.items()}


def homes(read_of: list[dict[str, Any]], own: dict[str, str], others: list[dict[str, Any]]) -> dict[str, str]:
    """Where names that went are now, by the newest release: in another module, or in a package of the family."""
    last = read_of[-1]["names"]
    lost: set[str] = set()
    for one in read_of[:-1]:
        for module, names in one["names"].items():
            if module.count(".") <= 2 and INNER.search(module) is None:
                lost |= set(names) - set(last.get(module, ()))
    upper = [{module: held for module, held in table.items() if module.count(".") <= 1} for table in others]
    found = {}
    for name in sorted(lost):
        if place := next(filter(None, (place_of(name, table) for table in (last, *upper))), None):
            found[name] = place
    return {**found, **own}


def place_of(name: str, names: dict[str, list[str]]) -> str | None:
    """The module of the fewest parts that has a name; None for what too many have."""
    some = [module for module, held in names.items() if name in held and module.count(".") <= 2]
    return min(some, key=lambda one: (one.count("."), len(one))) if 0 < len(some) <= 12 else None


def moved(gone: list[str], others: list[dict[str, Any]]) -> dict[str, str]:
    """Modules that went, and the package of the family that has them below its own name."""
    found = {}
    for module in gone:
        tail = module.partition(".")[2] if module.count(".") < _DEEP else ""
        every = (one for names in others for one in names if tail and one.partition(".")[2] == tail)
        if place := next(every, None):
            found[module] = place
    return found


def shown_of(read_of: list[dict[str, Any]], deep: int = 1) -> set[str]:
    """What the upper modules have: what deeper ones have alone, people's code does not name."""
    every = (names for one in read_of for module, names in one["names"].items() if module.count(".") <= deep)
    return set().union(*every)


def kept_modules(stays: str, name: str) -> bool:
    return INNER.search(name) is None and name.count(".") <= (3 if gone(stays) else 2)


def kept_names(table: Table) -> Table:
    """Names of upper modules; of deeper ones those that went, in the few modules that are nearest to the top."""
    nearest: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module in sorted(table, key=lambda one: (one.count("."), len(one))):
        for stays, names in table[module].items():
            for name in names.split() if INNER.search(module) is None else ():
                if module.count(".") <= (2 if gone(stays) else 1):
                    nearest[name, stays].append(module)
    kept: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (name, stays), modules in nearest.items():
        for module in modules[:_NEAREST]:
            kept[module][stays].append(name)
    return joined(kept)


def kept_of_shown(table: Table, shown: set[str]) -> Table:
    return {holder: some for holder, some in table.items() if holder.partition(".")[0] in shown}


def together_by_class(table: Table) -> Table:
    """Members that the same classes gained or lost, once for all of them: most are inherited."""
    holders: dict[tuple[str, str], list[str]] = defaultdict(list)
    for holder, some in table.items():
        for stays, names in some.items():
            for name in names.split():
                holders[stays, name].append(holder)
    kept: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (stays, name), some_holders in holders.items():
        if gone(stays) or len(some_holders) <= _HEIRS:
            kept[" ".join(sorted(some_holders))][stays].append(name)
    return joined(kept)


def gone(stays: str) -> bool:
    return stays.count("/") % 2 == 1


def joined(table: dict[str, dict[str, list[str]]]) -> Table:
    return {holder: {stays: " ".join(sorted(names)) for stays, names in some.items()} for holder, some in table.items()}


def newest_names(index: Index, package: str) -> dict[str, list[str]]:
    release = spread(index, package)[-1]
    file, roots = release.linux_wheel or release.wheel, ROOTS.get(package, (package.replace("-", "_"),))
    assert file is not None
    names: dict[str, list[str]] = index.remembered(file, READ, lambda: read(index, file, roots))["names"]
    return names


def of_package(package: str) -> tuple[str, dict[str, Any] | None]:
    warnings.simplefilter("ignore")
    index, roots = Index(connections=4), ROOTS.get(package, (package.replace("-", "_"),))
    kept, read_of = [], []
    try:
        for release in spread(index, package):
            file = release.linux_wheel or release.wheel
            assert file is not None
            got = index.remembered(file, READ, lambda file=file: read(index, file, roots))  # type: ignore[misc]
            if package == "torch":
                got = with_compiled(index, file, got)
            if got["modules"]:
                kept.append(release.version)
                read_of.append(got)
    except (InputError, NetworkError) as error:
        print(package, "not read:", repr(error)[:200], flush=True)
        return package, None
    print(package, len(kept), *kept[:1], *kept[-1:], flush=True)
    if len(kept) < 2:
        return package, None
    modules: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set().union(*(one["modules"] for one in read_of))):
        if stays := turns([name in one["modules"] for one in read_of]):
            modules[stays].append(name)
    modules = {stays: [one for one in names if kept_modules(stays, one)] for stays, names in modules.items()}
    went = [name for stays, names in modules.items() if gone(stays) for name in names]
    shown = (
        shown_of(read_of, 2 if package == "torch" else 1)
        if package != "transformers"
        else set().union(*(one["members"] for one in read_of))
    )
    if package == "transformers":
        modules, read_of = {}, [{**one, "names": {}} for one in read_of]
    others = [newest_names(index, one) for one in FAMILIES.get(package, ())]
    return package, {
        "now": homes(read_of, moved(went, others[::-1]), others),
        "roots": list(roots),
        "releases": kept,
        "modules": {stays: " ".join(names) for stays, names in modules.items() if names},
        "places": {name: told for name, told in fewer(read_of).items() if name.partition(".")[0] in shown},
        "names": kept_names(changed(read_of, "names")),
        "members": together_by_class(kept_of_shown(changed(read_of, "members"), shown)),
        "arguments": kept_of_shown(changed(read_of, "arguments"), shown),
    }


def with_compiled(index: Index, file: ReleaseFile, got: dict[str, Any]) -> dict[str, Any]:
    """What torch has of its compiled modules: their stubs list the functions and types of `torch` itself."""
    stubs = index.members(file, ["torch/_C/_VariableFunctions.pyi", "torch/_C/__init__.pyi"])
    if len(stubs) < 2:  # older releases have no such stubs: what they have is not known
        return {**got, "names": {module: names for module, names in got["names"].items() if module != "torch"}}
    names = set(got["names"].get("torch", ()))
    for text in stubs.values():
        names |= set(re.findall(r"^(?:def |class )?([a-z]\w*)(?:\(|: dtype|: layout)", text.decode(), re.MULTILINE))
    return {**got, "names": {**got["names"], "torch": sorted(names)}}


def main(packages: Iterable[str]) -> None:
    """Packages that are named are read, and join those that were read before."""
    with ProcessPoolExecutor(max_workers=4) as pool:
        document = {
            package: tables for package, tables in pool.map(of_package, packages, chunksize=1) if tables is not None
        }
    TARGET.write_text(
        json.dumps({"schema": 1, **document}, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8"
    )
    for package, tables in document.items():
        print(
            package,
            len(json.dumps(tables, separators=(",", ":"))),
            {part: len(json.dumps(tables[part])) for part in ("modules", "names", "members", "arguments")},
        )
    print(TARGET.stat().st_size, "bytes")


if __name__ == "__main__":
    main(sys.argv[1:] or [one for one in PACKAGES if one not in ELSEWHERE])
