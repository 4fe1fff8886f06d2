"""Wrap what loads, resizes and saves.

A wrapper calls the original first and lets its exceptions pass; only then does it look, guarded.
"""

from __future__ import annotations

import functools
import inspect
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple, Union

from _envpin_hook import data, document, guarded, observed, replayed, surroundings, training

if TYPE_CHECKING:
    from types import ModuleType

    import peft
    import transformers
    from transformers import PreTrainedTokenizerBase as Tokenizer

    # With output_loading_info=True a model comes with an account of its loading.
    Loaded = Union[transformers.PreTrainedModel, Tuple[transformers.PreTrainedModel, object]]

# What is wrapped, and the arguments of one call of it.
Original = Callable[..., object]
Arguments = Tuple[object, ...]
Options = Dict[str, object]

_MARK = "_envpin_wrapped"


def _replace(owner: object, name: str, make: Callable[[Original], Original]) -> None:
    """Replace `owner.name`, a function or classmethod defined there, by `make(original)`; once."""
    found = owner.__dict__.get(name)
    if found is None:
        return
    original = found.__func__ if isinstance(found, classmethod) else found
    if not callable(original) or getattr(original, _MARK, False):
        return
    wrapper = functools.wraps(original)(make(original))
    setattr(wrapper, _MARK, True)
    setattr(owner, name, classmethod(wrapper) if isinstance(found, classmethod) else wrapper)


def _bound(original: Original, args: Arguments, kwargs: Options) -> Dict[str, Any]:
    """Argument name -> value, the keyword catch-all merged in. What a library passes is for the library to say."""
    signature = inspect.signature(original)
    found = dict(signature.bind_partial(*args, **kwargs).arguments)
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found.update(found.pop(parameter.name, {}))
    return found


def wrap_hub(module: ModuleType) -> None:
    """The files that a load really opened: the commit stands in their path, whatever became of config._commit_hash."""

    def make(original: Original) -> Original:
        def cached(*args: object, **kwargs: object) -> object:
            result = original(*args, **kwargs)
            guarded("resolved file", observed.resolved, result)
            return result

        return cached

    _replace(module, "cached_file", make)
    _replace(module, "cached_files", make)


def wrap_models(module: ModuleType) -> None:
    model = module.PreTrainedModel
    _replace(model, "from_pretrained", _from_pretrained(_model_loaded))
    _replace(model, "resize_token_embeddings", _resize)
    _replace(model, "save_pretrained", _save_model)


def wrap_peft(module: ModuleType) -> None:
    _replace(module.PeftModel, "save_pretrained", _save_adapter)
    _replace(module.PeftModel, "__init__", _adapter_made)


def wrap_tokenizers(module: ModuleType) -> None:
    for kind in list(vars(module).values()):
        if isinstance(kind, type) and kind.__module__ == module.__name__:
            _replace(kind, "save_pretrained", _save_tokenizer)
            if hasattr(kind, "get_added_vocab") or "Tokenizer" in kind.__name__:
                _replace(kind, "from_pretrained", _from_pretrained(_tokenizer_loaded))
            _replace(kind, "add_tokens", _add_tokens)


def wrap_trainer(module: ModuleType) -> None:
    _replace(module.Trainer, "__init__", _trainer_made)
    _replace(module.Trainer, "training_step", _training_step)
    _replace(module.Trainer, "log", _logged)
    _replace(module.Trainer, "_inner_training_loop", _training_loop)
    if replayed.active():
        _replace(module.Trainer, "save_model", _save_elsewhere)


def wrap_training_args(module: ModuleType) -> None:
    """In a replay alone: what the recorded run wrote into its output goes into the replay's."""
    if replayed.active():
        _replace(module.TrainingArguments, "__post_init__", _output_elsewhere)


def wrap_accelerator(module: ModuleType) -> None:
    _replace(module.Accelerator, "clip_grad_norm_", _clip)


def wrap_datasets(module: ModuleType) -> None:
    _replace(module.DatasetBuilder, "as_dataset", _dataset_loaded)
    _replace(module.DatasetBuilder, "as_streaming_dataset", _dataset_loaded)


