"""The question of a probe, asked layer by layer of three models: the base, the base with its adapters, the merge."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, List, NamedTuple, Optional, Tuple

from ..protocol import KnownError
from ..requests import StreamMergeRequest
from ..runtime import answers, loading
from ..runtime.several import trained_tokens
from ..stream.adapters import TAG, read_adapters
from ..stream.io.files import WeightFolder
from ..stream.io.reader import Reader
from ..stream.skeleton import Skeleton, base_without_weights, build, tied_groups
from .layered import CannotAskError, Pool, filled

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from ..requests import QuantizedBase, StreamAnswersRequest

# Rows and length of the question. Reading the weights is what a layered probe waits for on two cores up to about this
# many tokens; more would make it wait for the products (a 1.1 B model: 2 x 16 tokens are 70 GFLOP a model).
_ROWS, _LENGTH = 2, 16


class Asked(NamedTuple):
    """Outputs in float32: of the base, with the adapters, of the merge; `extended` are the last two on added tokens."""

    base: Tensor
    adapted: Tensor
    merged: Tensor
    extended: Optional[Tuple[Tensor, Tensor]]


def ask(request: StreamAnswersRequest) -> Asked:
    """First with one large matrix in memory and little else, then with one layer, then with all that is not a layer
    (Whisper reads its table of positions without calling the module that owns it).

    Raises:
        CannotAskError: this architecture cannot be asked layer by layer; loading it whole may still do.
    """
    for apart, resident in ((True, False), (False, False)):
        with contextlib.suppress(CannotAskError):
            return _ask(request, apart=apart, resident=resident)
    return _ask(request, apart=False, resident=True)


def _ask(request: StreamAnswersRequest, *, apart: bool, resident: bool) -> Asked:
    reader = Reader()
    try:
        return _Question(request, reader, apart, resident).ask()
    except KnownError as error:
        raise CannotAskError(error.message) from error
    except (RuntimeError, NotImplementedError, TypeError, AttributeError, ValueError, KeyError, IndexError) as error:
        # What models raise when they meet a parameter without values, and what they raise on text-only input.
        message = "%s: %s" % (type(error).__name__, loading.one_paragraph(error, 200))
        raise CannotAskError(message) from error
    finally:
        reader.close()


class _Question:
    def __init__(self, request: StreamAnswersRequest, reader: Reader, apart: bool, resident: bool) -> None:
        self._request = request
        self._apart, self._resident = apart, resident
        self._reader = reader
        self._pool = Pool()
        self._base = WeightFolder(request.base)
        self._adapters = read_adapters(request)
        folder = self._adapters[0][0].folder
        self._adapter_config = loading.read_json(folder + "/adapter_config.json")
        self._merge = StreamMergeRequest(
            base=request.base,
            adapter=request.adapter,
            out="",
            weight=request.weight,
            further=request.further,
            embedding=request.embedding,
            architecture=request.architecture,
            quantized=request.quantized,
        )
        shapes = [(one.folder, {tensor.name: tensor.shape for tensor in head.tensors}) for one, head in self._adapters]
        self._labels = loading.labels_of(shapes)

    def ask(self) -> Asked:
        plain = self._plain(self._base, self._request.architecture, self._request.quantized)
        rows = answers.embedding_rows(plain.inner)
        if rows is None:
            raise CannotAskError("%s has no table of tokens" % type(plain.inner).__name__)
        own = trained_tokens(self._request, rows)
        batch = answers.inputs_for(plain.inner, rows, own, batch=_ROWS, length=_LENGTH)
        base = self._outputs(plain, batch)
        architecture = type(plain.inner).__name__
        extra = self._extra_tokens(rows)
        longer = batch + (answers.inputs_for(plain.inner, rows, extra, batch=_ROWS, length=_LENGTH) if extra else [])
        adapted = self._outputs(build(self._base, self._adapters, self._merge), longer)
        merged = self._outputs(self._plain(WeightFolder(self._request.merged), architecture, None), longer)
        extended = (adapted[len(batch) :], merged[len(batch) :]) if extra else None
        return Asked(base, adapted[: len(batch)], merged[: len(batch)], extended)

    def _plain(self, folder: WeightFolder, architecture: Optional[str], quantized: Optional[QuantizedBase]) -> Skeleton:
        """A model folder without any adapter."""
        found = base_without_weights(
            folder, self._adapter_config, self._labels, architecture=architecture, quantized=quantized
        )
        for name, parameter in found.model.named_parameters(remove_duplicate=False):
            setattr(parameter, TAG, ("base", name))
        tied = tied_groups(found.model)
        skeleton = Skeleton(found.model, names=found.names, fused=found.fused, tied=tied, adapter={})
        skeleton.decoded = found.decoded
        return skeleton

    def _extra_tokens(self, rows: int) -> List[int]:
        wanted = self._request.embedding.grown or rows
        extra = [token for token in self._request.extra_tokens if 0 <= token < wanted]
        return (extra + [token for token in range(rows, wanted) if token not in extra])[:8]

    def _outputs(self, skeleton: Skeleton, batch: List[List[int]]) -> Tensor:
        kept = {"apart": self._apart, "resident": self._resident}
        with filled(skeleton, self._reader, self._merge, self._pool, **kept) as model:
            found = outputs_of(model, batch)
        if found.device.type == "meta":
            raise CannotAskError("%s answers without its weights" % type(skeleton.inner).__name__)
        return found


def outputs_of(model: PreTrainedModel, batch: List[List[int]]) -> Tensor:
    import torch

    arguments = answers.arguments_of(model, torch.tensor(batch, dtype=torch.long))
    config = model.config
    if getattr(config, "pad_token_id", None) is None and "SequenceClassification" in type(model).__name__:
        config.pad_token_id = -1  # no row of the batch is padded, and without any it refuses a batch
    found: Tensor = answers.first_output(model(**arguments)).float()
    return found
