"""What workers are asked and what they answer: the controller's side of `workers/requests.py` and `workers/results.py`.

A test holds the two sides together, field by field. A field with a default is left out of the JSON where it has that
default.
"""

from __future__ import annotations

from typing import Literal

from envpin.host.bodies import Body, Call

Dtype = Literal["keep", "peft", "bf16", "fp16", "fp32"]
Device = Literal["auto", "cpu", "cuda"]


# -- what requests are made of


class AdapterWeight(Body, frozen=True, kw_only=True):
    """One more adapter, merged after the first, and the factor on its change."""

    adapter: str
    weight: float = 1.0


class EmbeddingChoice(Body, frozen=True, kw_only=True):
    """What is done about an adapter whose tables have another number of rows than the base's."""

    action: Literal["keep", "grow", "overlay"] = "keep"
    rows: int = 0


class QuantizedChoice(Body, frozen=True, kw_only=True):
    """The decision about a quantized base. `stored`: whether its files are quantized."""

    policy: Literal["original", "dequantize"]
    stored: bool
    config: dict[str, object]
    dtype: str | None = None


class LadderClimb(Body, frozen=True, kw_only=True):
    """The steps of one family. `folder` is its own, `made` another environment's, whose adapter is used; `failed` are
    steps that are known to fail."""

    id: int
    family: str
    folder: str
    steps: tuple[str, ...]
    failed: tuple[str, ...] = ()
    made: str | None = None
    seed: int = 0


# -- what answers are made of


class ProbeNumbers(Body, frozen=True, kw_only=True):
    """How far the adapter moves the base's logits, how far the merged model is from the adapter's, and their ratio;
    None where the figure is not finite. `expected` is the ratio that rounding alone explains; None: not measured."""

    moved: float | None
    noise: float | None
    ratio: float | None
    expected: float | None = None


class WorkerDevice(Body, frozen=True, kw_only=True):
    """`label` names it for a person; `reason` says why `auto` took it."""

    kind: str
    label: str
    reason: str


class TensorAccount(Body, frozen=True, kw_only=True):
    """How many tensors of the adapters sit in the model under their names, and which under another one."""

    matched: int
    renamed: tuple[str, ...]


class RecomputedRows(Body, frozen=True, kw_only=True):
    """What was recomputed in float64; `worst` is the largest error in units of what rounding allows."""

    tensors: int
    rows: int
    worst: float


class MergedLayer(Body, frozen=True, kw_only=True):
    """One merged layer: the tensors that it writes, and the adapter's tensors that it takes."""

    tensor: str | None
    tensors: tuple[str, ...]
    kind: str
    module: str
    adapter_tensors: tuple[str, ...]
    mode: str


class BlockwiseClasses(Body, frozen=True, kw_only=True):
    """Classes of shape, rank and dtype, and those that may run in row blocks."""

    classes: int
    blockwise: int


class StreamProof(Body, frozen=True, kw_only=True):
    """Tensors by what was proved of them. `equal` are those taken whole from the adapter."""

    recomputed: RecomputedRows
    equal: tuple[str, ...]
    untouched: int
    dequantized: int
    changed: int
    added: tuple[str, ...]
    dropped: tuple[str, ...]
    not_recomputed: tuple[str, ...]
    adapter_tensors_used: int
    adapter_tensors_repeated: tuple[str, ...]
    untouched_equal: int
    finite: bool
    calibration: BlockwiseClasses


class Dequantized(Body, frozen=True, kw_only=True):
    """How many tensors were quantized, by kind, and how they were decoded."""

    tensors: int
    kinds: dict[str, int]
    classes: int
    equal_to_library: int
    misread_by_library: bool
    quantized_on: str | None
    note: str | None


class ProbeError(Body, frozen=True, kw_only=True):
    """An exception; `modules` are the files of site-packages that its traceback passes through, outermost first."""

    type: str
    message: str
    traceback: str
    modules: tuple[str, ...]


class StepOutcome(Body, frozen=True, kw_only=True):
    """What one step of the job `id` showed. `blocked`: it was not tried; `machine`: the machine is to blame."""

    id: int
    capability: str
    outcome: str
    error: str
    seconds: float
    details: dict[str, object] | None = None
    blocked: bool = False
    machine: bool = False


# -- answers


