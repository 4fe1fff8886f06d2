"""Twenty answers of the collected stack, held against the releases themselves, installed on both sides of a boundary.

    .venv/bin/python benchmarks/stack.py [PACKAGE …]

For each, the last release without a model and the first with it are installed without their dependencies and asked, by
other means than the collector reads with: `import` imports the registry, `run` runs its file with every other import
stubbed, `text` looks for the word in the files. UV_FIND_LINKS may name a folder with a CPU build of torch 2.13.0.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from envpin.envs.uv.command import find_uv
from envpin.matrix.stack import load_stack, shipped_stack_path

# What the imports need; transformers is one that every asked peft and llamafactory imports.
HOST = ("torch==2.13.0", "transformers==4.55.4", "peft==0.17.1", "numpy<2.4", "pyyaml", "pydantic", "loguru",
        "accelerate", "datasets<4", "frozendict", "omegaconf", "fire", "setuptools<80", "tqdm")  # fmt: skip


class Question(NamedTuple):
    """What is asked of both sides. For `import` and `run`, `where` is an expression or a file and a name in it."""

    package: str
    kind: str
    name: str
    how: str
    where: str = ""


_GGUF = "gguf/constants.py:MODEL_ARCH_NAMES"
_CTRANSLATE2 = "__import__('ctranslate2.converters.transformers').converters.transformers._MODEL_LOADERS"
_LIGER = "liger_kernel/transformers/monkey_patch.py:MODEL_TYPE_TO_APPLY_LIGER_FN"
_UNSLOTH = "unsloth/models/mapper.py:FLOAT_TO_INT_MAPPER"
_PEFT = "__import__('peft.utils').utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING"
_QUANTIZERS = "__import__('transformers.quantizers.auto').quantizers.auto.AUTO_QUANTIZATION_CONFIG_MAPPING"
_VLLM = "vllm/model_executor/models/registry.py:_VLLM_MODELS"
_LMDEPLOY = "lmdeploy/pytorch/models/module_map.py:MODULE_MAP"
_FACTORY = "llamafactory/extras/constants.py:SUPPORTED_MODELS"
# Where the word is looked for, below the package.
_KINDS = {"ms-swift": "model", "sglang": "models", "exllamav3": "", "optimum-onnx": "exporters",
          "compressed-tensors": "config"}  # fmt: skip
QUESTIONS = (
    Question("gguf", "gguf_architectures", "qwen3moe", "run", _GGUF),
    Question("gguf", "gguf_architectures", "gemma3", "run", _GGUF),
    Question("ctranslate2", "configs", "Qwen3Config", "import", _CTRANSLATE2),
    Question("ctranslate2", "configs", "Gemma3TextConfig", "import", _CTRANSLATE2),
    Question("peft", "lora_targets", "qwen3", "import", _PEFT),
    Question("transformers", "quantizations", "mxfp4", "import", _QUANTIZERS),
    Question("llamafactory", "repositories", "Qwen/Qwen2.5-VL-7B-Instruct", "run", _FACTORY),
    Question("liger-kernel", "model_types", "qwen3", "run", _LIGER),
    Question("liger-kernel", "model_types", "gemma3", "run", _LIGER),
    Question("unsloth", "repositories", "Qwen/Qwen3-8B", "run", _UNSLOTH),
    Question("unsloth", "repositories", "google/gemma-3-4b-it", "run", _UNSLOTH),
    Question("vllm", "architectures", "Qwen3MoeForCausalLM", "run", _VLLM),
    Question("lmdeploy", "architectures", "Qwen3MoeForCausalLM", "run", _LMDEPLOY),
    Question("compressed-tensors", "formats", "mxfp4-pack-quantized", "text"),
    Question("sglang", "architectures", "Qwen3ForCausalLM", "text"),
    Question("sglang", "architectures", "GptOssForCausalLM", "text"),
    Question("mlx-lm", "model_types", "gpt_oss", "file", "mlx_lm/models/gpt_oss.py"),
    Question("mlx-lm", "model_types", "qwen3_moe", "file", "mlx_lm/models/qwen3_moe.py"),
    Question("exllamav3", "architectures", "Qwen3NextForCausalLM", "text"),
    Question("torchtune", "models", "qwen2_5", "file", "torchtune/models/qwen2_5/_model_builders.py"),
    Question("ms-swift", "architectures", "Qwen3MoeForCausalLM", "text"),
    Question("optimum-onnx", "model_types", "gemma3", "text"),
)  # fmt: skip
STUBBED = """
import importlib.abc, importlib.machinery, runpy, sys
class Anything(type):
    def __getattr__(cls, name):
        if name == "__version__": return "99.0"
        if name.startswith("__"): raise AttributeError(name)
        return Anything(name, (), {})
    def __call__(cls, *given, **named): return given[0] if len(given) == 1 and callable(given[0]) else cls
    def __getitem__(cls, key): return cls
    def __or__(cls, other): return cls
    __ror__ = __or__
    def __iter__(cls): return iter(())
    def __contains__(cls, key): return False
    def __lt__(cls, other): return False
    __gt__ = __le__ = __ge__ = __lt__