def _from_pretrained(note: Callable[..., None]) -> Callable[[Original], Original]:
    def make(original: Original) -> Original:
        def from_pretrained(cls: object, *args: object, **kwargs: object) -> object:
            with observed.loading() as files:
                result = original(cls, *args, **kwargs)
            guarded("after from_pretrained", note, original, (cls,) + args, kwargs, result, files)
            return result

        return from_pretrained

    return make


def _model_loaded(original: Original, args: Arguments, kwargs: Options, result: Loaded, files: List[str]) -> None:
    model = result[0] if isinstance(result, tuple) else result  # output_loading_info=True
    bound = _bound(original, args, kwargs)
    source = getattr(model.config, "_name_or_path", None) or bound.get("pretrained_model_name_or_path")
    observed.note_load(model, source, bound.get("revision"), files)


def _tokenizer_loaded(
    original: Original,
    args: Arguments,
    kwargs: Options,
    result: Tokenizer,
    files: List[str],
) -> None:
    source = os.fspath(_bound(original, args, kwargs).get("pretrained_model_name_or_path", ""))
    observed.note_tokenizer(result, source, observed.tokenizer_place(source, files))


def _resize(original: Original) -> Original:
    def resize_token_embeddings(self: object, *args: object, **kwargs: object) -> object:
        before = guarded("rows before a resize", observed.rows, self)
        result = original(self, *args, **kwargs)
        guarded("after a resize", _resized, original, self, args, kwargs, before)
        return result

    return resize_token_embeddings


def _resized(
    original: Original,
    model: transformers.PreTrainedModel,
    args: Arguments,
    kwargs: Options,
    before: Optional[int],
) -> None:
    bound = _bound(original, (model,) + tuple(args), kwargs)
    kept: Options = {
        name: bound[name] for name in ("new_num_tokens", "pad_to_multiple_of", "mean_resizing") if name in bound
    }
    observed.note_resize(model, kept, before, observed.rows(model))


def _save_model(original: Original) -> Original:
    def save_pretrained(self: object, *args: object, **kwargs: object) -> object:
        args, kwargs = replayed.moved_call(args, kwargs)
        result = original(self, *args, **kwargs)
        guarded("recording a saved model", _model_saved, original, self, args, kwargs)
        return result

    return save_pretrained


def _model_saved(original: Original, model: transformers.PreTrainedModel, args: Arguments, kwargs: Options) -> None:
    bound = _bound(original, (model,) + tuple(args), kwargs)
    if not bound.get("is_main_process", True):
        return
    folder = os.fspath(bound["save_directory"])
    # A model with adapters added by transformers itself (`model.add_adapter`) saves those alone.
    kind = "adapter" if getattr(model, "_hf_peft_config_loaded", False) else "model"
    document.after_model_save(model, kind, folder)


def _save_adapter(original: Original) -> Original:
    def save_pretrained(self: object, *args: object, **kwargs: object) -> object:
        args, kwargs = replayed.moved_call(args, kwargs)
        result = original(self, *args, **kwargs)
        guarded("recording a saved adapter", _adapter_saved, original, self, args, kwargs)
        return result

    return save_pretrained


def _adapter_saved(original: Original, model: peft.PeftModel, args: Arguments, kwargs: Options) -> None:
    bound = _bound(original, (model,) + tuple(args), kwargs)
    if not bound.get("is_main_process", True):
        return
    folder = os.fspath(bound["save_directory"])
    for name in bound.get("selected_adapters") or list(model.peft_config):
        # peft puts every adapter but the default one into a folder of its name.
        own = folder if name == "default" else os.path.join(folder, name)
        if os.path.isfile(os.path.join(own, "adapter_config.json")):
            guarded("recording adapter " + name, document.after_model_save, model, "adapter", own)


def _save_tokenizer(original: Original) -> Original:
    def save_pretrained(self: object, *args: object, **kwargs: object) -> object:
        args, kwargs = replayed.moved_call(args, kwargs)
        result = original(self, *args, **kwargs)
        guarded("recording a saved tokenizer", _tokenizer_saved, original, self, args, kwargs)
        return result

    return save_pretrained


