"""What each action of a probe does. An action raises what the libraries raise, or one of the errors named here."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Union

from ..protocol import KnownError, write_json
from ..requests import ProbeRequest
from ..runtime import answers
from ..tiny import make as tiny
from ..tiny.recipe import TinyRecipe, load_recipes

if TYPE_CHECKING:
    import peft
    import torch
    import transformers

    Model = Union[transformers.PreTrainedModel, peft.PeftModel]

# What an action found out, as JSON.
Details = Dict[str, object]

# How far answers may lie from the reference, as a share of what the adapter moves, before it is another adapter.
# Releases differ by rounding (about 1e-4 in float32, a few hundredths in bfloat16); a lost or altered part of it
# shows far above that.
_SAME_EFFECT = 0.2
_SAME_MERGE = 0.1
_COLUMNS = 1024
# What is trained of a model of no family.
_USUAL = TinyRecipe(task="CAUSAL_LM", targets=["q_proj", "v_proj"], config={})


class AdapterDoesNothingError(Exception):
    """The model with the adapter answers exactly as the model without it."""


class AdapterEffectDiffersError(Exception):
    """The adapter moves the answers, but not as it did where it was made."""


class MergeDiffersError(Exception):
    """The merged model does not answer as the adapter on its base does."""


class BaseDiffersError(Exception):
    """The base itself answers differently from before, so the adapter sits on another model."""


class NotFiniteError(Exception):
    """An output or a loss is not a number."""


def needed(value: Optional[str], name: str) -> str:
    """
    Raises:
        KnownError: `request` where the action needs what was not given.
    """
    if value is None:
        raise KnownError("request", "`%s` is missing" % name, field=name)
    return value


def read_config(request: ProbeRequest, details: Details) -> None:
    """Read the config only: what every later step begins with."""
    import transformers

    details["transformers"] = transformers.__version__
    config = transformers.AutoConfig.from_pretrained(needed(request.model, "model"), trust_remote_code=False)
    details["class"] = type(config).__name__


def load(request: ProbeRequest, details: Details) -> Model:
    """Read the config; load the weights where the folder has some, else make the model with random ones."""
    import transformers

    details["transformers"] = transformers.__version__
    folder = needed(request.model, "model")
    if not any(name.endswith((".safetensors", ".bin")) for name in os.listdir(folder)):
        model = tiny.build(folder, seed=request.seed)
    else:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model = tiny.architecture(config).from_pretrained(folder, **_own_dtype(request)).eval()
        if request.float32:
            model = model.float()
    details["class"] = type(model).__name__
    return model


def forward(request: ProbeRequest, details: Details) -> Model:
    import torch

    model = load(request, details)
    with torch.no_grad():
        finite(answers.logits(model, token_ids(model)))
    return model


def generate(request: ProbeRequest, details: Details) -> None:
    import torch

    model = load(request, details)
    arguments = answers.arguments_of(model, torch.tensor(token_ids(model)[:1]))
    seen = arguments.pop("decoder_input_ids", arguments.get("input_ids"))
    with torch.no_grad():
        made = model.generate(**arguments, max_new_tokens=6, do_sample=False, pad_token_id=0)
    if not made.is_floating_point():  # a model that speaks makes sound, and ends when it likes
        details["new_tokens"] = int(made.shape[1] - (1 if model.config.is_encoder_decoder else seen.shape[1]))


def train(request: ProbeRequest, details: Details) -> Model:
    """A few LoRA steps on one batch: the loss must be finite and fall. A `family` brings what people train of it."""
    import peft
    import torch

    model = load(request, details)
    recipe = load_recipes().get(request.family or "", _USUAL)
    torch.manual_seed(request.seed + 1)
    settings = peft.LoraConfig(
        r=8, lora_alpha=16, target_modules=tiny.target_modules(recipe.targets), task_type=recipe.task
    )
    wrapped = peft.get_peft_model(model, settings).train()
    for module in wrapped.modules():
        if getattr(module, "track_running_stats", False):
            module.eval()  # an adapter does not carry what training would make of these statistics
    arguments = answers.arguments_of(model, torch.tensor(token_ids(model)[:2]))
    arguments.update(_labels(model, arguments))
    optimizer = torch.optim.AdamW([p for p in wrapped.parameters() if p.requires_grad], lr=2e-2)
    losses = []
    for _ in range(5):
        loss = _loss(wrapped(**arguments))
        finite(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    details["losses"] = losses
    if min(losses) >= losses[0]:
        raise NotFiniteError("the loss did not fall in 5 steps: %s" % ", ".join("%.4f" % loss for loss in losses))
    return wrapped


def _labels(model: Model, arguments: Dict[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
    """What the model learns, out of what it is called with: the text itself, a few letters for a wave, a class for a
    picture, which text belongs to which picture, the sound; nothing for a model that has no loss of its own."""
    import inspect

    import torch

    takes = inspect.signature(model.forward).parameters
    if "labels" not in takes:
        return {"return_loss": torch.tensor(True)} if "return_loss" in takes else {}
    if "decoder_input_values" in arguments:
        return {"labels": -arguments["decoder_input_values"].repeat_interleave(model.config.reduction_factor, dim=1)}
    if "pixel_values" in arguments and "input_ids" not in arguments:
        return {"labels": torch.arange(len(arguments["pixel_values"])) % int(model.config.num_labels)}
    if "input_values" in arguments:
        return {"labels": torch.tensor(token_ids(model)[:2])[:, :4]}
    labels = arguments.pop("decoder_input_ids", arguments.get("input_ids"))
    return {"labels": labels.contiguous()}


def _loss(output: transformers.utils.ModelOutput) -> torch.Tensor:
    """The model's own; of one without, the distance of its output from a fixed wave."""
    import torch

    own: Optional[torch.Tensor] = getattr(output, "loss", None)
    if own is not None:
        return own
    made = answers.first_output(output).float()
    return (made - torch.sin(torch.linspace(-40.0, 40.0, made.numel())).reshape(made.shape)).pow(2).mean()


