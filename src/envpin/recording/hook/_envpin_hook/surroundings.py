"""What the training interpreter is: distributions, Python, torch, GPUs. Read, never imported, never started."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from typing import TYPE_CHECKING, Dict, List, Optional, TypedDict, cast

from _envpin_hook import guarded, module, redaction

if TYPE_CHECKING:
    from types import ModuleType


class InstalledDistribution(TypedDict, total=False):
    """An installed distribution, as a manifest lists it. Name and version are always there."""

    name: str
    version: str
    editable: bool
    direct_url: str


class DirectUrl(TypedDict, total=False):
    """direct_url.json (PEP 610), as far as it is read."""

    url: str
    dir_info: Dict[str, bool]
    vcs_info: Dict[str, str]
    archive_info: Dict[str, Dict[str, str]]


# Variables that change what a training run computes or how it is laid out; nothing else of the environment is kept.
VARIABLES = (
    "ACCELERATE_MIXED_PRECISION", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "ATEN_CPU_CAPABILITY",
    "CUBLASLT_WORKSPACE_SIZE", "CUBLAS_WORKSPACE_CONFIG", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING", "CUDA_VISIBLE_DEVICES", "CUDNN_DETERMINISTIC", "DNNL_MAX_CPU_ISA",
    "FLASH_ATTENTION_DETERMINISTIC", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HIPBLASLT_TENSILE_LIBPATH",
    "HIP_VISIBLE_DEVICES", "KMP_AFFINITY", "KMP_DETERMINISTIC_REDUCTION", "LOCAL_WORLD_SIZE", "MKL_CBWR",
    "MKL_DYNAMIC", "MKL_NUM_THREADS", "NCCL_ALGO", "NCCL_NVLS_ENABLE", "NCCL_P2P_DISABLE", "NCCL_PROTO",
    "NVIDIA_TF32_OVERRIDE", "NVTE_ALLOW_NONDETERMINISTIC_ALGO", "OMP_DYNAMIC", "OMP_NUM_THREADS",
    "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_NUM_THREADS", "PL_GLOBAL_SEED", "PYTHONHASHSEED",
    "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_CUDA_FUSER_DISABLE", "PYTORCH_ENABLE_MPS_FALLBACK", "TOKENIZERS_PARALLELISM",
    "TORCHINDUCTOR_FX_GRAPH_CACHE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_BLAS_PREFER_CUBLASLT",
    "TORCH_CUDNN_V8_API_DISABLED", "TORCH_NCCL_USE_COMM_NONBLOCKING", "TRANSFORMERS_OFFLINE",
    "VECLIB_MAXIMUM_THREADS", "WORLD_SIZE", "XLA_FLAGS",
)  # fmt: skip
# Packages that decide what a run computes: where they were imported from is looked at, once they are.
_DECISIVE = (
    "torch", "transformers", "peft", "accelerate", "trl", "datasets", "safetensors", "tokenizers", "bitsandbytes",
    "deepspeed", "unsloth",
)  # fmt: skip
_DIST_INFO = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._]*)-(?P<version>[0-9][^-]*)\.(?:dist-info|egg-info)$")

_cache: Dict[str, List[InstalledDistribution]] = {}


def rank() -> int:
    """Which of the run's processes this is: as torch says, where it was told without a variable (`mp.spawn`)."""
    distributed = module("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    value = os.environ.get("RANK", "0")
    return int(value) if value.isdigit() else 0


def environment() -> Dict[str, str]:
    return {name: redaction.text(os.environ[name]) for name in VARIABLES if name in os.environ}


def python() -> Dict[str, Optional[str]]:
    # os.confstr answers at once where platform.libc_ver would read the interpreter's file.
    libc = guarded("libc", _libc)
    return {
        "version": platform.python_version(),
        "implementation": sys.implementation.name,
        "build": " ".join(sys.version.split()),
        "platform": sys.platform,
        "machine": guarded("machine", lambda: os.uname().machine if hasattr(os, "uname") else platform.machine()),
        "libc": libc,
        "executable": sys.executable or None,
    }


def _libc() -> Optional[str]:
    if sys.platform != "linux":
        return None
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return "musl"


def distributions() -> List[InstalledDistribution]:
    """Every installed distribution, the first on sys.path where a name occurs twice; a decisive package that was
    imported from elsewhere as what it says that it is, from that folder. Computed once a process.

    Names and versions come from the folder names (`torch-2.4.0+cu121.dist-info`): reading 300 METADATA files would
    take a second on a cold disk.
    """
    if "distributions" not in _cache:
        found: Dict[str, InstalledDistribution] = {}
        folders: Dict[str, str] = {}
        for entry in list(sys.path):
            folder = entry or os.curdir
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                continue
            for name in names:
                one = guarded("reading " + name, _distribution, folder, name)
                if one is not None and one["name"] not in found:
                    found[one["name"]], folders[one["name"]] = one, folder
        for name in _DECISIVE:
            elsewhere = guarded("where " + name + " is", _imported_elsewhere, name, found.get(name), folders.get(name))
            if elsewhere is not None:
                found[name] = elsewhere
        # Their addresses may hold a password; taken out once, not at every save.
        clean = [redaction.document(found[name]) for name in sorted(found)]
        _cache["distributions"] = cast("List[InstalledDistribution]", clean)
    return list(_cache["distributions"])


def _imported_elsewhere(
    name: str, installed: Optional[InstalledDistribution], folder: Optional[str]
) -> Optional[InstalledDistribution]:
    """A package that was not imported from where its distribution lies: a copy in the project, a source tree on
    PYTHONPATH. None where it was, or was not imported, or its distribution says itself that it is elsewhere."""
    loaded = module(name)
    path = getattr(loaded, "__file__", None)
    if not isinstance(path, str) or (installed is not None and "direct_url" in installed):
        return None
    place = os.path.realpath(os.path.dirname(os.path.dirname(path)))
    if folder is not None and os.path.realpath(folder) == place and not _is_source(folder, name):
        return None
    version = getattr(loaded, "__version__", None) or (installed["version"] if installed is not None else None)
    if version is None:
        return None
    return {"name": name, "version": str(version), "direct_url": "file://" + place}


def _is_source(folder: str, name: str) -> bool:
    """Whether a folder holds the sources of a package: their metadata, which setuptools left, and no installation."""
    return os.path.isdir(os.path.join(folder, name + ".egg-info"))


def _distribution(folder: str, entry: str) -> Optional[InstalledDistribution]:
    if entry.endswith(".egg-link"):  # `setup.py develop`: the version stands in the linked folder
        with open(os.path.join(folder, entry), encoding="utf-8") as stream:
            source = stream.readline().strip()
        metadata = os.path.join(source, entry[: -len(".egg-link")].replace("-", "_") + ".egg-info", "PKG-INFO")
        linked = _from_metadata(metadata)
        if linked is not None:
            linked["editable"] = True
            linked["direct_url"] = "file://" + source
        return linked
    if not entry.endswith((".dist-info", ".egg-info")):
        return None
    path = os.path.join(folder, entry)
    one: Optional[InstalledDistribution] = None
    matched = _DIST_INFO.match(entry)
    if matched is not None and entry.endswith(".dist-info"):
        one = {"name": normalized(matched.group("name")), "version": matched.group("version")}
    elif os.path.isdir(path):
        one = _from_metadata(os.path.join(path, "METADATA" if entry.endswith(".dist-info") else "PKG-INFO"))
    else:
        one = _from_metadata(path)
    if one is None:
        return None
    if not os.access(os.path.join(path, "direct_url.json"), os.F_OK):
        return one
    with open(os.path.join(path, "direct_url.json"), encoding="utf-8") as stream:
        direct = json.load(stream)
    one["direct_url"] = _direct_url(direct)
    if direct.get("dir_info", {}).get("editable"):
        one["editable"] = True
    return one


def _from_metadata(path: str) -> Optional[InstalledDistribution]:
    fields: Dict[str, str] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if not line.strip():
                    break
                key, colon, value = line.partition(":")
                if colon and key in ("Name", "Version"):
                    fields[key] = value.strip()
    except OSError:
        return None
    if "Name" not in fields or "Version" not in fields:
        return None
    return {"name": normalized(fields["Name"]), "version": fields["Version"]}


def _direct_url(direct: DirectUrl) -> str:
    """A PEP 610 record as one URL that pip understands, without credentials."""
    url = redaction.text(str(direct.get("url", "")))
    vcs = direct.get("vcs_info")
    if isinstance(vcs, dict):
        return "%s+%s@%s" % (vcs.get("vcs", "git"), url, vcs.get("commit_id", ""))
    hashes = (direct.get("archive_info") or {}).get("hashes") or {}
    return str(url) + ("#sha256=" + hashes["sha256"] if "sha256" in hashes else "")


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def torch() -> Optional[Dict[str, object]]:
    """The torch of this process. CUDA is asked only where the run itself has initialized it."""
    loaded = module("torch")
    if loaded is None:
        return None
    version = getattr(loaded, "version", None)
    return {
        "version": str(getattr(loaded, "__version__", "")) or None,
        "cuda": getattr(version, "cuda", None),
        "hip": getattr(version, "hip", None),
        "driver": guarded("driver", _driver),
        "gpus": guarded("gpus", _gpus, loaded) or [],
    }


def _driver() -> Optional[str]:
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8", errors="replace") as stream:
            found = re.search(r"Kernel Module[^0-9]*(?:for \S+)?\s+([0-9]+(?:\.[0-9]+)+)", stream.read())
    except OSError:
        return None
    return found.group(1) if found else None


def _gpus(loaded: ModuleType) -> List[Dict[str, object]]:
    if loaded.cuda.is_initialized():
        found = []
        for index in range(loaded.cuda.device_count()):
            properties = loaded.cuda.get_device_properties(index)
            found.append(
                {
                    "name": properties.name,
                    "capability": "%d.%d" % (properties.major, properties.minor),
                    "memory": int(properties.total_memory),
                }
            )
        return found
    folder = "/proc/driver/nvidia/gpus"
    try:
        entries = sorted(os.listdir(folder))
    except OSError:
        return []
    found = []
    for entry in entries:
        with open(os.path.join(folder, entry, "information"), encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if line.startswith("Model:"):
                    found.append({"name": line.partition(":")[2].strip()})
    return found
