"""What tokenizers, SentencePiece, ONNX Runtime and their like refuse is told by the script's call and their words."""

from __future__ import annotations

import pytest

from tests.support.logs import answer

_OWN = '  File "/home/u/app/run.py", line 4, in <module>\n    '
_SPM = '  File "/v/lib/python3.11/site-packages/sentencepiece/__init__.py", line 783, in _Train\n    res = _x(\n'
_SPM_CALL = f"spm.SentencePieceTrainer.train(input=args.input, model_prefix='m')\n{_SPM}"
_SPM_BOTH = "INTERNAL: a.cc(369) [x] SentenceIterator and trainer_spec.input() must be exclusive."
_ORT = '  File "/v/lib/python3.11/site-packages/onnxruntime/capi/onnxruntime_inference_collection.py", line 9, in run\n'

_BOUND = (
    "TypeError: translate_batch(): incompatible function arguments. The following argument types are supported:\n"
    "    1. (self: ctranslate2._ext.Translator, source: list[list[str]], *, beam_size: int = 2)\n\n"
    "Invoked with: <ctranslate2._ext.Translator object at 0x7f>"
)


@pytest.mark.parametrize(
    ("call", "error", "code", "said"),
    [
        ("tok.post_processor = processors.TemplateProcessing(\n",
         "TypeError: argument 'special_tokens': Expected Union[Tuple[str, int], Tuple[int, str], dict]",
         "settings-refused", "not in the tokenizer's vocabulary"),
        ("tok.enable_padding(pad_id=tok.token_to_id('[PAD]'))\n",
         "TypeError: 'NoneType' object cannot be interpreted as an integer", "settings-refused", "`token_to_id`"),
        ("normalizers.Sequence([normalizers.NFD])\n", "TypeError: 'type' object cannot be converted to 'Normalizer'",
         "settings-refused", "a class itself"),
        ("tok.pre_tokenizer = 'whitespace'\n",
         "TypeError: argument 'pretok': 'str' object cannot be converted to 'PreTokenizer'", "settings-refused",
         "`str`"),
        ("pre_tokenizers.Split(' ', 'isolate')\n",
         "ValueError: Wrong value for SplitDelimiterBehavior, expected one of: `removed, isolated`",
         "settings-refused", "`pre_tokenizers.Split(' ', 'isolate')`"),
        ("tok = Tokenizer(models.BPE.empty())\n",
         "AttributeError: type object 'tokenizers.models.BPE' has no attribute 'empty'", "library-api-changed",
         "empty: BPE()"),
        (_SPM_CALL, ("RuntimeError: INTERNAL: src/trainer_interface.cc(97) [trainer_spec.num_threads() >= 1 && "
         "trainer_spec.num_threads() <= 1024] "), "settings-refused",
         "`num_threads`, which has to be >= 1 and <= 1024"),
        (_SPM_CALL, f"RuntimeError: {_SPM_BOTH}", "data-not-as-expected", "is empty"),
        (f"spm.SentencePieceTrainer.train(model_prefix='m')\n{_SPM}", f"RuntimeError: {_SPM_BOTH}", "settings-refused",
         "no corpus, or two"),
        (f"print(sp.decode(p))\n{_SPM}", "IndexError: OUT_OF_RANGE: piece id is out of range.", "index-out-of-range",
         "-100"),
        (f"ids = sp.encode(row)\n{_SPM}", "TypeError: Input must be str or bytes", "data-not-as-expected", "no text"),
        ('m.ParseFromString(open("tokenizer.model", "rb").read())\n',
         "google.protobuf.message.DecodeError: Error parsing message", "corrupt-header", "no SentencePiece model"),
        (f"out = sess.run(None, feeds)\n{_ORT}", "AttributeError: 'list' object has no attribute 'keys'",
         "inputs-do-not-fit", "a list"),
        ("mask = sess.get_inputs()[1].name\n", "IndexError: list index out of range", "model-of-another-kind",
         "`mask = sess.get_inputs()[1].name`"),
        ("t = ctranslate2.Translator('ende', device='gpu')\n", "ValueError: unsupported device gpu", "settings-refused",
         "`gpu`"),
        ('w = load_file("ck")\n', "OSError: No such device (os error 19)", "base-not-found", "a folder"),
        ('print(tr.translate_batch("hallo"))\n', f"{_BOUND}, 'hallo'", "inputs-do-not-fit",
         "a list of lists of tokens"),
        ("print(tr.translate_batch(src, num_beams=2))\n", f"{_BOUND}, [['a']]; kwargs: num_beams=2", "settings-refused",
         "not take `num_beams`"),
    ],
)  # fmt: skip
def test_the_call_and_the_words_tell_what_is_refused(call: str, error: str, code: str, said: str) -> None:
    codes, text = answer(f"Traceback (most recent call last):\n{_OWN}{call}{error}\n")
    assert (list(codes), said in text) == ([code], True), text


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("order.process(item)\n", "TypeError: 'NoneType' object cannot be interpreted as an integer"),
        ("first = rows()[1].name\n", "IndexError: list index out of range"),
        ("m.ParseFromString(payload)\n", "google.protobuf.message.DecodeError: Error parsing message"),
        ("session.run(query)\n", "ValueError: expected a string of length 1"),
    ],
)
def test_calls_of_other_programs_stay_silent(call: str, error: str) -> None:
    assert list(answer(f"Traceback (most recent call last):\n{_OWN}{call}{error}\n")[0]) == []