class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.stdlib_module_names: return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec): return None
    def exec_module(self, module):
        module.__getattr__ = lambda name: getattr(Anything("m", (), {}), name)
sys.meta_path.insert(0, Finder())
file, _, name = sys.argv[1].partition(":")
found = runpy.run_path(file, run_name="stubbed.registry")
table = found[name]
print(repr(sorted(map(str, table))))
if isinstance(table, dict): print(repr(list(table.values())))
"""


def installed(folder: Path, package: str, version: str, host: Path) -> Path:
    target = folder / f"{package}-{version}"
    subprocess.run([find_uv().path, "pip", "install", "-q", "--target", target, "--no-deps", "--python", host,
                    f"{package}=={version}"], check=True)  # fmt: skip
    return target


def listed(question: Question, place: Path, host: Path) -> bool:
    """Whether the installed release has the model, by what it says itself."""
    if question.how == "file":
        return (place / question.where).is_file()
    if question.how == "text":
        word = re.compile(rb"(?<![\w-])" + re.escape(question.name.encode()) + rb"(?![\w-])")
        below = f"/{_KINDS[question.package]}"
        return any(below in str(path) and word.search(path.read_bytes()) for path in place.rglob("*.py"))
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(place), "CUDA_VISIBLE_DEVICES": ""}
    if question.how == "import":
        program = ["-c", f"print(repr(list({question.where})))"]
    else:
        program = ["-c", STUBBED, str(place / question.where)]
    done = subprocess.run([host, *program], env=variables, capture_output=True, text=True, check=False, cwd=place)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return f"'{question.name}'" in done.stdout or f"'{question.name.lower()}'" in done.stdout


def main(packages: list[str]) -> int:
    stack, wrong, answers = load_stack(shipped_stack_path()), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        host = Path(folder, "host")
        subprocess.run([find_uv().path, "venv", "-q", "--python", "3.11", host], check=True)
        python = host / "bin" / "python"
        asked = [one for one in QUESTIONS if not packages or one.package in packages]
        if any(one.how == "import" for one in asked):
            subprocess.run([find_uv().path, "pip", "install", "-q", "--python", python, *HOST], check=True)
        for question in asked:
            tool = stack.tools[question.package]
            spans = tool.registries[question.kind].get(question.name)
            if not spans or spans[0][0] == 0:
                print(f"  no boundary: {question.package} {question.name}", flush=True)
                continue
            before, after = tool.read[spans[0][0] - 1].version, tool.read[spans[0][0]].version
            start, said = time.perf_counter(), []
            for version in (before, after):
                try:
                    place = installed(Path(folder), question.package, version, python)
                    said.append("lists" if listed(question, place, python) else "lists not")
                    subprocess.run(["rm", "-rf", place], check=True)
                except (RuntimeError, subprocess.CalledProcessError) as error:
                    said.append(f"could not be asked: {str(error)[:90]}")
            right = said == ["lists not", "lists"]
            answers, wrong = answers + 1, wrong + (not right)
            took = f"({question.how}, {time.perf_counter() - start:.0f} s)"
            line = f"{question.package:18} {question.name:28} {before:>12} {said[0]}, {after} {said[1]} {took}"
            print("right" if right else "WRONG", line, flush=True)
    print(f"{answers - wrong} of {answers} answers are those of the installed releases")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
