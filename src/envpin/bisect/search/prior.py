"""What wheels tell for free about where a change may be: a weight for each release, and why. Nothing is installed.

A weight never excludes: a release that the wheels are silent about keeps its share, so a wrong guess costs a probe or
two and never the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from packaging.version import Version

from envpin.core.files import digest
from envpin.core.versions import release_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Find: TypeAlias = Literal["broke", "fixed"]

# How much more likely the change is at a release where the wheels show this, than at one where they show nothing.
# Judgements: their order matters, their size hardly, since no weight is zero and certainty is computed without them.
_APPEARS = 400.0  # a name that the probe needs appears or disappears
_REWRITTEN = 40.0  # the family's own modelling code changes its public names
_TOUCHED = 4.0  # its code changes at all
_MINOR = 3.0  # a release with new features
_MAJOR = 8.0  # a new major release, which may break on purpose
# More lacking names than this come from a file that lists folders instead: see where it is used.
_FEW = 3
_HARM = ("import of", "lack of", "a torch floor")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What was read from one wheel. `marks` are facts that matter when they appear or disappear (`model type qwen2`),
    `names` the public names of the family's code, `code` digests of its files. None: the wheel could not be read."""

    marks: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    code: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """`weights` has one positive number per release (the first is not used); `reasons` explains the heavy ones."""

    weights: tuple[float, ...]
    reasons: Mapping[int, str]


def guess(versions: Sequence[str], readings: Sequence[Reading | None], find: Find = "broke") -> Guess:
    """Weigh each release by what changed between it and the one before it, in the direction that is searched for."""
    weights = [1.0]
    reasons: dict[int, str] = {}
    for index in range(1, len(versions)):
        weight = _by_number(versions[index - 1], versions[index])
        before, here = readings[index - 1], readings[index]
        if before is not None and here is not None:
            factor, reason = _by_contents(before, here, find)
            weight *= factor
            if reason:
                reasons[index] = reason
        weights.append(weight)
    return Guess(weights=tuple(weights), reasons=reasons)


def _by_number(before: str, here: str) -> float:
    old, new = Version(before).release, Version(here).release
    if old[0] != new[0]:
        return _MAJOR
    return _MINOR if old[1:2] != new[1:2] else 1.0


def _by_contents(before: Reading, here: Reading, find: Find) -> tuple[float, str]:
    appeared, gone = here.marks - before.marks, before.marks - here.marks
    # What only does harm cannot break anything by going, nor mend anything by coming.
    if find == "broke":
        gone = frozenset(mark for mark in gone if not mark.startswith(_HARM))
    else:
        appeared = frozenset(mark for mark in appeared if not mark.startswith(_HARM))
    if appeared or gone:
        words = [f"{mark} appears" for mark in sorted(appeared)] + [f"{mark} is gone" for mark in sorted(gone)]
        return _APPEARS, ", ".join(words)
    if before.names and here.names and before.names != here.names:
        changed = sorted(before.names ^ here.names)
        return _REWRITTEN, f"names change in its code: {', '.join(changed[:4])}"
    if before.code != here.code:
        return _TOUCHED, "its code changes"
    return 1.0, ""


# --- reading: from the text of a wheel's members to marks; no I/O --------------------------------------------------

_MAPPING_FILES = (
    "transformers/models/auto/configuration_auto.py",
    "transformers/models/auto/auto_mappings.py",
)
_TYPE = re.compile(r"""^\s*\(?\s*["']([\w.-]+)["']\s*[,:]""", re.MULTILINE)
_DEFINED = re.compile(r"^(?:class|def) (\w+)", re.MULTILINE)
_FROM_IMPORT = re.compile(r"^from transformers import (\([^)]*\)|[^\n(]+)", re.MULTILINE)
_TORCH_FLOOR = re.compile(r"^Requires-Dist: torch *\(?[^;\n]*>=? *([0-9][0-9.]*[0-9])", re.MULTILINE)
_FUSED = re.compile(r"nn\.Parameter\(\s*torch\.(?:empty|zeros)\(\s*self\.num_experts")


