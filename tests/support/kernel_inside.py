"""Drive a real kernel of Jupyter. Runs in an environment with jupyter_client: KERNEL, then a file with a list of cells.

Prints a JSON list: of each cell its outputs as Jupyter would show them. The cell `INTERRUPT` is interrupted.
"""

import json
import queue
import sys
import time
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel


def outputs(client: Any, message: str) -> list[Any]:
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
        message = client.execute("import time\nfor _ in range(600): time.sleep(.1)" if interrupted else cell)
        if interrupted:
            time.sleep(1.5)
            manager.interrupt_kernel()
        answers.append(outputs(client, message))
    client.stop_channels()
    manager.shutdown_kernel()
    sys.stdout.write(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