class MergeReply(Body, frozen=True, kw_only=True):
    """`touched` names, in the model and in the base's files, what the loaded adapters may change; `unusual` says what
    of them peft itself had to judge; `made_rows` are the first and the end of rows that no file holds."""

    base_rows: int | None
    rows: int | None
    accounting: TensorAccount
    probe: ProbeNumbers | None
    probe_note: str | None
    untied: bool
    architecture: str
    versions: dict[str, str]
    device: WorkerDevice
    touched: tuple[str, ...]
    unusual: tuple[str, ...]
    made_rows: dict[str, tuple[int, int]]


class VerifyReply(Body, frozen=True, kw_only=True):
    """`extended` is the largest difference of logits on rows with added tokens."""

    untouched: int
    changed: int
    added: tuple[str, ...]
    dropped: tuple[str, ...]
    recomputed: RecomputedRows
    not_recomputed: tuple[str, ...]
    probe: ProbeNumbers | None
    probe_note: str | None
    extended: float | None


class StreamMergeReply(Body, frozen=True, kw_only=True):
    """`files` maps names to sha256, `tensors` each tensor to its file, checksum, offset and size; a None in
    `config_updates` takes the key away."""

    engine: str
    operations: tuple[MergedLayer, ...]
    untouched: int
    changed: int
    files: dict[str, str]
    tensors: dict[str, tuple[str, str, int, int]]
    config_updates: dict[str, object]
    resumed: tuple[str, ...]
    device: WorkerDevice
    architecture: str
    base_rows: int | None
    rows: int | None
    untied: bool
    versions: dict[str, str]
    accounting: TensorAccount
    verification: StreamProof
    quantized: Dequantized | None = None


class StreamAnswersReply(Body, frozen=True, kw_only=True):
    """`asked` is `quantized` (by its library) or `dequantized` (as envpin decodes it) where the base is quantized, and
    `asked_note` says why it is the latter."""

    probe: ProbeNumbers | None
    probe_note: str | None
    extended: float | None
    asked: str | None = None
    asked_note: str | None = None


class TensorVerdict(Body, frozen=True, kw_only=True):
    """One tensor of a merged model that is wrong or was not compared: `JudgedTensor` of workers/results.py."""

    tensor: str
    state: str
    changed: bool = False
    way: str | None = None
    cause: str | None = None
    why: str | None = None
    factor: float | None = None
    error: float | None = None
    rows: tuple[int, ...] = ()
    wrong_rows: int = 0
    other: str | None = None
    lost: bool = False


class VerdictCounts(Body, frozen=True, kw_only=True):
    """Tensors by their state."""

    equal: int = 0
    rounding: int = 0
    not_compared: int = 0
    wrong: int = 0


class ProveReply(Body, frozen=True, kw_only=True):
    """`lost` are right and equal to the base's all the same; `listed` are wrong, or were not compared."""

    counts: VerdictCounts
    changed: VerdictCounts
    lost: tuple[str, ...]
    ways: dict[str, int]
    listed: tuple[TensorVerdict, ...]
    tensors: dict[str, str]
    notes: tuple[str, ...]
    base_dtypes: dict[str, int]
    merged_dtypes: dict[str, int]
    torch: str


class TinyModelReply(Body, frozen=True, kw_only=True):
    folder: str
    adapter: str | None


class ProbeReply(Body, frozen=True, kw_only=True):
    status: str
    details: dict[str, object]
    seconds: float
    error: ProbeError | None = None


class LadderReply(Body, frozen=True, kw_only=True):
    finished: int


# -- requests


class MergeCall(Call[MergeReply], frozen=True, kw_only=True):
    """`staging` is an existing empty folder, `answers` a file to leave the adapter's logits in. `stamp` is written into
    each shard's metadata, `cuda_stamp` in its place where the bits were made on a GPU."""

    verb = "merge"
    reply = MergeReply

    base: str
    adapter: str
    staging: str
    answers: str
    weight: float = 1.0
    further: tuple[AdapterWeight, ...] = ()
    device: Device = "cpu"
    embedding: EmbeddingChoice = EmbeddingChoice()
    architecture: str | None = None
    quantized: QuantizedChoice | None = None
    extra_tokens: tuple[int, ...] = ()
    max_shard_size: str | None = None
    stamp: str | None = None
    cuda_stamp: str | None = None


