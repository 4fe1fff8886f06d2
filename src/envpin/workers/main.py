"""Entry point of every worker: `python -I main.py VERB REQUEST.json RESULT.json EVENTS_FD LIFELINE_FD`, or
`python -I main.py serve IMPORTS EVENTS_FD LIFELINE_FD` for one that answers several requests (serve.py).

See PROTOCOL.md. Exit status 0 means that RESULT.json holds a result or a known error; anything else means that the
worker itself is broken.
"""

import importlib.util
import json
import os
import sys
import threading
from typing import List

PROTOCOL = 1


def _load_package() -> None:
    """Register this folder as the package `envpin_worker`, without touching sys.path: nothing of envpin's own
    modules may shadow what the pinned environment holds."""
    folder = os.path.dirname(os.path.abspath(__file__))
    spec = importlib.util.spec_from_file_location(
        "envpin_worker", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None:
        raise ImportError("the worker folder is not importable: " + folder)
    package = importlib.util.module_from_spec(spec)
    sys.modules["envpin_worker"] = package
    spec.loader.exec_module(package)


def _end_with_the_controller(descriptor: int) -> None:
    """Nobody wants the answer of a worker whose controller was killed, and nobody may find it still writing."""
    os.read(descriptor, 1)
    os._exit(70)


def main(argv: List[str]) -> int:
    controller = os.getppid()
    events_fd, lifeline_fd = int(argv[-2]), int(argv[-1])
    _watch_the_controller(lifeline_fd)
    _load_package()
    from envpin_worker.runtime.parent import end_with_parent

    end_with_parent(controller)
    if argv[0] != "serve":
        return _answer(argv[0], argv[1], argv[2], events_fd)
    from envpin_worker.serve import serve

    def answer(verb: str, request_path: str, result_path: str) -> int:
        _watch_the_controller(lifeline_fd)  # threads do not survive a fork
        return _answer(verb, request_path, result_path, events_fd)

    status: int = serve(json.loads(argv[1]), answer)
    return status


def _watch_the_controller(descriptor: int) -> None:
    threading.Thread(target=_end_with_the_controller, args=(descriptor,), daemon=True).start()


def _answer(verb: str, request_path: str, result_path: str, events_fd: int) -> int:
    from envpin_worker import protocol, verbs

    events = protocol.Events(events_fd)
    with open(request_path, encoding="utf-8") as stream:
        request = json.load(stream)
    try:
        if request.get("protocol") != PROTOCOL:
            raise protocol.KnownError("protocol", "this worker speaks protocol %d" % PROTOCOL)
        result = {"protocol": PROTOCOL, "result": verbs.answer(verb, request["body"], events)}
    except protocol.KnownError as error:
        result = {"protocol": PROTOCOL, "error": error.to_json()}
    except MemoryError:
        result = {"protocol": PROTOCOL, "error": {"kind": "out-of-memory", "message": "out of memory"}}
    except OSError as error:
        result = {"protocol": PROTOCOL, "error": protocol.os_error(error)}
    except Exception as error:
        refused = protocol.system_error(error)
        if refused is None:
            raise
        result = {"protocol": PROTOCOL, "error": protocol.os_error(refused)}
    protocol.write_json(result_path, result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
