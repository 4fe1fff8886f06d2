"""Makes a tiny random model, or a LoRA adapter on it, in this environment, the same one for the same seed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Dict, Optional, Sequence, Tuple, Type, Union

from ..protocol import Events, KnownError, write_json
from ..requests import TinyModelRequest
from ..results import TinyModelResult
from .recipe import load_recipes

if TYPE_CHECKING:
    import transformers

    ModelClass = Union[Type[transformers.PreTrainedModel], Type["_Auto"]]

# Names of layers, or a word of peft for them.
Targets = Union[str, Sequence[str]]

# No initialisation of any architecture comes near.
_LARGEST = 1e3


def run(request: TinyModelRequest, events: Events) -> TinyModelResult:
    config, targets, task = _recipe(request)
    folder = request.folder
    os.makedirs(folder, exist_ok=True)
    write_json(os.path.join(folder, "config.json"), config)
    if not request.weights:
        return TinyModelResult(folder, None)
    events.step("tiny-model", "making a tiny %s" % config["model_type"])
    model = build(folder, seed=request.seed)
    model.save_pretrained(folder, safe_serialization=True)
    # The library writes config.json in its own style; what is tested is the style of the family's own file.
    write_json(os.path.join(folder, "config.json"), config)
    if request.adapter:
        adapter(model, folder, request.adapter, targets, seed=request.seed, task=task)
    events.step("tiny-model", "making a tiny %s" % config["model_type"], "done")
    return TinyModelResult(folder, request.adapter)


def _recipe(request: TinyModelRequest) -> Tuple[Dict[str, object], Targets, Optional[str]]:
    given: Optional[Targets] = list(request.targets) if request.targets else None
    if request.config is not None:
        return request.config, given or "all-linear", "CAUSAL_LM"
    family, recipes = request.family, load_recipes()
    if family is None or family not in recipes:
        raise KnownError(
            "unknown-family",
            "there is no tiny model of `%s`; there is one of: %s" % (family, ", ".join(sorted(recipes))),
            families=sorted(recipes),
        )
    recipe = recipes[family]
    return recipe.config, given or recipe.targets, recipe.task


def target_modules(targets: Targets) -> Targets:
    """What peft takes: names of layers as a list, a pattern over whole names, as towers need it, as a string."""
    if not isinstance(targets, str) and len(targets) == 1 and "\\" in targets[0]:
        return targets[0]
    return targets


def build(folder: str, seed: int = 0) -> transformers.PreTrainedModel:
    """A random model from the config.json of `folder`, in float32, in eval mode. Raises what the libraries raise."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    torch.manual_seed(seed)
    model_class = architecture(config)
    model = model_class._from_config(config)  # noqa: SLF001  its only spelling that exists in every release
    for parameter in model.parameters():
        # Some releases leave the experts of some models as memory happened to be.
        if not bool(torch.isfinite(parameter).all()) or float(parameter.detach().abs().max()) > _LARGEST:
            torch.nn.init.normal_(parameter, std=0.02)
    return model.float().eval()


def architecture(config: transformers.PretrainedConfig) -> ModelClass:
    """The class that the config names; the auto class, which explains itself, where this release has none."""
    import transformers

    for name in getattr(config, "architectures", None) or []:
        if hasattr(transformers, name):
            found: ModelClass = getattr(transformers, name)
            return found
    return _Auto


class _Auto:
    """`AutoModelForCausalLM`, in the shape of a model class."""

    @staticmethod
    def _from_config(config: transformers.PretrainedConfig) -> transformers.PreTrainedModel:
        import transformers

        return transformers.AutoModelForCausalLM.from_config(config)

    @staticmethod
    def from_pretrained(folder: str, **arguments: object) -> transformers.PreTrainedModel:
        import transformers

        return transformers.AutoModelForCausalLM.from_pretrained(folder, **arguments)


def adapter(
    model: transformers.PreTrainedModel,
    base: str,
    folder: str,
    targets: Targets,
    *,
    seed: int = 0,
    task: Optional[str] = "CAUSAL_LM",
) -> None:
    """Save a LoRA adapter whose B matrices are not zero, so that it moves the model as a trained one does."""
    import peft
    import torch

    torch.manual_seed(seed + 1)
    settings = peft.LoraConfig(
        r=8, lora_alpha=16, target_modules=target_modules(targets), lora_dropout=0.0, task_type=task
    )
    wrapped = peft.get_peft_model(model, settings)
    with torch.no_grad():
        for name, parameter in sorted(wrapped.named_parameters()):
            if ".lora_B." in name:
                parameter.normal_(0.0, 0.2)
    for settings in wrapped.peft_config.values():
        settings.base_model_name_or_path = base
    wrapped.save_pretrained(folder, safe_serialization=True)