def load_adapter(request: ProbeRequest, details: Details) -> Model:
    import peft
    import torch

    details["peft"] = peft.__version__
    model = load(request, details)
    with torch.no_grad():
        wrapped = peft.PeftModel.from_pretrained(model, needed(request.adapter, "adapter"), is_trainable=False).eval()
        finite(answers.logits(wrapped, token_ids(model)))
    return wrapped


def merge(request: ProbeRequest, details: Details) -> Model:
    """Load base and adapter, merge, and judge by what the three models answer. Gives the merged model.

    With `write_reference` the answers are written down; with `reference` they are compared with those written where the
    adapter is known to work. That is how an adapter that silently became nothing, or half of itself, is found.
    """
    import peft
    import torch

    details["peft"] = peft.__version__
    model = load(request, details)
    ids = token_ids(model)
    with torch.no_grad():
        base = finite(answers.logits(model, ids))
        wrapped = peft.PeftModel.from_pretrained(model, needed(request.adapter, "adapter"), is_trainable=False).eval()
        adapted = finite(answers.logits(wrapped, ids))
        result = wrapped.merge_and_unload()
        merged = finite(answers.logits(result, ids))
    figures = answers.ratio(base, adapted, merged)
    details.update(figures._asdict())
    if request.write_reference:
        write_reference(request.write_reference, base, adapted)
    moved = figures.moved or 0.0
    if moved <= 1e-6 * float(base.abs().max()):
        raise AdapterDoesNothingError(
            "the adapter was loaded without an error and changes nothing: the model answers as its base"
        )
    if request.reference:
        compare(request.reference, base, adapted, details)
    if (figures.ratio or 0.0) > _SAME_MERGE:
        raise MergeDiffersError("|merged - adapter| / |adapter - base| is %.3g" % (figures.ratio or 0.0))
    return result