def _tokenizer_saved(original: Original, tokenizer: Tokenizer, args: Arguments, kwargs: Options) -> None:
    if surroundings.rank() == 0:
        bound = _bound(original, (tokenizer,) + tuple(args), kwargs)
        document.after_tokenizer_save(tokenizer, os.fspath(bound["save_directory"]))


def _add_tokens(original: Original) -> Original:
    def add_tokens(self: object, *args: object, **kwargs: object) -> object:
        result = original(self, *args, **kwargs)
        if result and not observed.is_loading():
            guarded("after add_tokens", _tokens_added, original, self, args, kwargs)
        return result

    return add_tokens


def _tokens_added(original: Original, tokenizer: Tokenizer, args: Arguments, kwargs: Options) -> None:
    observed.note_added(tokenizer, _bound(original, (tokenizer,) + tuple(args), kwargs).get("new_tokens") or [])


def _trainer_made(original: Original) -> Original:
    def init(self: object, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)
        guarded("noting the trainer", observed.note_trainer, self)
        if replayed.active():
            guarded("moving the output", replayed.move_output, self)

    return init


def _adapter_made(original: Original) -> Original:
    def init(self: object, *args: object, **kwargs: object) -> None:
        before = guarded("generators before an adapter", training.generator_state)
        original(self, *args, **kwargs)
        if before is not None:
            guarded("noting the adapter", training.note_adapter, self, before)

    return init


def _training_step(original: Original) -> Original:
    replaying = replayed.active()

    def training_step(
        self: transformers.Trainer, model: object, inputs: object, *args: object, **kwargs: object
    ) -> object:
        watch = training.before_step(self, model, inputs)
        loss = original(self, model, inputs, *args, **kwargs)
        if watch is not None:
            training.after_step(watch, loss)
            if replaying:
                replayed.stop_after(self)
        return loss

    return training_step


def _logged(original: Original) -> Original:
    def log(self: transformers.Trainer, logs: object, *args: object, **kwargs: object) -> object:
        result = original(self, logs, *args, **kwargs)
        guarded("tracing a log", lambda: training.watch_of(self).logged(self, logs))
        return result

    return log


def _training_loop(original: Original) -> Original:
    def inner_training_loop(self: transformers.Trainer, *args: object, **kwargs: object) -> object:
        guarded("noting a resume", _resumed, original, self, args, kwargs)
        try:
            result = original(self, *args, **kwargs)
        except BaseException:
            guarded("writing the trace", lambda: training.watch_of(self).flush())
            raise
        guarded("the end of training", lambda: training.watch_of(self).ended(self))
        return result

    return inner_training_loop


def _resumed(original: Original, trainer: transformers.Trainer, args: Arguments, kwargs: Options) -> None:
    resumed = _bound(original, (trainer,) + tuple(args), kwargs).get("resume_from_checkpoint")
    if resumed:
        training.note_resume(trainer, resumed)


def _clip(original: Original) -> Original:
    def clip_grad_norm_(self: object, *args: object, **kwargs: object) -> object:
        norm = original(self, *args, **kwargs)
        training.clipped(norm)  # cannot fail, and a guard would take most of its time
        return norm

    return clip_grad_norm_


def _dataset_loaded(original: Original) -> Original:
    def load(self: object, *args: object, **kwargs: object) -> object:
        result = original(self, *args, **kwargs)
        guarded("a loaded dataset", data.note_loaded, self, result)
        return result

    return load


def _save_elsewhere(original: Original) -> Original:
    def save_model(self: object, output_dir: object = None, *args: object, **kwargs: object) -> object:
        return original(self, replayed.moved(output_dir), *args, **kwargs)

    return save_model


def _output_elsewhere(original: Original) -> Original:
    def post_init(self: transformers.TrainingArguments) -> object:
        self.output_dir = replayed.moved(self.output_dir)
        return original(self)

    return post_init
