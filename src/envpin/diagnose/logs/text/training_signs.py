"""What a log shows of a training, and what some warnings mean there. Pure.

Before training a new head is as it should be, and no adapter was saved yet: the same lines mean something else in a run
that loads or merges.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from envpin.diagnose.logs.text.blocks import LineNumbers

# Of one block so many losses are looked at; one that is 0 may be a rounded one.
_LOSSES, _ZEROS = 5_000, 2
_TRAINS = (
    b"'train_runtime'", b"'train_loss'", b"{'loss': ", b"trainer.train()", b"_inner_training_loop", b"Running Epoch",
)  # fmt: skip
# The header or the lines of a loop that a script wrote itself.
_OWN_LOOP = re.compile(rb"(?im)^\W{0,8}epoch\b[^\n]{0,60}\b(?:train|loss)")
_RESIZED = (b"resize_token_embeddings", b"new embeddings will be initialized", b"Resizing ", b"added tokens")
# The gradients of a step that are not zero, as the Trainer logs them.
_LEARNS = re.compile(rb"'grad_norm': '?0*\.?0*[1-9]")
# An adapter that is put on the model after it was made brings its head along.
_ADAPTS = re.compile(
    rb"newly initialized(?s:.*)\n[^\n]{0,40}"
    rb"(?i:\b(?:load|apply|attach|add|merg)\w*\b[^\n]{0,40}\b\w*(?:adapter|lora|peft))"
)
# What a run logs of its loss and of what it trains. Rewards are of trainers whose loss begins at 0.
_LOSS = re.compile(rb"\{'loss': '?(?P<loss>[\d.e+-]+|nan)'?[,}](?![^\n]*(?:reward|'kl'))")
_OWN_LOSS = re.compile(rb"(?im)^[^\n{]{0,80}\b(?:train[_ ])?loss[ =:]{1,3}(?P<loss>\d+\.\d+(?:e[+-]?\d+)?)")
# Of a run too short to log a step, what it says at its end.
_WHOLE_LOSS = re.compile(rb"\{'train_runtime': '?(?P<time>\d*\.?\d*)[^\n}]*'train_loss': '?0?\.?0+'?[,}]")
# Seconds, of which no step takes less: a run that resumed at its end does none.
_NO_STEP = 0.05
# Literals: an expression takes thirty times as long over the lines of a training.
_OF_REWARDS = (b"reward", b"Reward", b"'kl'", b"GRPO", b"grpo", b"RLOO", b"rloo", b"PPO", b"ppo_", b"_ppo", b"/ppo")
# A preference trainer's pass over the reference model, whose inputs need no gradient.
_OF_PREFERENCES = (b"DPO", b"dpo", b"KTO", b"kto_", b"_kto")
# The level of a line, as loggers print it before what they say.
_INFORMS = re.compile(r"^[^A-Za-z\n]{0,40}INFO\b|^[\w:., -]{0,60}(?:\||-|:|\[) ?INFO\b")
_BEGINNING = 3
_CTC = (b"ForCTC", b"ctc_loss", b"wav2vec", b"hubert")
_ZERO = re.compile(rb"0*\.?0*(?:e[+-]?\d+)?")
_NOTHING_TRAINS = re.compile(rb"trainable params: 0 \|\|")
ALL_MASKED = (
    "the loss is 0 at every step, so nothing is learned: no token of the rows counts for it, as all labels are masked "
    "(-100) or cut away with the answers"
)
CTC_SKIPPED = (
    "the loss of the whole training is 0.0, so nothing was learned: with ctc_zero_infinity a row whose text is longer "
    "than its clip of sound has frames counts nothing, as one without text does"
)
CTC_SKIPPED_STEPS = (
    "compare the lengths: a model of wav2vec2's kind has some 50 frames a second, and each letter wants one at least",
    "take the text that belongs to the clip, and leave such rows out before: dataset.filter(…)",
)
ALL_MASKED_STEPS = (
    'print one batch: (batch["labels"] != -100).sum(); raise max_length above the length of the prompts',
    "where a template marks the answers (response_template, train_on_responses_only): give the one of this tokenizer",
)
NO_STEPS = (
    "the run ended without a step: it resumed from a checkpoint in the output folder that had already reached "
    "num_train_epochs or max_steps, so that the loss of 0 says nothing"
)
NO_STEPS_STEPS = (
    "to train on: raise num_train_epochs or max_steps above that of the checkpoint (trainer_state.json: global_step)",
    "to begin again: an output_dir without checkpoints, which many a program looks for by itself",
)
NOTHING_TRAINS = "`trainable params: 0`: every parameter is frozen, so that training changes nothing"
NOTHING_TRAINS_STEPS = (
    "an adapter is loaded with is_trainable=True, or made by get_peft_model without inference_mode=True",
)
ADDED_ROWS = (
    "the model was given rows for added tokens, which begin with random numbers, and generates with them in the same "
    "run without training: the rows that were trained were not saved with the adapter, or the tokenizer has tokens "
    "that training did not"
)
ADDED_ROWS_STEPS = (
    'train again with the rows saved: save_embedding_layers=True, or modules_to_save=["embed_tokens", "lm_head"]',
    "where training added none: take the tokenizer of the base, and leave out resize_token_embeddings",
    "where the adapter's file has embed_tokens, its rows replace these: envpin check ADAPTER --base BASE",
)
_GENERATES = re.compile(rb"new embeddings will be initialized(?s:.*)\nDevice set to use \w")
# What is told, as information, of a head that begins with random numbers.
OF_A_NEW_HEAD = frozenset({"task-head", "model-of-another-kind"})
NO_ROW = (
    "a row of the data holds a token for which the model has none: tokens were added to the tokenizer alone, or it is "
    "another model's"
)
_POSITIONS = re.compile(rb"(?:position_embeddings?|embed_positions|wpe|pos_emb\w*)\((?:position|self|input|past)")
_SEGMENTS = re.compile(rb"token_type_embeddings\(token_type")
_TOKENS = re.compile(
    rb"(?:embed_tokens|word_embeddings|wte|embed_in|shared|tok(?:en)?s?_emb\w*|emb(?:ed(?:ding)?s?)?_tok\w*)"
    rb"\((?:input|ids|idx|tokens?|x\b|decoder_input)"
)
NO_POSITION = "the input is longer than the model has positions, and its embedding of positions has no row for the rest"
NO_POSITION_STEPS = (
    "cut the input: truncation=True, max_length=model.config.max_position_embeddings",
    "of RoBERTa's kind the longest input is two shorter than max_position_embeddings",
)
NO_SEGMENT = (
    "the rows number their segments (`token_type_ids`) beyond those of the model, which has `type_vocab_size` of them"
)
NO_SEGMENT_STEPS = (
    "leave them out: return_token_type_ids=False, or drop the column; RoBERTa's kind has one segment only",
    "take the tokenizer of this model",
)
NO_NUMBER = (
    "the input holds a token number that the model's embedding has no row for: most often the tokenizer is larger than "
    "the model (added tokens, for which it was not resized, or another model's tokenizer)"
)
NO_ROW_STEPS = (
    "after adding tokens: model.resize_token_embeddings(len(tokenizer)), and save with save_embedding_layers=True",
    "take the tokenizer of the base: compare len(tokenizer) with its vocab_size",
)


class TrainingSigns:
    """Reads the blocks of a log, and says which findings are idle in a training."""

    def __init__(self) -> None:
        self._trains = self._resized = self._learns = False
        # how many losses were 0, and the first line that says so; whether one was another number
        self._zeros, self._some = 0, False
        self._ctc = self._rewards = self._preferences = self._ended = self._adapts = False
        self._blocks = 0
        self._quiet: dict[str, tuple[int, str]] = {}

    def read(self, block: bytes, numbers: LineNumbers) -> None:
        self._trains = self._trains or any(sign in block for sign in _TRAINS) or _OWN_LOOP.search(block) is not None
        self._learns = self._learns or _LEARNS.search(block) is not None
        self._adapts = self._adapts or _ADAPTS.search(block) is not None
        ends = b"'train_runtime'" in block
        self._ended = self._ended or ends
        # what is trained stands where a log begins and ends; a training may log for hours in between
        if self._blocks < _BEGINNING or ends:
            self._ctc = self._ctc or any(sign in block for sign in _CTC)
            self._rewards = self._rewards or any(sign in block for sign in _OF_REWARDS)
            self._preferences = self._preferences or any(sign in block for sign in _OF_PREFERENCES)
        self._blocks += 1
        self._resized = self._resized or any(sign in block for sign in _RESIZED)
        self._read_losses(block, numbers)

    def _read_losses(self, block: bytes, numbers: LineNumbers) -> None:
        """Look for what a run logs where it learns nothing, and goes on all the same."""
        # one loss that is another number, and zeros say no more
        for pattern in () if self._some else (_LOSS, _OWN_LOSS):
            for found in islice(pattern.finditer(block), _LOSSES):
                if _ZERO.fullmatch(found["loss"]) is None:
                    self._some = True
                    break
                self._zeros += 1
                self._note(ALL_MASKED, block, numbers, found.start("loss"))
        if not self._some and (whole := _WHOLE_LOSS.search(block)) is not None:
            none_done = float(whole["time"] or 1) < _NO_STEP
            self._note(NO_STEPS if none_done else CTC_SKIPPED, block, numbers, whole.start())
        if (grown := _GENERATES.search(block)) is not None:
            self._note(ADDED_ROWS, block, numbers, grown.start())
        if (none := _NOTHING_TRAINS.search(block)) is not None:
            self._note(NOTHING_TRAINS, block, numbers, none.start())

    def _note(self, says: str, block: bytes, numbers: LineNumbers, at: int) -> None:
        if says not in self._quiet:
            start, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
            text = block[start : end if end >= 0 else len(block)][:500].decode("utf-8", "replace")
            self._quiet[says] = (numbers.of(start), text)

    def quiet(self, known: Container[str]) -> Iterator[tuple[str, str, tuple[str, ...], tuple[int, str]]]:
        """Code, words, steps, and the line that shows it, of what a run logs where it learns nothing, unless a cause of
        the same kind is `known`."""
        masked, frozen, rows = "data-not-as-expected", "nothing-requires-grad", "vocab-rows-not-saved"
        if self._zeros >= _ZEROS and not self._some and masked not in known and "loss-not-finite" not in known:
            yield masked, ALL_MASKED, ALL_MASKED_STEPS, self._quiet[ALL_MASKED]
        elif CTC_SKIPPED in self._quiet and not (self._some or self._rewards or self._zeros) and masked not in known:
            says = (CTC_SKIPPED, CTC_SKIPPED_STEPS) if self._ctc else (ALL_MASKED, ALL_MASKED_STEPS)
            yield masked, *says, self._quiet[CTC_SKIPPED]
        if NO_STEPS in self._quiet and not self._some and not self._zeros and "output-exists" not in known:
            yield "output-exists", NO_STEPS, NO_STEPS_STEPS, self._quiet[NO_STEPS]
        if ADDED_ROWS in self._quiet and not self._trains and not self._some and rows not in known:
            yield rows, ADDED_ROWS, ADDED_ROWS_STEPS, self._quiet[ADDED_ROWS]
        if NOTHING_TRAINS in self._quiet and (self._trains or self._some) and frozen not in known:
            yield frozen, NOTHING_TRAINS, NOTHING_TRAINS_STEPS, self._quiet[NOTHING_TRAINS]

    def went_past(self, code: str, lines: Iterable[tuple[int, str]]) -> bool:
        """Whether a training that came to its end logged these lines as information alone: it needs nothing of what
        they miss, unless that is the adapter that it was to go on with."""
        return self._ended and code != "adapter-not-found" and all(_INFORMS.search(one) for _, one in lines)

    def are_idle(self, code: str, severity: str) -> bool:
        """Whether nothing follows from lines of this code: of a new head, before training or before an adapter that
        brings its own; of peft's word at each checkpoint that it could not look at the base's config, where no sign
        says that the vocabulary grew; and of a part of the model whose inputs need no gradient (a reference model's),
        where gradients are logged; and of what bitsandbytes notes on a machine without a GPU, where training ended."""
        if code == "torch-companion-mismatch":
            return self._ended and severity == "info"
        if code == "nothing-requires-grad":
            # a training whose inputs stay without gradients stops at its first step
            refers = (self._rewards or self._preferences) and self._ended
            return (self._learns or refers) and severity != "blocker"
        if code == "vocab-rows-not-saved":
            return self._trains and severity == "info" and not self._resized
        if self._adapts and code in OF_A_NEW_HEAD and severity == "info":
            return True
        return self._trains and code in OF_A_NEW_HEAD and (code == "task-head" or severity == "info")

    def which_row(self, near: bytes) -> tuple[str, tuple[str, ...]] | None:
        """Which kind of row an embedding did not have, and what to do, where the lines around it tell: the code that
        asked for it reads positions, segments or tokens, or a training met a token for which the model was not
        resized."""
        if _POSITIONS.search(near) is not None:
            return NO_POSITION, NO_POSITION_STEPS
        if _SEGMENTS.search(near) is not None:
            return NO_SEGMENT, NO_SEGMENT_STEPS
        if self._trains:
            return NO_ROW, NO_ROW_STEPS
        return (NO_NUMBER, NO_ROW_STEPS) if _TOKENS.search(near) is not None else None
