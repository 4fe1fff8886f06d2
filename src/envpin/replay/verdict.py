"""How near the rebuilt environment is to the recorded one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
from packaging.utils import canonicalize_name

from envpin.core.versions import label_of, same_build, same_release
from envpin.manifest.base_weights import WeightsState  # noqa: TC001  # msgspec resolves the annotation at run time
from envpin.manifest.closure import IF_RECORDED, MERGE_CLOSURE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.manifest.base_weights import WeightsComparison
    from envpin.manifest.closure import Closure
    from envpin.manifest.types import Manifest

Kind = Literal["identical", "identical-environment", "explained-drift", "mismatch", "unrecorded"]
Class = Literal[
    "torch-build", "python-patch", "python-minor", "platform", "dependency", "source", "version", "missing",
    "base-weights", "adapter",
]  # fmt: skip
# From the one that says most to the one that stops.
ORDER: tuple[Kind, ...] = ("identical", "identical-environment", "explained-drift", "unrecorded", "mismatch")
# Differences that can change what a merge computes and that nothing here can explain away.
_REFUSED: frozenset[Class] = frozenset({"version", "source", "missing", "base-weights"})


class EnvironmentDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: of what, what was recorded, what was rebuilt, and its class."""

    what: str
    recorded: str
    rebuilt: str
    cls: Class = msgspec.field(name="class")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`identical`: no difference, and every file of the base's weights is the recorded one. `identical-environment`:
    no difference in the environment, and the base's weights were not compared, or not whole. `explained-drift`:
    differences of harmless classes, or files of the adapter that are not those that were saved, each named.
    `mismatch`: others. `unrecorded`: there is no manifest to compare with.

    `base_reason` says why the weights of the base were not compared, where there is something to say.
    """

    kind: Kind
    differences: tuple[EnvironmentDifference, ...] = ()
    base_weights: WeightsState = "not recorded"
    base_reason: str | None = None

    @property
    def base_words(self) -> str:
        """What is known about the weights of the base, for a line that begins with `base weights`."""
        return f"{self.base_weights}: {self.base_reason}" if self.base_reason else self.base_weights


class RebuiltEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """What the rebuilt environment is: versions by normalized name, `torch.__version__`, Python, platform."""

    packages: dict[str, str]
    python: str
    platform: str
    machine: str = ""
    torch: str | None = None


def judge(manifest: Manifest | None, closure: Closure | None, rebuilt: RebuiltEnvironment) -> Verdict:
    """Compare what the manifest recorded with what was rebuilt, over the packages that are in the rebuilt one."""
    if manifest is None or closure is None:
        return Verdict(kind="unrecorded")
    differences = [
        *_python(manifest, rebuilt),
        *_torch(manifest, rebuilt),
        *_packages(manifest, rebuilt.packages),
        *(
            EnvironmentDifference(
                what=one.name, recorded=f"{one.version}, {one.reason}", rebuilt="a release of the index", cls="source"
            )
            for one in closure.unpinnable
        ),
    ]
    if any(one.cls in _REFUSED for one in differences):
        return Verdict(kind="mismatch", differences=tuple(differences))
    return Verdict(kind="explained-drift" if differences else "identical", differences=tuple(differences))


def judge_base(verdict: Verdict, weights: WeightsComparison) -> Verdict:
    """The verdict on the environment, in the light of what is known about the weights of the base.

    What was not recorded or not compared never counts as equal.
    """
    kind, differences = verdict.kind, verdict.differences
    if weights.state == "differ":
        kind = "mismatch"
        differences += tuple(
            EnvironmentDifference(
                what=f"base {one.file}",
                recorded=one.recorded or "absent",
                rebuilt=one.found or "absent",
                cls="base-weights",
            )
            for one in weights.differences
        )
    elif kind == "identical" and weights.state != "equal":
        kind = "identical-environment"
    return Verdict(kind=kind, differences=differences, base_weights=weights.state, base_reason=weights.reason)


def judge_adapter(verdict: Verdict, manifest: Manifest | None, files: Mapping[str, str], *, name: str = "") -> Verdict:
    """The verdict in the light of the adapter's own files: `files` are their digests, by name.

    A file that is not the one that was saved is another adapter, or the same one edited: named, and never `identical`.
    The config is left out: pointing it at a base elsewhere is what its readers have to do.
    """
    recorded = manifest.saved.files if manifest is not None and manifest.saved is not None else {}
    changed = tuple(
        EnvironmentDifference(what=f"{name}{file}", recorded=recorded[file], rebuilt=found, cls="adapter")
        for file, found in sorted(files.items())
        if file != "adapter_config.json" and recorded.get(file, found) != found
    )
    if not changed:
        return verdict
    kind: Kind = "explained-drift" if verdict.kind in {"identical", "identical-environment"} else verdict.kind
    return msgspec.structs.replace(verdict, kind=kind, differences=verdict.differences + changed)


def _python(manifest: Manifest, rebuilt: RebuiltEnvironment) -> list[EnvironmentDifference]:
    found: list[EnvironmentDifference] = []
    recorded = manifest.python
    if recorded is None:
        return found
    if recorded.version and recorded.version != rebuilt.python:
        minor = recorded.version.split(".")[:2] != rebuilt.python.split(".")[:2]
        cls: Class = "python-minor" if minor else "python-patch"
        found.append(EnvironmentDifference(what="python", recorded=recorded.version, rebuilt=rebuilt.python, cls=cls))
    for what, one, other in (
        ("platform", recorded.platform, rebuilt.platform),
        ("machine", recorded.machine, rebuilt.machine),
    ):
        if one and other and one.lower() != other.lower():
            found.append(EnvironmentDifference(what=what, recorded=one, rebuilt=other, cls="platform"))
    return found


def _torch(manifest: Manifest, rebuilt: RebuiltEnvironment) -> list[EnvironmentDifference]:
    recorded = manifest.torch.version if manifest.torch else None
    recorded = recorded or _labelled(manifest.version_of("torch"))
    other = rebuilt.torch or _labelled(rebuilt.packages.get("torch"))
    # Another version altogether is said by the comparison of the packages.
    if recorded and other and same_release(recorded, other) and not same_build(recorded, other):
        return [EnvironmentDifference(what="torch", recorded=recorded, rebuilt=other, cls="torch-build")]
    return []


def _labelled(version: str | None) -> str | None:
    """A version that says which build it is: that of a distribution need not."""
    return version if label_of(version) is not None else None


def _packages(manifest: Manifest, packages: Mapping[str, str]) -> list[EnvironmentDifference]:
    recorded = {str(canonicalize_name(one.name)): one.version for one in manifest.distributions}
    found: list[EnvironmentDifference] = []
    for name in sorted(packages):
        important = name in MERGE_CLOSURE or name in IF_RECORDED
        if name not in recorded:
            # A CUDA build brings its nvidia packages along; the torch build difference already says so.
            if not name.startswith(("nvidia-", "triton", "cuda-")):
                found.append(
                    EnvironmentDifference(what=name, recorded="absent", rebuilt=packages[name], cls="dependency")
                )
        elif not same_release(recorded[name], packages[name]):
            cls: Class = "version" if important else "dependency"
            found.append(EnvironmentDifference(what=name, recorded=recorded[name], rebuilt=packages[name], cls=cls))
    found += [
        EnvironmentDifference(what=name, recorded=recorded[name], rebuilt="absent", cls="missing")
        for name in MERGE_CLOSURE
        if name in recorded and name not in packages
    ]
    return found
