"""What a log shows of a training, and what some warnings mean there. Pure.

Before training a new head is as it should be, and no adapter was saved yet: the same lines mean something else in a run
that loads or merges.
"""

from __future__ import annotations

_TRAINS = (
    b"'train_runtime'", b"'train_loss'", b"{'loss': ", b"trainer.train()", b"_inner_training_loop", b"Running Epoch",
)  # fmt: skip
_RESIZED = (b"resize_token_embeddings", b"new embeddings will be initialized", b"Resizing ", b"added tokens")
_BEGINS = frozenset({"task-head"})
NO_ROW = (
    "a row of the data holds a token for which the model has none: tokens were added to the tokenizer alone, or it is "
    "another model's"
)
NO_ROW_STEPS = (
    "after adding tokens: model.resize_token_embeddings(len(tokenizer)), and save with save_embedding_layers=True",
    "take the tokenizer of the base: compare len(tokenizer) with its vocab_size",
)


class TrainingSigns:
    """Reads the blocks of a log, and says which findings are idle in a training."""

    def __init__(self) -> None:
        self._trains = self._resized = False

    def read(self, block: bytes) -> None:
        self._trains = self._trains or any(sign in block for sign in _TRAINS)
        self._resized = self._resized or any(sign in block for sign in _RESIZED)

    def are_idle(self, code: str, severity: str) -> bool:
        """Whether nothing follows from lines of this code: of a new head, and of peft's word at each checkpoint that it
        could not look at the base's config, where no sign says that the vocabulary grew."""
        if code == "vocab-rows-not-saved":
            return self._trains and severity == "info" and not self._resized
        return self._trains and code in _BEGINS

    def has_no_row(self, code: str, severity: str) -> bool:
        """Whether a token without a row is one that the model was not resized for, and no row that a save left out."""
        return self._trains and code == "vocab-rows-not-saved" and severity != "info"
