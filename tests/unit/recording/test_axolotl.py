"""The plugin for Axolotl: every hook of its interface is answered, and making it starts watching."""

from __future__ import annotations

import pytest

from envpin.recording import axolotl

# The hooks of axolotl 0.19's BasePlugin whose None means nothing to its manager.
HOOKS = ("register", "on_config_validation_error", "get_input_args", "get_training_args_mixin", "load_adapter",
         "load_datasets", "get_training_args", "get_collator_cls_and_kwargs", "on_rollouts_scored", "pre_model_load",
         "post_model_build", "pre_lora_load", "post_lora_load", "post_model_load", "get_trainer_cls",
         "post_trainer_create", "create_optimizer", "create_lr_scheduler", "add_callbacks_pre_trainer",
         "add_callbacks_post_trainer", "post_train", "post_train_unload")  # fmt: skip


def test_plugin_watches_and_answers_every_hook_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[bool] = []
    monkeypatch.setattr(axolotl, "watch", lambda: watched.append(True))
    plugin = axolotl.EnvpinPlugin()
    assert watched == [True]
    assert [getattr(plugin, name)({}, model=None) for name in HOOKS] == [None] * len(HOOKS)
    assert plugin.get_adapter_capabilities() == []  # axolotl iterates over it
    assert plugin.get_lora_config_kwargs({}) == {}
    with pytest.raises(AttributeError):
        _ = plugin.__wrapped__
