"""What a log shows of a training, and what some warnings mean there. Pure.

Before training a new head is as it should be, and no adapter was saved yet: the same lines mean something else in a run
that loads or merges.
"""

from __future__ import annotations

import re

_TRAINS = (
    b"'train_runtime'", b"'train_loss'", b"{'loss': ", b"trainer.train()", b"_inner_training_loop", b"Running Epoch",
)  # fmt: skip
_RESIZED = (b"resize_token_embeddings", b"new embeddings will be initialized", b"Resizing ", b"added tokens")
# The gradients of a step that are not zero, as the Trainer logs them.
_LEARNS = re.compile(rb"'grad_norm': '?0*\.?0*[1-9]")
_BEGINS = frozenset({"task-head"})
NO_ROW = (
    "a row of the data holds a token for which the model has none: tokens were added to the tokenizer alone, or it is "
    "another model's"
)
# How the words of the signature of `index out of range in self` begin.
_NO_SUCH_ROW = "an embedding was asked for a row"
_POSITIONS = re.compile(rb"(?:position_embeddings?|embed_positions|wpe|pos_emb\w*)\((?:position|self|input|past)")
NO_POSITION = "the input is longer than the model has positions, and its embedding of positions has no row for the rest"
NO_POSITION_STEPS = (
    "cut the input: truncation=True, max_length=model.config.max_position_embeddings",
    "of RoBERTa's kind the longest input is two shorter than max_position_embeddings",
)
NO_ROW_STEPS = (
    "after adding tokens: model.resize_token_embeddings(len(tokenizer)), and save with save_embedding_layers=True",
    "take the tokenizer of the base: compare len(tokenizer) with its vocab_size",
)


class TrainingSigns:
    """Reads the blocks of a log, and says which findings are idle in a training."""

    def __init__(self) -> None:
        self._trains = self._resized = self._learns = False

    def read(self, block: bytes) -> None:
        self._trains = self._trains or any(sign in block for sign in _TRAINS)
        self._learns = self._learns or _LEARNS.search(block) is not None
        self._resized = self._resized or any(sign in block for sign in _RESIZED)

    def are_idle(self, code: str, severity: str) -> bool:
        """Whether nothing follows from lines of this code: of a new head, of peft's word at each checkpoint that it
        could not look at the base's config, where no sign says that the vocabulary grew, and of a part of the model
        whose inputs need no gradient (a reference model's), where gradients are logged."""
        if code == "nothing-requires-grad":
            return self._learns and severity != "blocker"
        if code == "vocab-rows-not-saved":
            return self._trains and severity == "info" and not self._resized
        return self._trains and code in _BEGINS

    def which_row(self, says: str | None, near: bytes) -> tuple[str, tuple[str, ...]] | None:
        """Which kind of row an embedding did not have, and what to do, where the lines around it tell: the code that
        asked for it reads positions, or a training met a token for which the model was not resized."""
        if says is None or not says.startswith(_NO_SUCH_ROW):
            return None
        if _POSITIONS.search(near) is not None:
            return NO_POSITION, NO_POSITION_STEPS
        return (NO_ROW, NO_ROW_STEPS) if self._trains else None
