"""The versions of an adapter, without resolving anything: recorded ones first, then what its files and fields demand,
then those of its base's family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from envpin.core.errors import InputError
from envpin.envs.refs.adapter import adapter_manifest, unrecorded
from envpin.manifest.closure import REQUIRED, closure_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpin.manifest.types import Manifest


class AdapterPins(NamedTuple):
    """`basis` says what the pins rest on, `reference` is what `env create` takes, `evidence` why they are these."""

    basis: Literal["recorded", "inferred"]
    pins: Mapping[str, str]
    python: str | None
    exclude_newer: str | None
    reference: str
    evidence: tuple[str, ...] = ()

    @property
    def requirements(self) -> tuple[str, ...]:
        """The pins as requirement lines."""
        return tuple(f"{package}=={version}" for package, version in self.pins.items())

    @property
    def described(self) -> str:
        """What the pins rest on, as a line."""
        if self.basis == "recorded":
            return f"Python {self.python or 'not recorded'}; recorded when it was trained, which overrules its family"
        newest = f", nothing newer than {self.exclude_newer[:10]}" if self.exclude_newer else ""
        return f"Python {self.python}{newest}; inferred from the adapter's own files"


def pins_of_adapter(folder: Path, *, base: Path | None = None) -> AdapterPins | None:
    """What the adapter itself says; None where that is nothing and its family alone is left.

    Raises:
        InputError: its files cannot be read.
    """
    manifest = adapter_manifest(folder)
    if manifest is not None:
        return _recorded(manifest, folder)
    if not (folder / "adapter_config.json").is_file():
        return None
    try:
        found = unrecorded(folder, base=base)
    except InputError:
        return None  # nothing is known of its versions; what is known of its base is said anyway
    if found.basis != "inferred":
        return None
    pins = dict(line.split("==", 1) for line in found.request.requirements if "==" in line)
    return AdapterPins(
        basis="inferred", pins=pins, python=found.request.python, exclude_newer=found.request.exclude_newer,
        reference=str(folder), evidence=found.evidence,
    )  # fmt: skip


def _recorded(manifest: Manifest, folder: Path) -> AdapterPins | None:
    lines = [one for one in closure_of(manifest).requirements if "==" in one]
    pins = dict(line.split("==", 1) for line in lines)
    if not any(name in pins for name in REQUIRED):
        return None
    return AdapterPins(
        basis="recorded", pins={name: pins[name] for name in pins if name in REQUIRED},
        python=manifest.python.version if manifest.python else None, exclude_newer=None, reference=str(folder),
    )  # fmt: skip
