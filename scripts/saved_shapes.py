"""What a model of transformers saves: the names of its tensors with their shapes. For the collecting scripts."""

import tempfile
from pathlib import Path

from safetensors import safe_open


def saved_shapes(model):
    """Raises: ValueError: nothing was saved."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        held = {}
        for path in sorted(Path(folder).glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                held |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    if not held:
        raise ValueError("nothing was saved")
    return held