def write_reference(path: str, base: torch.Tensor, adapted: torch.Tensor) -> None:
    """Keep the answers of an adapter where it works, for `compare`. A file that cannot be written or read is the
    machine's fault (`KnownError`), never the release's."""
    try:
        write_json(path, {"base": _sample(base), "adapted": _sample(adapted)})
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise KnownError(
            "disk-full" if full else "reference", "`%s` cannot be written: %s" % (path, error.strerror)
        ) from error


def compare(path: str, base: torch.Tensor, adapted: torch.Tensor, details: Details) -> None:
    """Raise where base or adapter answer otherwise than where `path` was written."""
    import torch

    try:
        with open(path, encoding="utf-8") as stream:
            written = json.load(stream)
        then_base, then_adapted = torch.tensor(written["base"]), torch.tensor(written["adapted"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KnownError("reference", "the reference answers in `%s` cannot be read: %s" % (path, error)) from error
    now_base, now_adapted = torch.tensor(_sample(base)), torch.tensor(_sample(adapted))
    if now_base.shape != then_base.shape:
        raise BaseDiffersError(
            "the base has answers of shape %s, not %s" % (list(now_base.shape), list(then_base.shape))
        )
    effect = then_adapted - then_base
    drift = answers.distance(now_base, then_base) / max(answers.distance(then_adapted, then_base), 1e-30)
    change = answers.distance(now_adapted - now_base, effect) / max(float(effect.double().pow(2).mean().sqrt()), 1e-30)
    details.update({"base_drift": drift, "effect_change": change})
    if drift > _SAME_EFFECT:
        raise BaseDiffersError(
            "the base answers differently from the reference, by %.3g of what the adapter moves" % drift
        )
    if change > _SAME_EFFECT:
        raise AdapterEffectDiffersError(
            "what the adapter changes differs from the reference by %.3g of itself: a part of it is lost" % change
        )


def import_module(request: ProbeRequest, details: Details) -> None:
    import importlib

    module = importlib.import_module(needed(request.module, "module"))
    details["version"] = str(getattr(module, "__version__", ""))


def token_ids(model: Model) -> List[List[int]]:
    """The same ids for every release: the lower half of the vocabulary, below special tokens such as images."""
    config = model.config
    rows = getattr(config, "vocab_size", None)
    if rows is None and hasattr(config, "get_text_config"):
        rows = getattr(config.get_text_config(), "vocab_size", None)
    table = answers.embedding_rows(model)
    # A config may name more rows than the text model has; of pictures and sound only the number of ids counts.
    least = min(int(rows or table or 2), table or int(rows or 2))
    return answers.inputs(max(2, least // 2))


def finite(values: torch.Tensor) -> torch.Tensor:
    import torch

    if not bool(torch.isfinite(values).all()):
        raise NotFiniteError("the output holds values that are not finite")
    return values


def _sample(logits: torch.Tensor) -> List[List[List[float]]]:
    """Up to `_COLUMNS` evenly spaced columns of the last two positions: enough to compare, small enough for JSON."""
    step = max(1, logits.shape[-1] // _COLUMNS)
    logits = logits.unsqueeze(1) if logits.dim() == 2 else logits  # one answer for a whole picture
    picked = logits[:, -2:, ::step][..., :_COLUMNS]
    return [[[float(value) for value in row] for row in rows] for rows in picked]


def _own_dtype(request: ProbeRequest) -> Dict[str, str]:
    """The dtype of the files, in the spelling that every release from 4.0 to 5.x accepts."""
    return {} if request.float32 else {"torch_dtype": "auto"}


ACTIONS: Dict[str, Callable[[ProbeRequest, Details], object]] = {
    "config": read_config,
    "load": load,
    "forward": forward,
    "generate": generate,
    "train": train,
    "load-adapter": load_adapter,
    "merge": merge,
    "import": import_module,
}
