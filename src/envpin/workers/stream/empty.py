"""A model of this environment without weights: built on the meta device from its config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Type

from ..runtime import loading
from .adapters import unfilled
from .io.files import refuse

if TYPE_CHECKING:
    import transformers


def empty_model(
    wanted: Type[transformers.PreTrainedModel], config: transformers.PretrainedConfig
) -> transformers.PreTrainedModel:
    """
    Raises:
        KnownError: `not-streamable` where the model cannot be built so.
    """
    from accelerate import init_empty_weights

    try:
        with unfilled(), init_empty_weights(include_buffers=False):
            model = wanted(config)
    except Exception as error:  # whatever a model's constructor cannot do without weights, the other engine can
        raise refuse(
            "%s cannot be built without weights: %s" % (wanted.__name__, loading.one_paragraph(error, 300))
        ) from error
    model.tie_weights()
    return model.eval()
