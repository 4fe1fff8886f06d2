"""Drive a real kernel of Jupyter. Runs in an environment with jupyter_client: KERNEL, then a file with a list of cells.

Prints a JSON list: of each cell its outputs as Jupyter would show them. The cell `INTERRUPT` is interrupted.
"""

import json
import queue
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel

ENDLESS = "import time\nprint('begun', flush=True)\nfor _ in range(600): time.sleep(.1)"


def outputs(client: Any, message: str, begun: Callable[[], None] | None = None) -> list[Any]:
    """What the cell shows; `begun` is called when it has printed its first line."""
    found: list[Any] = []
    while True:
        try:
            said = client.get_iopub_msg(timeout=120)
        except queue.Empty:
            return [*found, {"error": "no answer"}]
        if said["parent_header"].get("msg_id") != message:
            continue
        kind, content = said["msg_type"], said["content"]
        if kind == "status" and content["execution_state"] == "idle":
            return found
        if kind == "stream":
            found.append({content["name"]: content["text"]})
            if begun:
                begun()
                begun = None
        elif kind in ("display_data", "execute_result"):
            found.append(content["data"])
        elif kind == "error":
            found.append({"error": content["ename"] + ": " + content["evalue"]})


def main(kernel: str, file: str) -> None:
    cells = json.loads(Path(file).read_text())
    manager, client = start_new_kernel(kernel_name=kernel, startup_timeout=120)
    answers = []
    for cell in cells:
        interrupted = cell == "INTERRUPT"
        message = client.execute(ENDLESS if interrupted else cell)
        answers.append(outputs(client, message, manager.interrupt_kernel if interrupted else None))
    client.stop_channels()
    manager.shutdown_kernel()
    sys.stdout.write(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
