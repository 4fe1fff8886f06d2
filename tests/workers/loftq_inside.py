"""Runs inside one environment: what the merge worker says of LoftQ adapters there, one line of JSON for each number of
bits. Python 3.8 syntax.

    python loftq_inside.py WORKERS_FOLDER SCRATCH_FOLDER RESULT.json BITS ...
"""

import json
import os
import sys
from typing import Any, Dict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from load_inside import load_workers  # type: ignore[import-not-found]


def main(workers: str, scratch: str, result: str, *bits: str) -> None:
    load_workers(workers)
    from envpin_worker.peft_engine import reproducible
    from envpin_worker.protocol import KnownError
    from envpin_worker.runtime.several import Source

    said = {}
    for one in bits:
        folder = os.path.join(scratch, "adapter-" + one)
        os.makedirs(folder)
        config: Dict[str, Any] = {"peft_type": "LORA", "r": 4, "lora_alpha": 7, "target_modules": ["q_proj"]}
        config.update(init_lora_weights="loftq", loftq_config={"loftq_bits": int(one), "loftq_iter": 1})
        with open(os.path.join(folder, "adapter_config.json"), "w", encoding="utf-8") as stream:
            json.dump(config, stream)
        try:
            said[one] = ["unusual", *reproducible.settle([Source(folder, 1.0, "default", "")])]
        except KnownError as error:
            said[one] = [error.kind, error.message]
    with open(result, "w", encoding="utf-8") as stream:
        json.dump(said, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
