"""Merge the adapter of a bundle into its base, prove the result, and publish it with one rename. Standard library only.

`ENVIRONMENT/bin/python -I -B merge.py BUNDLE OUT [BASE]`. It starts the same workers as `envpin replay merge` does,
with the same requests, and writes the same files but for `envpin-merge.json`, which needs envpin.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, NoReturn, Optional

_VARIABLES = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1", "PYTHONNOUSERSITE": "1",
}  # fmt: skip
_UNWANTED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONOPTIMIZE", "VIRTUAL_ENV")


def fail(message: str, status: int = 1) -> NoReturn:
    sys.stderr.write("error: %s\n" % message)
    sys.exit(status)


def digest_of(path: str) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()


def call(bundle: str, folder: str, verb: str, body: Dict[str, object]) -> Dict[str, Any]:
    """Have a worker of the bundle answer one request (PROTOCOL.md)."""
    asked, result = os.path.join(folder, verb + ".json"), os.path.join(folder, verb + "-result.json")
    with open(asked, "w", encoding="utf-8") as stream:
        json.dump({"protocol": 1, "body": body}, stream)
    read_end, write_end = os.pipe()  # the worker ends when this one does
    events = os.open(os.devnull, os.O_WRONLY)
    variables = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
    variables.update(_VARIABLES)
    main = os.path.join(bundle, "worker", "main.py")
    # Compiled once for both workers, and not into the bundle or the environment.
    prefix = "pycache_prefix=" + os.path.join(folder, "bytecode")
    command = [sys.executable, "-I", "-X", "utf8", "-X", prefix, main, verb, asked, result, str(events), str(read_end)]
    with open(os.path.join(folder, verb + ".log"), "wb") as log:
        status = subprocess.call(
            command, env=variables, pass_fds=(events, read_end), cwd=folder, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log,
        )  # fmt: skip
    os.close(write_end)
    if status != 0 or not os.path.exists(result):
        with open(os.path.join(folder, verb + ".log"), encoding="utf-8", errors="replace") as said:
            fail("the worker `%s` ended with status %d\n%s" % (verb, status, said.read()[-3000:]), 4)
    with open(result, encoding="utf-8") as stream:
        answer = json.load(stream)
    if "error" in answer:
        fail(answer["error"]["message"])
    found: Dict[str, Any] = answer["result"]
    return found


def write_config(base: str, staged: str, updates: Dict[str, object]) -> None:
    """As `replay/engines.py` writes it; a test holds the two outputs together."""
    with open(os.path.join(base, "config.json"), encoding="utf-8") as stream:
        config = json.load(stream)
    text = config.get("text_config")
    for key, value in updates.items():
        if isinstance(text, dict) and (key in text or key not in config):
            text[key] = value
        if not isinstance(text, dict) or key in config:
            config[key] = value
        for place in (config, text):
            if value is None and isinstance(place, dict):
                place.pop(key, None)
    with open(os.path.join(staged, "config.json"), "w", encoding="utf-8") as stream:
        stream.write(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    generation = os.path.join(base, "generation_config.json")
    if os.path.isfile(generation):
        shutil.copyfile(generation, os.path.join(staged, "generation_config.json"))


def copy_companions(said: Dict[str, List[str]], adapter: str, base: str, staged: str) -> None:
    """As `replay/publish.py` copies them: the adapter's tokenizer wins as a whole."""
    has_own = any(os.path.isfile(os.path.join(adapter, name)) for name in said["tokenizer_core"])
    orders = [(name, [adapter] if has_own else [adapter, base]) for name in said["tokenizer"]]
    orders += [(name, [adapter, base]) for name in said["processor"]]
    orders.append(("generation_config.json", [adapter]))
    for name, folders in orders:
        source = next((os.path.join(one, name) for one in folders if os.path.isfile(os.path.join(one, name))), None)
        if source is not None:
            shutil.copyfile(source, os.path.join(staged, name))


def refuse_wrong(probe: Optional[Dict[str, Optional[float]]], gates: Dict[str, float]) -> None:
    """The gate of `replay/refusals.py`, whose figures the bundle carries."""
    if probe is None:
        return
    if probe["moved"] is None:
        fail("the outputs of the base, alone or with the adapter, are not finite: nothing can be compared with them")
    if not probe["moved"]:
        fail("the adapter changes nothing: with it, the outputs of the base are exactly those without it")
    expected = probe.get("expected")
    limit = gates["worst"] if expected is None else min(gates["worst"], max(gates["least"], gates["times"] * expected))
    if probe["ratio"] is None or probe["ratio"] > limit:
        fail("the outputs of the merged model are not those of base and adapter")


def sync(folder: str) -> None:
    for parent, _, names in os.walk(folder):
        for name in [*names, "."]:
            descriptor = os.open(os.path.join(parent, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def main(bundle: str, out: str, base: str) -> int:
    with open(os.path.join(bundle, "bundle.json"), encoding="utf-8") as stream:
        said = json.load(stream)
    merge = said.get("merge")
    if merge is None:
        fail("this bundle holds an environment and no adapter: there is nothing to merge", 2)
    base = base or os.path.join(bundle, "base")
    if not os.path.isdir(base):
        fail("this bundle holds no base: name its folder with --base", 2)
    for name, expected in sorted(merge["base"].items()):
        path = os.path.join(base, name)
        if not os.path.isfile(path) or digest_of(path) != expected:
            fail("the base in %s is another one: %s differs" % (base, name))
    if os.path.lexists(out):
        fail("%s is there already" % out, 5)
    adapter = os.path.join(bundle, "adapter")
    staged = tempfile.mkdtemp(prefix=".%s.envpin-staging-" % os.path.basename(out), dir=os.path.dirname(out))
    scratch = tempfile.mkdtemp(prefix="envpin-merge-")
    try:
        with contextlib.suppress(OSError):  # FAT and its like have no modes
            os.chmod(staged, 0o755)
        request = {**merge["request"], "base": base, "adapter": adapter, "out": staged}
        merged = call(bundle, scratch, "stream-merge", request)
        write_config(base, staged, merged["config_updates"])
        copy_companions(said["companions"], adapter, base, staged)
        quantized = merged.get("quantized")
        answers = {
            **merge["answers"], "base": base, "adapter": adapter, "architecture": merged["architecture"],
            "merged": staged, "scratch": scratch, "misread": bool(quantized and quantized["misread_by_library"]),
        }  # fmt: skip
        refuse_wrong(call(bundle, scratch, "stream-answers", answers)["probe"], said["gates"])
        sync(staged)
        os.rename(staged, out)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        shutil.rmtree(scratch, ignore_errors=True)
    sys.stderr.write("merged %s\n" % out)
    return 0


if __name__ == "__main__":
    sys.exit(main(*(os.path.abspath(one) if one else "" for one in [*sys.argv[1:4], ""][:3])))
