"""Which tensor goes where: the base's files and order kept, or cut anew at a size; new tensors beside their
partners."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from ..requests import StreamMergeRequest
from .io.files import OutputFile, Segment, StoredTensor, WeightFolder, group_by_size, torch_dtype
from .operations import Operation, final_module
from .skeleton import Skeleton


def lay_out(
    operations: List[Operation],
    extra: Dict[str, str],
    skeleton: Skeleton,
    base: WeightFolder,
    request: StreamMergeRequest,
) -> Tuple[List[OutputFile], Optional[str]]:
    """The files to write and the name of their index, if they need one. `extra`: see `stream_ties.settle_ties`."""
    groups = _Groups(operations, skeleton, base, request)
    groups.add_new(extra)
    metadata = {"format": "pt", **(request.metadata or {})}
    limit = request.max_shard_size
    if not limit:
        files = []
        for name, segments in groups.by_file.items():
            header = base.files[name]
            files.append(OutputFile(name, segments, {**header.metadata, **metadata}, header.data_start % 4096))
        return files, base.index_name
    cut = group_by_size([segment for segments in groups.by_file.values() for segment in segments], limit)
    if len(cut) == 1:
        return [OutputFile("model.safetensors", cut[0], metadata, None)], None
    files = []
    for number, segments in enumerate(cut):
        name = "model-%05d-of-%05d.safetensors" % (number + 1, len(cut))
        files.append(OutputFile(name, segments, metadata, None))
    return files, "model.safetensors.index.json"


class _Groups:
    """The output's segments by the base's file that they belong to."""

    def __init__(
        self, operations: List[Operation], skeleton: Skeleton, base: WeightFolder, request: StreamMergeRequest
    ) -> None:
        self._writers = {
            output.name: (number, output) for number, one in enumerate(operations) for output in one.outputs
        }
        self._shapes = _shapes(operations, skeleton)
        self._skeleton = skeleton
        self._base = base
        self._request = request
        self.by_file: Dict[str, List[Segment]] = {
            name: [self._segment(tensor) for tensor in header.tensors] for name, header in base.files.items()
        }

    def _segment(self, tensor: StoredTensor) -> Segment:
        number = self._writers[tensor.name][0] if tensor.name in self._writers else None
        shape = self._shapes.get(tensor.name, tensor.shape)
        return Segment(tensor.name, self._dtype(tensor.name, tensor.dtype), shape, base=tensor, operation=number)

    def _dtype(self, name: str, stored: str) -> str:
        return self._skeleton.output_dtypes.get(name) or wanted_dtype(stored, self._request)

    def add_new(self, extra: Dict[str, str]) -> None:
        """Append tensors that the base does not store: a head no longer tied, a classifier made in training."""
        usual = _usual_dtype(self._base)
        for name, (number, output) in self._writers.items():
            if name in self._base.tensors:
                continue
            partner = self._skeleton.stored(output.key)
            dtype = self._dtype(name, partner.dtype if partner is not None else usual)
            segment = Segment(name, dtype, self._shapes[name], base=None, operation=number)
            self._home(partner).append(segment)
        for name, key in extra.items():
            partner = self._skeleton.find(key)
            dtype = self._dtype(name, partner.dtype)
            self._home(partner).append(Segment(name, dtype, partner.shape, base=partner, operation=None))

    def _home(self, partner: Optional[StoredTensor]) -> List[Segment]:
        """The segments of the file where `partner` lies, or of the last file."""
        for name, header in self._base.files.items():
            if partner is not None and any(one.name == partner.name for one in header.tensors):
                return self.by_file[name]
        return self.by_file[list(self.by_file)[-1]]


def _shapes(operations: List[Operation], skeleton: Skeleton) -> Dict[str, Tuple[int, ...]]:
    found = {}
    for one in operations:
        module = final_module(one.unit) if one.unit is not None else None
        for output in one.outputs:
            if output.key in skeleton.fused:
                sources = {source.name: source.shape for _, source in skeleton.fused[output.key].sources}
                found[output.name] = sources[output.name]
                continue
            parameter = one.slots[0].parameter if module is None else dict(module.named_parameters())[output.path]
            found[output.name] = tuple(int(extent) for extent in parameter.shape)
    return found


def wanted_dtype(dtype: str, request: StreamMergeRequest) -> str:
    """The dtype that a floating tensor gets in the output; integers keep theirs."""
    wanted = {"bf16": "BF16", "fp16": "F16", "fp32": "F32"}.get(request.dtype)
    return wanted if wanted and dtype in {"F64", "F32", "F16", "BF16"} else dtype


def _usual_dtype(base: WeightFolder) -> str:
    dtypes = [tensor.dtype for tensor in base.tensors.values() if torch_dtype(tensor.dtype).is_floating_point]
    return max(set(dtypes), key=dtypes.count) if dtypes else "F32"
