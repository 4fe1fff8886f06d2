"""Check every file of a bundle, then install its wheels into a new virtual environment. Standard library only.

`python -I -B install.py BUNDLE ENVIRONMENT`. Every wheel is unpacked by the list of digests that it carries (RECORD);
nothing is built, nothing of a wheel is run, and no file leaves the environment. The environment is made next to its
place and renamed when it is whole; a Python that the bundle brings is copied into it, so that the bundle may go.
"""

import base64
import configparser
import csv
import hashlib
import io
import json
import os
import platform
import re
import shutil
import sys
import venv
import zipfile
from typing import Dict, List, NoReturn, Optional, Set, Tuple

SUMS = "SHA256SUMS"
# Its presence is the mark that the environment is whole: it holds the digest of the bundle's own list.
DONE = "envpin-bundle.json"
_BLOCK = 1 << 20
# The glibc that these names of platforms stand for (PEP 513, 571, 599); later ones say it themselves (PEP 600).
LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


def refuse(message: str, status: int = 5) -> NoReturn:
    sys.stderr.write("error: %s; nothing was installed\n" % message)
    sys.exit(status)


def digest_of(path: str) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(_BLOCK), b""):
            found.update(block)
    return found.hexdigest()


def check(bundle: str) -> str:
    """The digest of the bundle's list, once every file is as listed and no other is there."""
    with open(os.path.join(bundle, SUMS), encoding="utf-8", newline="") as stream:
        text = stream.read()
    listed: Dict[str, str] = {}
    for line in text.split("\n")[:-1]:
        found = re.fullmatch(r"([0-9a-f]{64})  ([A-Za-z0-9._+@/!=~-]+)", line)
        if found is None or found[2] in listed or found[2].startswith("/") or ".." in found[2].split("/"):
            refuse("this bundle was changed: %s is not a list of files" % SUMS)
        listed[found[2]] = found[1]
    if not text.endswith("\n"):
        refuse("this bundle was changed: %s is cut off" % SUMS)
    there: Set[str] = set()
    for parent, folders, files in os.walk(bundle):
        for name in folders + files:
            path = os.path.join(parent, name)
            if os.path.islink(path) or not (os.path.isdir(path) or os.path.isfile(path)):
                refuse("this bundle was changed: %s is a link or a device" % name)
        there.update(os.path.relpath(os.path.join(parent, name), bundle).replace(os.sep, "/") for name in files)
    if there != set(listed) | {SUMS}:
        refuse("this bundle was changed: other files are there than are listed")
    for name, expected in listed.items():
        if digest_of(os.path.join(bundle, name)) != expected:
            refuse("this bundle was changed: %s is not as it was made" % name)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def inside(folder: str, name: str) -> str:
    """Where a member of a wheel goes; one that would leave `folder` is refused."""
    parts = name.split("/")
    if "\\" in name or ":" in name or any(one in ("", ".", "..") for one in parts):
        refuse("a wheel holds a file called %r" % name)
    return os.path.join(folder, *parts)


def install(wheel: str, purelib: str, scripts: str, root: str, python: str) -> None:
    """Unpack one wheel; each file has to be what its RECORD says. `python` is what its scripts will run with."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        info = next(name.split("/")[0] for name in names if re.fullmatch(r"[^/]+\.dist-info/RECORD", name))
        rows = csv.reader(io.StringIO(archive.read(info + "/RECORD").decode("utf-8")))
        record = {row[0]: row[1] for row in rows if row}
        lines: List[List[str]] = []
        for name in names:
            data = archive.read(name)
            algorithm, _, expected = record.get(name, "").partition("=")
            if expected:
                found = base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=").decode("ascii")
                if found != expected:
                    # Some published wheels record a file wrongly: the wheel itself was checked by its own sha256.
                    sys.stderr.write("note: RECORD of %s is wrong about %s\n" % (os.path.basename(wheel), name))
            elif name not in record and not name.endswith(("/RECORD.jws", "/RECORD.p7s")):
                refuse("%s holds %s, which its RECORD does not list" % (os.path.basename(wheel), name))
            target, executable = place_of(name, purelib, scripts, root)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if executable and data.startswith(b"#!python"):
                data = b"#!" + os.fsencode(python) + data[data.index(b"\n") :]
            with open(target, "wb") as stream:
                stream.write(data)
            if executable or (archive.getinfo(name).external_attr >> 16) & 0o111:
                os.chmod(target, 0o755)
            lines.append([name, record.get(name, ""), str(len(data))])
        if info + "/entry_points.txt" in names:
            write_scripts(archive.read(info + "/entry_points.txt").decode("utf-8"), scripts, python)


class EntryPoints(configparser.ConfigParser):
    """`entry_points.txt`, whose names keep their case."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def write_scripts(entry_points: str, scripts: str, python: str) -> None:
    """The console scripts of a wheel, as installers write them. Windows has programs in their place: none there."""
    parser = EntryPoints(delimiters=("=",), interpolation=None, strict=False)
    parser.read_string(entry_points)
    section = parser["console_scripts"] if os.name != "nt" and parser.has_section("console_scripts") else {}
    for name, value in section.items():
        found = re.fullmatch(r"\s*([\w.]+)\s*:\s*([\w.]+)\s*(?:\[.*\])?\s*", value)
        if found is None:
            continue
        path = inside(scripts, name)
        text = "#!%s\nimport sys\nfrom %s import %s\nsys.exit(%s())\n"
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text % (python, found[1], found[2].split(".")[0], found[2]))
        os.chmod(path, 0o755)


