"""A manifest with every part filled in, for the tests of reading, writing and comparing."""

from __future__ import annotations

from envpin.manifest.types import (
    BaseModel,
    Distribution,
    GitState,
    Gpu,
    Manifest,
    PythonInfo,
    Resize,
    RunInfo,
    SavedInfo,
    TensorInfo,
    TokenizerInfo,
    TokenSample,
    TorchInfo,
    TrainerInfo,
)

DIGEST = "ab" * 32
H100 = Gpu(name="H100", capability="9.0", memory=80)
BASE = BaseModel(id="org/base", commit="d" * 40, embedding_rows=320, quantization={"bits": 4}, config_sha256=DIGEST)
TOKENIZER = TokenizerInfo(
    length=321, added={"<x>": 320}, files={"tokenizer.json": DIGEST}, source="saved",
    samples=(TokenSample(text="日本 🙂\u2028", ids=(1, 2)),),
)  # fmt: skip
SAVED = SavedInfo(
    kind="adapter", config={"r": 4, "target_modules": ["b", "a"], "nested": {"x": [None, 1.5]}},
    tensors=(TensorInfo(name="a.weight", shape=(4, 8), dtype="F32"),), files={"a.safetensors": DIGEST},
)  # fmt: skip
FULL = Manifest(
    schema=1,
    envpin="0.1.0",
    run=RunInfo(id="x", argv=("python", "t.py"), git=GitState(commit="c" * 40, dirty=False), seeds={"torch": 2**64 - 1},
                environment={"WORLD_SIZE": "2"}, world_size=2),
    python=PythonInfo(version="3.11.7", platform="linux", libc="glibc 2.36"),
    distributions=(Distribution(name="peft", version="0.12.0"), Distribution(name="torch", version="2.4.0+cu121"),
                   Distribution(name="mine", version="0.1", direct_url="file:///src", editable=True)),
    torch=TorchInfo(version="2.4.0+cu121", cuda="12.1", gpus=(H100,)),
    base=BASE,
    tokenizer=TOKENIZER,
    resizes=(Resize(new_num_tokens=321, rows_before=320, rows_after=321),),
    saved=SAVED,
    trainer=TrainerInfo(class_name="trl.SFTTrainer", seed=1),
    faults=("a: b",),
)  # fmt: skip
