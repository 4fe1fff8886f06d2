"""Runs training scripts one after the other, each in a fork of a process that has torch and transformers loaded, under
envpin's hook. Inside a training environment; reads jobs as JSON lines from stdin, answers each with its status.

    planted_inside.py HOOK
"""

import json
import os
import runpy
import sys
import traceback
from typing import Any


def load(hook: str) -> Any:
    sys.path.append(hook)
    import _envpin_hook

    _envpin_hook.install(None)
    import accelerate  # noqa: F401
    import peft  # noqa: F401
    import torch  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments  # noqa: F401

    try:
        import datasets  # noqa: F401
        from trl import SFTTrainer  # noqa: F401
    except ImportError:
        pass
    sys.path.remove(hook)
    return _envpin_hook


def run(job: "dict[str, Any]", recorder: Any) -> None:
    """In the fork: what the interpreter would have done with this command."""
    log = os.open(job["log"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(job["env"])
    recorder.run_folder = job["run"]
    os.chdir(job["cwd"])
    sys.argv = job["argv"]
    sys.path[:0] = [os.path.dirname(os.path.abspath(job["argv"][0])), *job.get("path", [])]
    runpy.run_path(job["argv"][0], run_name="__main__")


def main(hook: str) -> None:
    recorder = load(hook)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 0
            try:
                run(job, recorder)
            except BaseException:
                traceback.print_exc()
                status = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, ended = os.waitpid(child, 0)
        sys.stdout.write(json.dumps({"status": os.waitstatus_to_exitcode(ended)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