def bring_python(bundle: str, making: str, environment: str) -> None:
    """Copy the bundle's Python into the environment, which is `making` now and will be `environment`."""
    program = "python%d.%d" % sys.version_info[:2]
    shutil.copytree(os.path.join(bundle, "python"), os.path.join(making, "python"))
    os.chmod(os.path.join(making, "python", "bin", program), 0o755)
    for name in os.listdir(os.path.join(making, "bin")):
        path = os.path.join(making, "bin", name)
        if os.path.islink(path):
            os.unlink(path)
            os.symlink(os.path.join("..", "python", "bin", program), path)
    with open(os.path.join(making, "pyvenv.cfg"), "w", encoding="utf-8") as stream:
        stream.write("home = %s\n" % os.path.join(environment, "python", "bin"))
        stream.write("include-system-site-packages = false\nversion = %d.%d.%d\n" % sys.version_info[:3])


def place_of(name: str, purelib: str, scripts: str, root: str) -> Tuple[str, bool]:
    """Where a member goes, and whether it is a script. `X.data/…` is spread as wheels have it (PEP 427)."""
    found = re.fullmatch(r"[^/]+\.data/(purelib|platlib|scripts|data|headers)/(.+)", name)
    if found is None:
        return inside(purelib, name), False
    folders = {"purelib": purelib, "platlib": purelib, "scripts": scripts, "data": root}
    folder = folders.get(found[1], os.path.join(root, "include"))
    return inside(folder, found[2]), found[1] == "scripts"


def needed_glibc(wheel: str) -> Optional[Tuple[int, int]]:
    """The glibc that a wheel asks for by its name; None where it asks for none, or is for any platform as well."""
    needed = []
    for tag in wheel[: -len(".whl")].rsplit("-", maxsplit=1)[-1].split("."):
        found = re.match(r"manylinux_(\d+)_(\d+)_", tag)
        one = (int(found[1]), int(found[2])) if found else LEGACY.get(tag.split("_")[0])
        if one is None:
            return None
        needed.append(one)
    return min(needed)  # each tag alone would do


def refuse_older_libc(wheels: List[str]) -> None:
    """Libraries of a newer glibc would be installed well, and fail when they are imported."""
    needed = max(((one, wheel) for wheel in wheels for one in [needed_glibc(wheel)] if one is not None), default=None)
    if needed is None or not sys.platform.startswith("linux") or os.environ.get("ENVPIN_ANY_PLATFORM") == "1":
        return
    try:
        here = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):  # musl has no such name
        here = ""
    found = re.match(r"glibc (\d+)\.(\d+)", here)
    if found is None or (int(found[1]), int(found[2])) < needed[0]:
        asked = (needed[1], needed[0][0], needed[0][1], here or "another C library")
        refuse("%s needs glibc %d.%d, and this machine has %s" % asked, 3)


def main(bundle: str, environment: str) -> int:
    sums = check(bundle)
    with open(os.path.join(bundle, "bundle.json"), encoding="utf-8") as stream:
        said = json.load(stream)
    machine = "%s-%s" % (
        {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform),
        platform.machine().lower(),
    )
    if said["platform"] != machine and os.environ.get("ENVPIN_ANY_PLATFORM") != "1":
        refuse("this bundle is for %s, and this machine is %s" % (said["platform"], machine), 3)
    refuse_older_libc(said["wheels"])
    try:
        with open(os.path.join(environment, DONE), encoding="utf-8") as stream:
            if json.load(stream)["sums"] == sums:
                return 0  # restored before
    except (OSError, ValueError, KeyError):
        pass
    if os.path.lexists(environment):
        refuse("%s is there already, and is not this environment" % environment)
    making = "%s.envpin-%d" % (environment.rstrip("/"), os.getpid())
    try:
        venv.create(making, with_pip=False, symlinks=os.name != "nt")
        below = "Scripts" if os.name == "nt" else "bin"
        scripts, python = os.path.join(making, below), os.path.join(environment, below, "python")
        if said["with_python"] and os.name != "nt":
            bring_python(bundle, making, environment)
        lib = "Lib/site-packages" if os.name == "nt" else "lib/python%d.%d/site-packages" % sys.version_info[:2]
        for name in said["wheels"]:
            install(os.path.join(bundle, "wheels", name), os.path.join(making, lib), scripts, making, python)
        with open(os.path.join(making, DONE), "w", encoding="utf-8") as stream:
            json.dump({"sums": sums, "lock_sha256": said["lock_sha256"]}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(making, environment)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    sys.stderr.write("restored %d packages into %s\n" % (len(said["wheels"]), environment))
    return 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])))
