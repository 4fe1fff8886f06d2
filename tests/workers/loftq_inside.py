"""Runs inside one environment: what the merge worker says of LoftQ adapters there, one line of JSON for each number of
bits. Python 3.8 syntax.

    python loftq_inside.py WORKERS_FOLDER SCRATCH_FOLDER RESULT.json BITS ...
"""

import importlib.util
import json
import os
import sys
from typing import Any, Dict


def main(workers: str, scratch: str, result: str, *bits: str) -> None:
    spec = importlib.util.spec_from_file_location(
        "envpin_worker", os.path.join(workers, "__init__.py"), submodule_search_locations=[workers]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["envpin_worker"] = module
    spec.loader.exec_module(module)
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
