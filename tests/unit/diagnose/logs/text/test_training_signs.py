"""What a run logs that learns nothing."""

from __future__ import annotations

import pytest

from tests.support.logs import codes

ZERO = "{'loss': 0.0, 'grad_norm': 0.0, 'learning_rate': 1e-05, 'epoch': 0.5}\n"
SOME = "{'loss': 2.31, 'grad_norm': 0.4, 'learning_rate': 1e-05, 'epoch': 0.5}\n"
WHOLE = "{'train_runtime': 0.9564, 'train_steps_per_second': 2.091, 'train_loss': 0.0, 'epoch': 1.0}\n"
INFORMS = "INFO:__main__:no processor: Can't load image processor for 'x'. If you were trying to load it from the Hub\n"
NO_GRADIENT = "UserWarning: None of the inputs have requires_grad=True. Gradients will be None\n"
GROWN = "The new embeddings will be initialized from a multivariate normal distribution\nDevice set to use cpu\nhi\n"
FROZEN = "trainable params: 0 || all params: 1,103,241,216 || trainable%: 0.0\n"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (ZERO * 2, ["data-not-as-expected"]),
        (ZERO.replace("0.0", "'0'") * 2, ["data-not-as-expected"]),
        ("Epoch 1 step 10 loss 0.0000\n" * 3, ["data-not-as-expected"]),
        (FROZEN + SOME.replace("'grad_norm': 0.4, ", ""), ["nothing-requires-grad"]),
        (FROZEN + SOME, []),
        (ZERO, []),
        (ZERO * 2 + SOME, []),
        (ZERO.replace("'epoch'", "'reward': 0.0, 'epoch'") * 2, []),
        (FROZEN, []),
        (WHOLE, ["data-not-as-expected"]),
        (WHOLE.replace("0.9564", "0.0021"), ["output-exists"]),
        (SOME + WHOLE, []),
        (WHOLE.replace("0.0,", "0.01,"), []),
        ("GRPOTrainer\n" + WHOLE, []),
        (GROWN, ["vocab-rows-not-saved"]),
        (SOME + GROWN, []),
        (GROWN.partition("Device")[0], []),
        ("'loss': 0.0, 'grad_norm': nan}\n" * 2, ["loss-not-finite"]),
        (INFORMS + WHOLE.replace("0.0,", "0.69,"), []),
        (INFORMS, ["tokenizer-missing"]),
        ("Starting DPO alignment\n" + NO_GRADIENT + WHOLE.replace("0.0,", "0.69,"), []),
        ("Starting SFT\n" + NO_GRADIENT + WHOLE.replace("0.0,", "0.69,"), ["nothing-requires-grad"]),
    ],
)
def test_a_run_that_learns_nothing_has_its_cause(log: str, expected: list[str]) -> None:
    assert codes(log) == expected
