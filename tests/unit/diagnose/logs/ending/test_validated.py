"""What a script's own pydantic model refuses, and templates whose places it does not fill in."""

from __future__ import annotations

from tests.support.logs import SCRIPT, answer

FRAME = '  File "/srv/work/train_lora.py", line 40, in main\n    {}\n'
REFUSED = """pydantic_core._pydantic_core.ValidationError: 3 validation errors for {}
data.source
  Field required [type=missing, input_value={{'path': 'd/pairs.json', ...'n': 16}}, input_type=dict]
    For further information visit https://errors.pydantic.dev/2.14/v/missing
training.learning_rate
  Input should be a valid number, unable to parse string as a number [type=float_parsing, input_value='three', input_type=str]
    For further information visit https://errors.pydantic.dev/2.14/v/float_parsing
lora
  Extra inputs are not permitted [type=extra_forbidden, input_value={{'r': 8}}, input_type=dict]
    For further information visit https://errors.pydantic.dev/2.14/v/extra_forbidden
"""  # noqa: E501


def test_fields_of_settings_are_named_with_what_is_wrong() -> None:
    codes, text = answer(SCRIPT + FRAME.format("cfg = Cfg(**yaml.safe_load(f))") + REFUSED.format("Cfg"))
    assert codes == ["settings-refused"]
    assert "`data.source` is left out" in text
    assert "`training.learning_rate` input should be a valid number" in text
    assert "`lora` is not known" in text


def test_fields_of_a_row_are_of_the_data() -> None:
    log = SCRIPT + FRAME.format("rows = [TrainExample(**one) for one in raw]") + REFUSED.format("TrainExample")
    assert answer(log)[0] == ["data-not-as-expected"]


def test_a_model_of_another_field_stays_unexplained() -> None:
    log = (
        f'Traceback (most recent call last):\n  File "/srv/shop/api.py", line 3, in f\n    x\n{REFUSED.format("Order")}'
    )
    assert answer(log)[0] == []


def test_a_place_that_a_template_has_and_the_script_does_not_fill() -> None:
    log = SCRIPT + FRAME.format('text = prompts["item"].format(question=q, options=o)') + "KeyError: 'query'\n"
    codes, text = answer(log)
    assert codes == ["settings-refused"]
    assert "`question`, `options` only" in text


def test_rows_that_are_drawn_by_an_option() -> None:
    frame = '  File "/usr/lib/python3.11/random.py", line 456, in sample\n    raise ValueError("Sample larger")\n'
    log = f"{SCRIPT}{FRAME.format('shots = random.sample(dev, args.shots)')}{frame}"
    codes, text = answer(f"{log}ValueError: Sample larger than population or is negative\n")
    assert codes == ["settings-refused"]
    assert "`args.shots` of `dev`" in text


def test_too_few_rows_of_any_name_are_of_the_data() -> None:
    log = f"{SCRIPT}{FRAME.format('raise RuntimeError(')}RuntimeError: Not enough utterances to train: need 2\n"
    assert answer(log)[0] == ["data-not-as-expected"]
