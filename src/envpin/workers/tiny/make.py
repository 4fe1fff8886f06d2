"""Makes a tiny random model, or a LoRA adapter on it, in this environment, the same one for the same seed.

Request of `tiny-model`: {"family"? or "config"?, "folder", "seed"?, "weights"?: bool, "adapter"?: folder,
"targets"?: [...]}. `config` is a whole config.json; `family` names a recipe. With `weights` false only config.json is
written, which needs neither torch nor transformers.
"""

import os
from typing import Any, Dict, List, Optional, Tuple

from ..protocol import KnownError, write_json
from .recipe import load_recipes

# No initialisation of any architecture comes near.
_LARGEST = 1e3


def run(request: Dict[str, Any], events: Any) -> Dict[str, Any]:
    config, targets, task = _recipe(request)
    folder = request["folder"]
    os.makedirs(folder, exist_ok=True)
    write_json(os.path.join(folder, "config.json"), config)
    made: Dict[str, Optional[str]] = {"folder": folder, "adapter": None}
    if request.get("weights", True):
        events.step("tiny-model", "making a tiny %s" % config["model_type"])
        model = build(folder, seed=request.get("seed", 0))
        model.save_pretrained(folder, safe_serialization=True)
        # The library writes config.json in its own style; what is tested is the style of the family's own file.
        write_json(os.path.join(folder, "config.json"), config)
        if request.get("adapter"):
            adapter(model, folder, request["adapter"], targets, seed=request.get("seed", 0), task=task)
            made["adapter"] = request["adapter"]
        events.step("tiny-model", "making a tiny %s" % config["model_type"], "done")
    return made


def _recipe(request: Dict[str, Any]) -> Tuple[Dict[str, Any], Any, Optional[str]]:
    if request.get("config") is not None:
        return request["config"], request.get("targets") or "all-linear", "CAUSAL_LM"
    family, recipes = request.get("family"), load_recipes()
    if family not in recipes:
        raise KnownError(
            "unknown-family",
            "there is no tiny model of `%s`; there is one of: %s" % (family, ", ".join(sorted(recipes))),
            families=sorted(recipes),
        )
    recipe = recipes[family]
    return recipe.config, request.get("targets") or recipe.targets, recipe.task


def build(folder: str, seed: int = 0) -> Any:
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


def architecture(config: Any) -> Any:
    """The class that the config names; the auto class, which explains itself, where this release has none."""
    import transformers

    for name in getattr(config, "architectures", None) or []:
        if hasattr(transformers, name):
            return getattr(transformers, name)
    return _Auto


class _Auto:
    """`AutoModelForCausalLM`, in the shape of a model class."""

    @staticmethod
    def _from_config(config: Any) -> Any:
        import transformers

        return transformers.AutoModelForCausalLM.from_config(config)

    @staticmethod
    def from_pretrained(folder: str, **arguments: Any) -> Any:
        import transformers

        return transformers.AutoModelForCausalLM.from_pretrained(folder, **arguments)


def adapter(
    model: Any, base: str, folder: str, targets: List[str], *, seed: int = 0, task: Optional[str] = "CAUSAL_LM"
) -> None:
    """Save a LoRA adapter whose B matrices are not zero, so that it moves the model as a trained one does."""
    import peft
    import torch

    torch.manual_seed(seed + 1)
    settings = peft.LoraConfig(r=8, lora_alpha=16, target_modules=targets, lora_dropout=0.0, task_type=task)
    wrapped = peft.get_peft_model(model, settings)
    with torch.no_grad():
        for name, parameter in sorted(wrapped.named_parameters()):
            if ".lora_B." in name:
                parameter.normal_(0.0, 0.2)
    for settings in wrapped.peft_config.values():
        settings.base_model_name_or_path = base
    wrapped.save_pretrained(folder, safe_serialization=True)
