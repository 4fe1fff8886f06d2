"""How near the rebuilt environment is to the recorded one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
from packaging.utils import canonicalize_name

from envpin.core.versions import label_of, same_build, same_release
from envpin.manifest.base_weights import WeightsState  # noqa: TC001  # msgspec resolves the annotation at run time
from envpin.manifest.closure import IF_RECORDED, MERGE_CLOSURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from envpin.manifest.base_weights import WeightsComparison
    from envpin.manifest.closure import Closure
    from envpin.manifest.types import Manifest

Kind = Literal["identical", "identical-environment", "explained-drift", "mismatch", "unrecorded"]
Class = Literal[
    "torch-build", "python-patch", "python-minor", "platform", "dependency", "source", "version", "missing",
    "base-weights", "base-config", "adapter", "adapter-setting",
]  # fmt: skip
# From the one that says most to the one that stops.
ORDER: tuple[Kind, ...] = ("identical", "identical-environment", "explained-drift", "unrecorded", "mismatch")
# Differences that can change what a merge computes and that nothing here can explain away.
_REFUSED: frozenset[Class] = frozenset({"version", "source", "missing", "base-weights"})
_CONFIG = "adapter_config.json"
# What a config says of where it lies and how it is loaded, not of what was trained.
_OF_PLACE = frozenset({"base_model_name_or_path", "revision", "inference_mode"})
_SETS = frozenset({"target_modules", "exclude_modules", "modules_to_save"})
_LONGEST = 60


class EnvironmentDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: of what, what was recorded, what was rebuilt, and its class."""

    what: str
    recorded: str
    rebuilt: str
    cls: Class = msgspec.field(name="class")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`identical`: no difference, and every file of the base's weights is the recorded one. `identical-environment`:
    no difference in the environment, and the base's weights were not compared, or not whole. `explained-drift`:
    differences of harmless classes, or files and settings of the adapter or a config of the base that are not those of
    the training, each named. `mismatch`: others. `unrecorded`: there is no manifest to compare with.

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


def asked_for(verdict: Verdict) -> Verdict:
    """The same of an environment that the user named in place of the recorded one: with other versions it is no
    mismatch, and no record tells of it."""
    return msgspec.structs.replace(verdict, kind="unrecorded") if verdict.kind == "mismatch" else verdict


def judge_base(
    verdict: Verdict, weights: WeightsComparison, *, config: str | None = None, recorded: Iterable[str | None] = ()
) -> Verdict:
    """The verdict on the environment, in the light of what is known about the base: its weights, and the digest of its
    config.json next to those that were recorded.

    What was not recorded or not compared never counts as equal.
    """
    kind, differences = verdict.kind, verdict.differences
    other = next((one for one in recorded if one is not None and config is not None and one != config), None)
    if other is not None and config is not None:
        kind = _drifted(kind)
        differences += (
            EnvironmentDifference(what="base config.json", recorded=other, rebuilt=config, cls="base-config"),
        )
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


def judge_adapter(
    verdict: Verdict,
    manifest: Manifest | None,
    files: Mapping[str, str],
    *,
    settings: Mapping[str, object] | None = None,
    name: str = "",
) -> Verdict:
    """The verdict in the light of the adapter's own files: `files` are their digests, by name, `settings` its config.

    A file that is not the one that was saved is another adapter, or the same one edited: named, and never `identical`.
    Of the config each setting counts; pointing it at a base elsewhere is what its readers have to do.
    """
    saved = manifest.saved if manifest is not None else None
    if saved is None:
        return verdict
    changed = tuple(
        EnvironmentDifference(what=f"{name}{file}", recorded=saved.files[file], rebuilt=found, cls="adapter")
        for file, found in sorted(files.items())
        if file != _CONFIG and saved.files.get(file, found) != found
    )
    if saved.config is not None and settings is not None:
        changed += tuple(_settings(saved.config, settings, f"{name}{_CONFIG}"))
    if not changed:
        return verdict
    return msgspec.structs.replace(verdict, kind=_drifted(verdict.kind), differences=verdict.differences + changed)


def _drifted(kind: Kind) -> Kind:
    return "explained-drift" if kind in {"identical", "identical-environment"} else kind


def _settings(
    recorded: Mapping[str, object], found: Mapping[str, object], file: str
) -> Iterator[EnvironmentDifference]:
    for key in sorted({*recorded, *found} - _OF_PLACE):
        then, now = recorded.get(key), found.get(key)
        if _comparable(key, then) != _comparable(key, now):
            what = f"`{key}` of {file}"
            yield EnvironmentDifference(
                what=what, recorded=_shown(key, recorded), rebuilt=_shown(key, found), cls="adapter-setting"
            )


def _comparable(key: str, value: object) -> object:
    """peft keeps lists of names as sets, and releases differ in whether they write what is not set."""
    if value is None or value is False or value in ({}, [], ""):
        return None
    if type(value) in {int, float}:
        return value  # 8 and 8.0 are one number
    if key in _SETS and isinstance(value, list):
        return sorted(map(str, value))
    return msgspec.json.encode(value, order="sorted")


def _shown(key: str, settings: Mapping[str, object]) -> str:
    if key not in settings:
        return "absent"
    text = msgspec.json.encode(settings[key]).decode()
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


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
        elif name in MERGE_CLOSURE and name != "torch" and not same_build(recorded[name], packages[name]):
            found.append(
                EnvironmentDifference(what=name, recorded=recorded[name], rebuilt=packages[name], cls="dependency")
            )
    found += [
        EnvironmentDifference(what=name, recorded=recorded[name], rebuilt="absent", cls="missing")
        for name in MERGE_CLOSURE
        if name in recorded and name not in packages
    ]
    return found
