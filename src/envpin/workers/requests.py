"""What the controller asks: one class for each verb. `envpin.host.verbs` is the controller's side; a test compares the
two field by field.
"""

from typing import Dict, Literal, NamedTuple, Optional, Tuple


class FurtherAdapter(NamedTuple):
    """One more adapter, merged after the first, and the factor on its change."""

    adapter: str
    weight: float = 1.0


class EmbeddingFit(NamedTuple):
    """What is done about an adapter whose tables have another number of rows than the base's: nothing, the base's grow
    to `rows`, or the adapter's shorter ones are laid over the base's `rows`."""

    action: Literal["keep", "grow", "overlay"] = "keep"
    rows: int = 0

    @property
    def grown(self) -> Optional[int]:
        return self.rows if self.action == "grow" else None

    @property
    def overlaid(self) -> Optional[int]:
        return self.rows if self.action == "overlay" else None


class QuantizedBase(NamedTuple):
    """The decision about a quantized base. `stored`: whether its files are quantized; `config` is its quantization
    config, `dtype` what training loaded it in."""

    policy: Literal["original", "dequantize"]
    stored: bool
    config: Dict[str, object]
    dtype: Optional[str] = None


class MergeRequest(NamedTuple):
    """`architecture` is the class that the base was loaded as, `extra_tokens` are ids that training added. `staging` is
    an existing empty folder, `answers` a file to leave the adapter's logits in. `stamp` is written into each shard's
    metadata, `cuda_stamp` in its place where the bits were made on a GPU."""

    base: str
    adapter: str
    staging: str
    answers: str
    weight: float = 1.0
    further: Tuple[FurtherAdapter, ...] = ()
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    embedding: EmbeddingFit = EmbeddingFit()
    architecture: Optional[str] = None
    quantized: Optional[QuantizedBase] = None
    extra_tokens: Tuple[int, ...] = ()
    max_shard_size: Optional[str] = None
    stamp: Optional[str] = None
    cuda_stamp: Optional[str] = None


class VerifyRequest(NamedTuple):
    """`merged` is the folder to prove, `answers` the file that `merge` left; the rest is as `merge` answered."""

    base: str
    adapter: str
    merged: str
    touched: Tuple[str, ...]
    weight: float = 1.0
    further: Tuple[FurtherAdapter, ...] = ()
    answers: Optional[str] = None
    architecture: Optional[str] = None
    rows_per_tensor: int = 16
    made_rows: Optional[Dict[str, Tuple[int, int]]] = None


class StreamMergeRequest(NamedTuple):
    """`out` is an existing staging folder, empty unless `resume`; `max_shard_size` is in bytes. `metadata` goes into
    each shard, `cuda_metadata` in its place where the bits were made on a GPU."""

    base: str
    adapter: str
    out: str
    weight: float = 1.0
    further: Tuple[FurtherAdapter, ...] = ()
    embedding: EmbeddingFit = EmbeddingFit()
    architecture: Optional[str] = None
    quantized: Optional[QuantizedBase] = None
    dtype: Literal["keep", "peft", "bf16", "fp16", "fp32"] = "keep"
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    threads: Optional[int] = None
    max_shard_size: Optional[int] = None
    resume: bool = False
    metadata: Optional[Dict[str, str]] = None
    cuda_metadata: Optional[Dict[str, str]] = None


class StreamAnswersRequest(NamedTuple):
    """`merged` is the folder to ask, `scratch` one for a lengthened adapter, `misread` whether the library of the
    quantized base reads it wrongly on this machine."""

    base: str
    adapter: str
    merged: str
    scratch: str
    weight: float = 1.0
    further: Tuple[FurtherAdapter, ...] = ()
    embedding: EmbeddingFit = EmbeddingFit()
    architecture: Optional[str] = None
    quantized: Optional[QuantizedBase] = None
    extra_tokens: Tuple[int, ...] = ()
    misread: bool = False


class WeightFiles(NamedTuple):
    """A folder, and the names of the safetensors files in it that hold its tensors."""

    folder: str
    files: Tuple[str, ...]


class ProveRequest(NamedTuple):
    """`base_is_tied` and `merged_is_tied`: whether config.json ties embedding and head. `quantized` is given where the
    base's files are quantized."""

    base: WeightFiles
    adapter: WeightFiles
    merged: WeightFiles
    base_is_tied: bool
    merged_is_tied: bool
    quantized: Optional[QuantizedBase] = None
    embedding: EmbeddingFit = EmbeddingFit()
    architecture: Optional[str] = None


class TinyModelRequest(NamedTuple):
    """`family` names a recipe, `config` is a whole config.json in its place. Without `weights` only config.json is
    written, which needs neither torch nor transformers; `adapter` is a folder for a LoRA adapter on `targets`."""

    folder: str
    family: Optional[str] = None
    config: Optional[Dict[str, object]] = None
    weights: bool = True
    adapter: Optional[str] = None
    targets: Optional[Tuple[str, ...]] = None
    seed: int = 0


class ProbeRequest(NamedTuple):
    """One `action` of `probe.actions` on a model and an adapter. The logits of a merge are held against `reference`, or
    written to `write_reference`. `float32` loads in float32 in place of the files' dtype; `module` is what `import`
    imports."""

    action: str
    model: Optional[str] = None
    adapter: Optional[str] = None
    family: Optional[str] = None
    reference: Optional[str] = None
    write_reference: Optional[str] = None
    float32: bool = False
    module: Optional[str] = None
    seed: int = 0


class LadderJob(NamedTuple):
    """The steps of one family. `folder` is its own, `made` another environment's, whose adapter is used; `failed` are
    steps that are known to fail."""

    id: int
    family: str
    folder: str
    steps: Tuple[str, ...]
    failed: Tuple[str, ...] = ()
    made: Optional[str] = None
    seed: int = 0


class LadderRequest(NamedTuple):
    """`timeout` is in seconds, for one step; with `fork` each job has a process."""

    jobs: Tuple[LadderJob, ...]
    timeout: float
    fork: bool = False