_ROPE = "transformers/modeling_rope_utils.py"
_EXPORTS = "transformers/__init__.py"
_PEFT_FILES = (
    "peft/peft_model.py", "peft/auto.py", "peft/mapping.py", "peft/mapping_func.py", "peft/utils/__init__.py",
    "peft/utils/save_and_load.py", "peft/utils/constants.py", "peft/utils/other.py", "peft/tuners/tuners_utils.py",
    "peft/tuners/lora/model.py", "peft/tuners/lora/layer.py",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeSubject:
    """What the probe is about, as far as wheels can speak of it.

    `exports` are the words of the held transformers' `__init__.py` (when peft is searched), `imports` the names that
    the held peft imports from transformers (when transformers is searched): a name that one needs and the other lacks
    is an ImportError to come. `torch` is the held torch: a release that declares a floor above it will not use it.
    None: not known.
    """

    package: str
    model_type: str | None = None
    rope_type: str | None = None
    exports: frozenset[str] | None = None
    imports: frozenset[str] | None = None
    torch: str | None = None

    def members(self, version: str) -> tuple[str, ...]:
        """The members of a release's wheel that are worth reading; none where wheels have nothing to say."""
        if self.package == "peft":
            return (*_PEFT_FILES, *self._metadata(version))
        if self.package != "transformers":
            return ()
        names = [*_MAPPING_FILES, *self._metadata(version)]
        if self.rope_type is not None:
            names.append(_ROPE)
        if self.imports is not None:
            names.append(_EXPORTS)
        if self.model_type is not None:
            folder = f"transformers/models/{self.model_type}"
            names += [f"{folder}/modeling_{self.model_type}.py", f"{folder}/configuration_{self.model_type}.py"]
        return tuple(names)

    def _metadata(self, version: str) -> tuple[str, ...]:
        return (f"{self.package}-{version}.dist-info/METADATA",) if self.torch is not None else ()


def exported(text: str) -> frozenset[str]:
    """Every word of a package's `__init__.py`: a name that is not among them is not exported."""
    return frozenset(re.findall(r"\w+", text))


def imported(texts: Iterable[str]) -> frozenset[str]:
    """Names that these modules import from the top of transformers, when they are themselves imported."""
    found: set[str] = set()
    for text in texts:
        for match in _FROM_IMPORT.finditer(text):
            found |= set(re.findall(r"\b[A-Za-z]\w+", match[1])) - {"as", "noqa"}
    return frozenset(found)


def read(subject: ProbeSubject, members: Mapping[str, bytes]) -> Reading:
    """Make a reading of the members that a wheel has."""
    texts = {name: data.decode("utf-8", errors="replace") for name, data in members.items()}
    if subject.package == "peft":
        lacking = imported(texts.values()) - subject.exports if subject.exports is not None else frozenset()
        marks = {f"import of `{name}`, which the held transformers lacks" for name in lacking}
        marks |= _torch_floor(subject, texts)
        code = sorted(name for name in texts if name.endswith(".py"))
        return Reading(marks=frozenset(marks), code=_code(texts, code))
    return _read_transformers(subject, texts)


def _read_transformers(subject: ProbeSubject, texts: Mapping[str, str]) -> Reading:
    model_type, marks = subject.model_type, _torch_floor(subject, texts)
    if any(model_type in _TYPE.findall(texts.get(name, "")) for name in _MAPPING_FILES):
        marks.add(f"model type `{model_type}`")
    if subject.rope_type is not None and re.search(
        rf"""["']{re.escape(subject.rope_type)}["']""", texts.get(_ROPE, "")
    ):
        marks.add(f"rope type `{subject.rope_type}`")
    if subject.imports is not None and _EXPORTS in texts:
        lacking = sorted(subject.imports - exported(texts[_EXPORTS]))
        # From 4.52 on the file lists folders instead of names: many gone at once says that, and nothing else.
        for name in lacking if len(lacking) <= _FEW else []:
            marks.add(f"lack of `{name}`, which the held peft imports")
    own = sorted(name for name in texts if model_type is not None and f"/models/{model_type}/" in name)
    if any("_checkpoint_conversion_mapping" in texts[name] for name in own):
        marks.add("a renaming of checkpoint keys")
    if any(_FUSED.search(texts[name]) for name in own):
        marks.add("experts fused into one parameter")
    names = {name for path in own for name in _DEFINED.findall(texts[path])}
    return Reading(marks=frozenset(marks), names=frozenset(names), code=_code(texts, own))


def _torch_floor(subject: ProbeSubject, texts: Mapping[str, str]) -> set[str]:
    """Whether a release declares that the held torch is too old: since 4.x an extra, so no resolver says so."""
    if subject.torch is None:
        return set()
    for name, text in texts.items():
        floors = _TORCH_FLOOR.findall(text) if name.endswith("METADATA") else []
        if any(Version(release_of(subject.torch)) < Version(floor) for floor in floors):
            return {f"a torch floor above {subject.torch}"}
    return set()


def _code(texts: Mapping[str, str], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, digest(texts[name])[:16]) for name in names)
