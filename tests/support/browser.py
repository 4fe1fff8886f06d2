"""A headless Chromium, driven over the DevTools protocol on a pipe: nothing to install beside the browser itself.

The protocol: https://chromedevtools.github.io/devtools-protocol/. With `--remote-debugging-pipe` the browser reads
commands from file descriptor 3 and writes answers and events to 4, each a JSON document that ends with a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_KEYS = {"Enter": ("Enter", 13, "\r"), " ": ("Space", 32, " "), "Tab": ("Tab", 9, ""), "Escape": ("Escape", 27, ""),
         "ArrowLeft": ("ArrowLeft", 37, ""), "ArrowUp": ("ArrowUp", 38, ""), "ArrowRight": ("ArrowRight", 39, ""),
         "ArrowDown": ("ArrowDown", 40, ""), "Home": ("Home", 36, ""), "End": ("End", 35, "")}  # fmt: skip


def find_browser() -> str | None:
    """The path of a Chromium: `ENVPIN_TEST_CHROMIUM`, or the first of the usual names on PATH."""
    named = os.environ.get("ENVPIN_TEST_CHROMIUM")
    return named or next((found for name in _NAMES if (found := shutil.which(name))), None)


def _spawn(command: list[str], descriptors: dict[int, int]) -> int:
    """The id of a new process that finds our `descriptors` under other numbers, which are closed here."""
    moved = {theirs: fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 10) for theirs, ours in descriptors.items()}
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in moved.items()]
    actions += [(os.POSIX_SPAWN_OPEN, standard, os.devnull, os.O_RDWR, 0) for standard in (0, 1, 2)]
    process = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    for descriptor in (*moved.values(), *descriptors.values()):
        os.close(descriptor)
    return process


class Browser:
    """One browser with one page. `requests` are the addresses that it asked for, `faults` what it complained of."""

    def __init__(self, program: str, profile: Path, *, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self.requests: list[str] = []
        self.faults: list[str] = []
        self._events: list[dict[str, Any]] = []
        self._number = 0
        self._unread = b""
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                 "--no-first-run", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]  # fmt: skip
        self._process = _spawn([program, *flags], {3: to_browser, 4: from_browser})
        (page,) = [one for one in self.send("Target.getTargets")["targetInfos"] if one["type"] == "page"][:1]
        attached = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session: str | None = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    _session: str | None = None

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer. Raises AssertionError where the browser refuses it."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                found: dict[str, Any] = answer["result"]
                return found

    def open(self, address: str) -> None:
        """Go there, and wait until the page has loaded."""
        for place in ("about:blank", address):  # another fragment of the same page alone would load nothing
            self._events.clear()
            self.send("Page.navigate", url=place)
            while not any(event["method"] == "Page.loadEventFired" for event in self._events):
                self._receive()

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited where it is a promise; it must be plain data."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, *, modifiers: int = 0) -> None:
        """One key of `_KEYS`, or a letter."""
        code, number, text = _KEYS.get(key, (f"Key{key.upper()}", ord(key.upper()[0]), key))
        common = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers}
        self.send("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Insert text where the caret is, as pasting does."""
        self.send("Input.insertText", text=text)

    def settle(self, condition: str) -> None:
        """Wait until the expression is true."""
        deadline = time.monotonic() + self._timeout
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < deadline, condition
            time.sleep(0.03)

    def window(self, width: int, height: int, *, dark: bool = False, media: str = "") -> None:
        """The size in CSS pixels, the colour scheme that the user prefers, and `print` or the screen."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.printToPDF", preferCSSPageSize=True)["data"]))

    def close(self) -> None:
        os.close(self._to)  # the browser ends with its pipe
        deadline = time.monotonic() + 10
        while not os.waitpid(self._process, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                os.kill(self._process, signal.SIGKILL)
            time.sleep(0.05)
        os.close(self._from)

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._from, 1 << 20) if ready else b""
            assert data, "the browser ended" if ready else f"the browser said nothing for {self._timeout} s"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self._events.append(message)
            self._note(message["method"], message.get("params", {}))
        return message

    def _note(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.faults.append(str(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.faults.append(parameters["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and parameters["type"] == "error":
            self.faults.append(str(parameters["args"]))
