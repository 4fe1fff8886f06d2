"""What the torch of an environment is, by its own word, and whether that fits its label, its neighbours, the driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.core.errors import BuildError
from envpin.core.files import read_bounded
from envpin.core.torch_builds import backend_of, cuda_of, is_older, oldest_driver, rocm_of
from envpin.core.versions import label_of
from envpin.envs.store.environment import site_packages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from envpin.core.findings import Finding
    from envpin.envs.store.receipt import Artifact

_LIMIT = 1 << 16  # torch/version.py has some 300 bytes


class TorchInside(NamedTuple):
    """`torch.__version__`, `torch.version.cuda` and `torch.version.hip`."""

    version: str | None
    cuda: str | None
    hip: str | None


def installed_torch(environment: Path) -> TorchInside | None:
    """What torch/version.py says, read and not run; None where there is no torch."""
    try:
        text = read_bounded(site_packages(environment) / "torch" / "version.py", _LIMIT).decode("utf-8", "replace")
    except OSError:
        return None
    return TorchInside(version=_value(text, "__version__"), cuda=_value(text, "cuda"), hip=_value(text, "hip"))


def refuse_mislabelled(environment: Path, artifacts: Iterable[Artifact]) -> None:
    """
    Raises:
        BuildError: the wheel of torch names one build, and the torch in it says that it is another.
    """
    torch = installed_torch(environment)
    artifact = next((one for one in artifacts if one.name == "torch"), None)
    backend = backend_of(label_of(artifact.version)) if artifact is not None else None
    if torch is None or torch.version is None or artifact is None or backend is None:
        return
    rocm = rocm_of(backend)
    as_named = torch.cuda == cuda_of(backend) and (
        torch.hip is None if rocm is None else (torch.hip or "").startswith(rocm)
    )
    if backend != "xpu" and not as_named:
        raise BuildError(
            f"`{artifact.wheel}` names the build `{backend}`, and the torch in it says CUDA {torch.cuda or 'none'}"
            + (f", ROCm {torch.hip}" if torch.hip else ""),
            hint="do not use that index for torch; name another with UV_INDEX or UV_DEFAULT_INDEX",
        )


def torch_findings(
    environment: Path, artifacts: Callable[[], Sequence[Artifact]], *, driver: str | None
) -> tuple[Finding, ...]:
    """What may keep torch off the GPU: a driver that is too old for its CUDA, and libraries of two CUDA majors.

    `artifacts` is asked only where torch is built for CUDA.
    """
    torch = installed_torch(environment)
    if torch is None or torch.cuda is None:
        return ()
    from envpin.core.findings import Evidence, Finding

    found = []
    oldest = oldest_driver(torch.cuda)
    if driver is not None and oldest is not None and is_older(driver, oldest):
        found.append(
            Finding(
                code="cuda-driver-too-old",
                severity="warning",
                message=f"torch was built for CUDA {torch.cuda}, which needs the driver {oldest}; this one is {driver}",
                evidence=(Evidence(file="torch/version.py", found=f"driver {driver}", expected=f"{oldest} or newer"),),
                fix=("take a build for an older CUDA, or for the CPU: --torch-backend cu118, --torch-backend cpu",),
            )
        )
    majors = {torch.cuda.partition(".")[0]: ["torch"]}
    for one in artifacts():
        if (major := _cuda_major(one)) is not None:
            majors.setdefault(major, []).append(one.name)
    if len(majors) > 1:
        listed = "; ".join(f"CUDA {major}: {', '.join(sorted(names)[:3])}" for major, names in sorted(majors.items()))
        found.append(
            Finding(
                code="cuda-majors-mixed",
                severity="warning",
                message=f"packages of {len(majors)} CUDA majors are in this environment ({listed})",
                fix=("pin one build for all: --torch-backend cu126",),
            )
        )
    return tuple(found)


def _cuda_major(artifact: Artifact) -> str | None:
    found = re.fullmatch(r"nvidia-.*-cu(\d{2})", artifact.name)
    return found[1] if found else None


def _value(text: str, name: str) -> str | None:
    """The string that a line assigns to `name`, with or without an annotation."""
    found = re.search(rf"^{name}(?::[^=\n]+)?\s*=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return found[1] if found else None
