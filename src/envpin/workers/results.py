"""What a worker answers: one class for each verb, and `LadderOutcome` for what the ladder tells on its way.

A field with a default is left out of the JSON where it has that default; every other is there.
"""

from typing import Dict, NamedTuple, Optional, Tuple


class ProbeFigures(NamedTuple):
    """How far the adapter moves the base's logits, how far the merged model is from the adapter's, and their ratio;
    None where the figure is not finite. `expected` is the ratio that rounding alone explains; None: not measured."""

    moved: Optional[float]
    noise: Optional[float]
    ratio: Optional[float]
    expected: Optional[float] = None


class DeviceUsed(NamedTuple):
    """`kind` is `cpu` or `cuda`; `label` names it for a person; `reason` says why `auto` took it."""

    kind: str
    label: str
    reason: str

    @property
    def is_cuda(self) -> bool:
        return self.kind == "cuda"


class Accounting(NamedTuple):
    """How many tensors of the adapters sit in the model under their names, and which under another one."""

    matched: int
    renamed: Tuple[str, ...]


class Recomputed(NamedTuple):
    """What was recomputed in float64; `worst` is the largest error in units of what rounding allows."""

    tensors: int
    rows: int
    worst: float


class MergeResult(NamedTuple):
    """`touched` names, in the model and in the base's files, what the loaded adapters may change; `unusual` says what
    of them peft itself had to judge; `made_rows` are the first and the end of rows that no file holds."""

    base_rows: Optional[int]
    rows: Optional[int]
    accounting: Accounting
    probe: Optional[ProbeFigures]
    probe_note: Optional[str]
    untied: bool
    architecture: str
    versions: Dict[str, str]
    device: DeviceUsed
    touched: Tuple[str, ...]
    unusual: Tuple[str, ...]
    made_rows: Dict[str, Tuple[int, int]]


class VerifyResult(NamedTuple):
    """`extended` is the largest difference of logits on rows with added tokens."""

    untouched: int
    changed: int
    added: Tuple[str, ...]
    dropped: Tuple[str, ...]
    recomputed: Recomputed
    not_recomputed: Tuple[str, ...]
    probe: Optional[ProbeFigures]
    probe_note: Optional[str]
    extended: Optional[float]


class OperationEntry(NamedTuple):
    """One merged layer: the tensors that it writes, and the adapter's tensors that it takes."""

    tensor: Optional[str]
    tensors: Tuple[str, ...]
    kind: str
    module: str
    adapter_tensors: Tuple[str, ...]
    mode: str


class CalibrationCounts(NamedTuple):
    """Classes of shape, rank and dtype, and those that may run in row blocks."""

    classes: int
    blockwise: int


class StreamVerification(NamedTuple):
    """Tensors by what was proved of them. `equal` are those taken whole from the adapter."""

    recomputed: Recomputed
    equal: Tuple[str, ...]
    untouched: int
    dequantized: int
    changed: int
    added: Tuple[str, ...]
    dropped: Tuple[str, ...]
    not_recomputed: Tuple[str, ...]
    adapter_tensors_used: int
    adapter_tensors_repeated: Tuple[str, ...]
    untouched_equal: int
    finite: bool
    calibration: CalibrationCounts


class DecodedBase(NamedTuple):
    """How many tensors were quantized, by kind; how many classes of them bitsandbytes decodes to the same bits; whether
    its layers misread some on this machine; the device that quantized as training did."""

    tensors: int
    kinds: Dict[str, int]
    classes: int
    equal_to_library: int
    misread_by_library: bool
    quantized_on: Optional[str]
    note: Optional[str]


class StreamMergeResult(NamedTuple):
    """`files` maps names to sha256, `tensors` each tensor to its file, checksum, offset and size; a None in
    `config_updates` takes the key away."""

    engine: str
    operations: Tuple[OperationEntry, ...]
    untouched: int
    changed: int
    files: Dict[str, str]
    tensors: Dict[str, Tuple[str, str, int, int]]
    config_updates: Dict[str, object]
    resumed: Tuple[str, ...]
    device: DeviceUsed
    architecture: str
    base_rows: Optional[int]
    rows: Optional[int]
    untied: bool
    versions: Dict[str, str]
    accounting: Accounting
    verification: StreamVerification
    quantized: Optional[DecodedBase] = None


class StreamAnswersResult(NamedTuple):
    """`asked` is `layers` where the models were asked layer by layer; where the base is quantized it is `quantized` (by
    its library) or `dequantized` (as envpin decodes it); None where whole models were loaded. `asked_note` says why it
    is one of the last two."""

    probe: Optional[ProbeFigures]
    probe_note: Optional[str]
    extended: Optional[float]
    asked: Optional[str] = None
    asked_note: Optional[str] = None


class JudgedTensor(NamedTuple):
    """One tensor of a merged model. `state` is `equal` (to the bit), `rounding` (as near as a right merge comes),
    `not-compared` or `wrong`; `way` says how a right merge was rounded. `cause` is a stable slug where it is wrong,
    `why` says it in words; `factor` is the measured scale of the adapter's change, `error` its standard error; `rows`
    are the first that are wrong, `other` is the tensor whose change it carries. `lost`: it equals the base's, and
    rightly so."""

    tensor: str
    state: str
    changed: bool = False
    way: Optional[str] = None
    cause: Optional[str] = None
    why: Optional[str] = None
    factor: Optional[float] = None
    error: Optional[float] = None
    rows: Tuple[int, ...] = ()
    wrong_rows: int = 0
    other: Optional[str] = None
    lost: bool = False


class TensorCounts(NamedTuple):
    """Tensors by their state."""

    equal: int = 0
    rounding: int = 0
    not_compared: int = 0
    wrong: int = 0


class ProveResult(NamedTuple):
    """`changed` counts those that the adapter changes. `lost` are right and equal to the base's all the same; `ways`
    says how often which rounding was met; `listed` are those that are wrong or were not compared; `tensors` is the
    state of each."""

    counts: TensorCounts
    changed: TensorCounts
    lost: Tuple[str, ...]
    ways: Dict[str, int]
    listed: Tuple[JudgedTensor, ...]
    tensors: Dict[str, str]
    notes: Tuple[str, ...]
    base_dtypes: Dict[str, int]
    merged_dtypes: Dict[str, int]
    torch: str


class TinyModelResult(NamedTuple):
    folder: str
    adapter: Optional[str]


class ProbeFailure(NamedTuple):
    """An exception. `modules` are the files of site-packages that its traceback passes through, outermost first,
    relative to that folder."""

    type: str
    message: str
    traceback: str
    modules: Tuple[str, ...]


class ProbeResult(NamedTuple):
    status: str
    details: Dict[str, object]
    seconds: float
    error: Optional[ProbeFailure] = None


class LadderOutcome(NamedTuple):
    """What one step of the job `id` showed. `blocked`: it was not tried; `machine`: the machine is to blame."""

    id: int
    capability: str
    outcome: str
    error: str
    seconds: float
    details: Optional[Dict[str, object]] = None
    blocked: bool = False
    machine: bool = False


class LadderResult(NamedTuple):
    finished: int