class VerifyCall(Call[VerifyReply], frozen=True, kw_only=True):
    """`merged` is the folder to prove, `answers` the file that `merge` left; the rest is as `merge` answered."""

    verb = "verify"
    reply = VerifyReply

    base: str
    adapter: str
    merged: str
    touched: tuple[str, ...]
    weight: float = 1.0
    further: tuple[AdapterWeight, ...] = ()
    answers: str | None = None
    architecture: str | None = None
    rows_per_tensor: int = 16
    made_rows: dict[str, tuple[int, int]] | None = None


class StreamMergeCall(Call[StreamMergeReply], frozen=True, kw_only=True):
    """`out` is an existing staging folder, empty unless `resume`; `max_shard_size` is in bytes. `metadata` goes into
    each shard, `cuda_metadata` in its place where the bits were made on a GPU."""

    verb = "stream-merge"
    reply = StreamMergeReply

    base: str
    adapter: str
    out: str
    weight: float = 1.0
    further: tuple[AdapterWeight, ...] = ()
    embedding: EmbeddingChoice = EmbeddingChoice()
    architecture: str | None = None
    quantized: QuantizedChoice | None = None
    dtype: Dtype = "keep"
    device: Device = "cpu"
    threads: int | None = None
    max_shard_size: int | None = None
    resume: bool = False
    metadata: dict[str, str] | None = None
    cuda_metadata: dict[str, str] | None = None


class StreamAnswersCall(Call[StreamAnswersReply], frozen=True, kw_only=True):
    """`merged` is the folder to ask, `scratch` one for a lengthened adapter, `misread` whether the library of the
    quantized base reads it wrongly on this machine."""

    verb = "stream-answers"
    reply = StreamAnswersReply

    base: str
    adapter: str
    merged: str
    scratch: str
    weight: float = 1.0
    further: tuple[AdapterWeight, ...] = ()
    embedding: EmbeddingChoice = EmbeddingChoice()
    architecture: str | None = None
    quantized: QuantizedChoice | None = None
    extra_tokens: tuple[int, ...] = ()
    misread: bool = False


class FolderFiles(Body, frozen=True, kw_only=True):
    """A folder, and the names of the safetensors files in it that hold its tensors."""

    folder: str
    files: tuple[str, ...]


class ProveCall(Call[ProveReply], frozen=True, kw_only=True):
    """`…_is_tied`: whether config.json ties embedding and head. `quantized`: where the base's files are quantized."""

    verb = "prove"
    reply = ProveReply

    base: FolderFiles
    adapter: FolderFiles
    merged: FolderFiles
    base_is_tied: bool
    merged_is_tied: bool
    quantized: QuantizedChoice | None = None
    embedding: EmbeddingChoice = EmbeddingChoice()
    architecture: str | None = None


class TinyModelCall(Call[TinyModelReply], frozen=True, kw_only=True):
    """`family` names a recipe, `config` is a whole config.json in its place. Without `weights` only config.json is
    written; `adapter` is a folder for a LoRA adapter on `targets`."""

    verb = "tiny-model"
    reply = TinyModelReply

    folder: str
    family: str | None = None
    config: dict[str, object] | None = None
    weights: bool = True
    adapter: str | None = None
    targets: tuple[str, ...] | None = None
    seed: int = 0


class ProbeCall(Call[ProbeReply], frozen=True, kw_only=True):
    """One `action` on a model and an adapter. The logits of a merge are held against `reference`, or written to
    `write_reference`."""

    verb = "probe"
    reply = ProbeReply

    action: str
    model: str | None = None
    adapter: str | None = None
    family: str | None = None
    reference: str | None = None
    write_reference: str | None = None
    float32: bool = False
    module: str | None = None
    seed: int = 0


class LadderCall(Call[LadderReply], frozen=True, kw_only=True):
    """`timeout` is in seconds, for one step; with `fork` each job has a process. Each `StepOutcome` is told at once."""

    verb = "ladder"
    reply = LadderReply

    jobs: tuple[LadderClimb, ...]
    timeout: float
    fork: bool = False


CALLS: tuple[type[Call[object]], ...] = (
    MergeCall, VerifyCall, StreamMergeCall, StreamAnswersCall, ProveCall, TinyModelCall, ProbeCall, LadderCall,
)  # type: ignore[assignment]  # fmt: skip
