"""What tokenizers, SentencePiece, ONNX Runtime and their like say of a value that they do not take. Pure.

The first row that fits counts. Read in tokenizers 0.22.2 and its sources, sentencepiece 0.2.0 and 0.2.3, onnx 1.23.2,
onnxruntime 1.32.0, safetensors 0.8.0, ctranslate2 4.8.5 and mlx 0.32.4, or printed by them.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class NativeRow(NamedTuple):
    """`error` and `code` are what the error and the script's line of code match, of `library` or, where it is "", of
    any; groups of `error`, and `{call}`, the line of code, may stand in `says` and `fix`."""

    library: str
    error: re.Pattern[str]
    cause: str
    says: str
    fix: tuple[str, ...]
    code: re.Pattern[str] | None = None


def _row(library: str, error: str, cause: str, says: str, *fix: str, code: str | None = None) -> NativeRow:
    return NativeRow(
        library, re.compile(error, re.DOTALL), cause, says, fix, None if code is None else re.compile(code)
    )


_NOT_IN_IT = (
    "a token that `{call}` uses is not in the tokenizer's vocabulary: `token_to_id` gives None for it, and a number is "
    "wanted"
)
_TRAIN_WITH_IT = (
    ("train with it: special_tokens=[…] of the trainer names every token that the post-processor and padding use"),
    "or add it after training: tokenizer.add_special_tokens([TOKEN])",
)
_ROWS_OF_TEXT = "leave out what is no text: [t for t in texts if isinstance(t, str) and t]"
_WITHIN = "give the option a value within these, or leave it out"
_SAME_MODEL = "numbers are made and read by one model: print(max(ids), sp.get_piece_size())"
_IDS = (
    "numbers of labels hold -100 where the loss is to ignore them: take these out, or put the pad token there, first",
    _SAME_MODEL,
)

ROWS: tuple[NativeRow, ...] = (
    _row("tokenizers", r"Expected Union\[Tuple\[str, int\], Tuple\[int, str\], dict\]", "settings-refused",
         _NOT_IN_IT, *_TRAIN_WITH_IT),
    _row("tokenizers", r"'NoneType' object cannot be interpreted as an integer", "settings-refused", _NOT_IN_IT,
         *_TRAIN_WITH_IT, code=r"token_to_id|Processing\(|_padding\(|pad_id"),
    _row("tokenizers", r"'type' object (?:cannot be converted to|is not an instance of) '(?P<wanted>\w+)'",
         "settings-refused", "tokenizers wants an object of the kind {wanted}, and `{call}` gives a class itself",
         "write it with brackets: normalizers.NFD(), pre_tokenizers.Whitespace()"),
    _row("tokenizers", r"'(?P<given>\w+)' object (?:cannot be converted to|is not an instance of) "
         r"'(?P<wanted>PreTokenizer|Normalizer|PostProcessor|Decoder|Trainer|Model)'",
         "settings-refused", "tokenizers wants an object of the kind {wanted}, and `{call}` gives it a `{given}`",
         "an object, no name or settings: tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()"),
    _row("tokenizers", r"Merges text file invalid at line (?P<line>\d+)", "corrupt-header",
         "merges.txt of the tokenizer is damaged, in line {line}: each line has to hold two pieces with one space "
         "between them", "copy or download merges.txt again, or take tokenizer.json: Tokenizer.from_file"),
    _row("tokenizers", r"Token `(?P<name>[^`]{1,80})` out of vocabulary", "vocab-mismatch",
         "merges.txt joins `{name}`, which vocab.json does not have: the two files are of different tokenizers",
         "take both files of one tokenizer, saved by one save_model"),
    _row("tokenizers", r"Oniguruma error: (?P<why>.{3,100})", "settings-refused",
         "the regular expression that `{call}` gives is wrong in itself: {why}",
         "correct its brackets and escapes; a plain text needs no Regex: Split(\" \", \"isolated\")"),
    _row("tokenizers", r"type object 'tokenizers\.models\.(?P<name>\w+)' has no attribute "
         r"'(?P<member>empty|from_files)'", "library-api-changed",
         "the script is of tokenizers before 0.7: `{name}.{member}` was taken out of it, and the class itself makes "
         "such a model", "empty: {name}(); of files: {name}.from_file(…), or "
         "Tokenizer.from_file(\"tokenizer.json\")"),
    _row("SentencePiece", r"\[[^\]]{0,80}?trainer_spec_?\.(?P<name>input_format)\(\)", "settings-refused",
         "SentencePiece does not know the `input_format` that it was given: \"text\" (one sentence a line) or \"tsv\" "
         "(word, tab, count)", "leave it out for text; a table: write its column of text to a file first"),
    _row("SentencePiece", r"Input format must be: word <tab> freq\. (?P<line>.{0,60})", "data-not-as-expected",
         "SentencePiece was told that the corpus is a table (input_format=\"tsv\": word, tab, count), and a line of it "
         "is not: {line}", "plain text: leave input_format out", "else put a tab and a count behind each word"),
    _row("SentencePiece", r"\[trainer_spec_?\.(?P<name>\w+)\(\) (?P<sign>[<>=!]+ [\d.]+) && trainer_spec_?\.\w+\(\) "
         r"(?P<sign2>[<>=!]+ [\d.]+)\]", "settings-refused",
         "SentencePiece refuses the value of `{name}`, which has to be {sign} and {sign2}", _WITHIN),
    _row("SentencePiece", r"\[trainer_spec_?\.(?P<name>\w+)\(\) (?P<sign>[<>=!]+ [\d.]+)\]", "settings-refused",
         "SentencePiece refuses the value of `{name}`, which has to be {sign}", _WITHIN),
    _row("SentencePiece", r"nbest_size must be nbest_size <= (?P<most>\d+)", "settings-refused",
         "SentencePiece gives at most {most} splittings of a text, and `{call}` asks for more",
         "nbest_size={most} or less"),
    _row("tokenizers", r"Error while reading (?P<kind>\w+) files?: (?P<why>.{3,80})", "corrupt-header",
         "the file that `{call}` reads is no vocabulary of {kind}: {why}",
         "WordLevel and BPE want vocab.json (one JSON object), WordPiece vocab.txt (a token a line), as save_model "
         "writes them", "look at it: head -c 200 FILE"),
    _row("SentencePiece", r"\[!trainer_spec_?\.(?P<name>\w+)\(\)\.empty\(\)\]", "settings-refused",
         "SentencePiece wants a value for `{name}`, which was given as an empty text", "name it, or leave it out"),
    _row("SentencePiece", r"SentenceIterator and trainer_spec\.input\(\) must be", "data-not-as-expected",
         "SentencePiece was given no corpus: the list of files in `input` is empty, as no file fits the pattern of the "
         "path", "print the list; look at the folder, and from where the command runs",
         code=r"input ?=(?![^\n]*sentence_iterator)"),
    _row("SentencePiece", r"SentenceIterator and trainer_spec\.input\(\) must be", "settings-refused",
         "SentencePiece was given no corpus, or two: `input` (files) or `sentence_iterator`, one of the two",
         "name it: SentencePieceTrainer.train(input=\"corpus.txt\", …)"),
    _row("SentencePiece", r"piece id is out of range|Invalid id: ", "index-out-of-range",
         "`{call}` asks SentencePiece for a piece of a number that its vocabulary does not have: numbers of another "
         "model, or -100", *_IDS),
    _row("SentencePiece", r"Input must be str or bytes|not a string", "data-not-as-expected",
         "`{call}` gives SentencePiece something that is no text: an empty cell (None, NaN) or a number",
         _ROWS_OF_TEXT, "of a table: df[COLUMN].fillna(\"\").astype(str)"),
    _row("SentencePiece", r"Input must be an integer buffer|unknown output or input type", "inputs-do-not-fit",
         "`{call}` gives SentencePiece no whole numbers to decode: floats, None, or a list in a list too many",
         "ids = [int(i) for i in ids]; of a tensor: tensor.tolist()"),
    _row("SentencePiece", r"Invalid return_type: (?P<name>.{1,40}?)\. Must be|unknown out_type=(?P<other>.{1,40})",
         "settings-refused", "SentencePiece has no `out_type` {name}{other}",
         "out_type=str for pieces, int for numbers"),
    _row("protobuf", r"Error parsing message|Wire format was corrupt", "corrupt-header",
         "what `{call}` reads is no SentencePiece model: a tokenizer.json under that name, a git-lfs pointer, or a "
         "file that was cut off", "look at it: head -c 100 FILE; ls -l FILE",
         "copy tokenizer.model again; a tokenizer that has only tokenizer.json has no such file",
         code=r"(?i)ParseFromString\([^\n]*(?:tokenizer|spiece|sp_?m|sentencepiece|\.model\b|\.spm\b)|"
         r"sp_(?:model|pb2)|spm"),
    _row("ONNX Runtime", r"'(?P<kind>list|tuple|\w*ndarray|Tensor|str)' object has no attribute 'keys'",
         "inputs-do-not-fit", "`run` of ONNX Runtime takes the inputs by name, as a dict, and is given a {kind}",
         "session.run(None, dict(input_ids=…, attention_mask=…)), by the names of session.get_inputs()"),
    _row("ONNX Runtime", r"Unable to load from type '<class '(?P<kind>[\w.]+)'>'", "settings-refused",
         "InferenceSession was given a `{kind}` where the path of a model, or its bytes, is wanted",
         "look at what gives it: an option that was left out, or a search that found no file"),
    _row("ONNX Runtime", r"list index out of range", "model-of-another-kind",
         "the graph has fewer inputs or outputs than `{call}` takes: it is of another model, or was exported with "
         "others (no attention_mask, no token_type_ids)",
         "see what it has: [i.name for i in session.get_inputs()], and of session.get_outputs()",
         "export it again with the inputs and outputs that the script gives", code=r"get_(?:in|out)puts\(\)\[[1-9]"),
    _row("ONNX", r"does not have an ir_version set", "corrupt-header",
         "what is checked is no ONNX model, or an empty one: it has no version",
         "look at the file: ls -l FILE; export or download it again"),
    _row("CTranslate2", r"unsupported device (?P<name>\w+)", "settings-refused",
         "CTranslate2 has no device `{name}`", "device=\"cpu\", \"cuda\" or \"auto\""),
    _row("safetensors", r"No such device \(os error 19\)|Is a directory \(os error 21\)", "base-not-found",
         "the path that `{call}` opens is a folder, and the file of the weights in it is wanted",
         "name the file: FOLDER/model.safetensors; of several: each of them, or from_pretrained(FOLDER)"),
)  # fmt: skip
