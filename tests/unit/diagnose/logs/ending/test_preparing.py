"""Splits, tables, metrics and pictures of a script: what the libraries around this field say no to."""

from __future__ import annotations

import pytest

from tests.support.logs import SCRIPT, SITE, answer, codes

DATA = "data-not-as-expected"
SPLIT, METRIC, TABLE = "sklearn/model_selection/_split.py", "sklearn/metrics/_classification.py", "pandas/core/frame.py"
CASES = [
    (SPLIT, "ValueError: With n_samples=0, test_size=0.2 and train_size=None, the resulting train set will be empty.",
     DATA, "too few of them (0)"),
    (SPLIT, "ValueError: The least populated class in y has only 1 member, which is too few.", DATA, "stratify"),
    (SPLIT, "ValueError: The test_size = 2 should be greater or equal to the number of classes = 5", DATA, "stratify"),
    ("sklearn/utils/_encode.py", "ValueError: y contains previously unseen labels: 'C2'", DATA, "labels 'C2'"),
    (METRIC, "ValueError: Number of classes, 2, does not match size of target_names, 3.", DATA,
     "names given for them (3)"),
    (METRIC, "ValueError: Target is multiclass but average='binary'.", "settings-refused", "macro"),
    (METRIC, "ValueError: pos_label=1 is not a valid label.", DATA, "scikit-learn refuses what the script gives it"),
    ("sklearn/utils/validation.py", "ValueError: X has 64 features, but LogisticRegression is expecting 384 features",
     "inputs-do-not-fit", "trained on 384"),
    ("sklearn/utils/validation.py", "sklearn.exceptions.NotFittedError: This SVC instance is not fitted yet.",
     "settings-refused", "`SVC`"),
    (TABLE, "AttributeError: 'DataFrame' object has no attribute 'sentiment'", DATA, "no column `sentiment`"),
    (TABLE, "pandas.errors.EmptyDataError: No columns to parse from file", DATA, "empty"),
    (TABLE, "ImportError: Missing optional dependency 'openpyxl'.", "package-missing", "`openpyxl`"),
    ("PIL/Image.py", "PIL.UnidentifiedImageError: cannot identify image file 'a.jpg'", DATA, "'a.jpg'"),
    ("torchvision/datasets/folder.py", "FileNotFoundError: Couldn't find any class folder in data/train.", DATA,
     "one folder for each class"),
    ("jiwer/process.py", "ValueError: one or more references are empty strings", DATA, "is empty"),
    ("sacrebleu/metrics/base.py", "TypeError: BLEU: `refs` should be a sequence of sequence of strings.", DATA,
     "lists"),
    ("pandas/core/tools/datetimes.py", "ValueError: time data '31/12/2024' doesn't match format '%m/%d/%Y'", DATA,
     "`31/12/2024`"),
    ("PIL/ImageFile.py", "OSError: Truncated File Read", "truncated-file", "picture"),
    ("torchvision/transforms/_functional_tensor.py",
     "RuntimeError: output with shape [1, 224, 224] doesn't match the broadcast shape [3, 224, 224]",
     "inputs-do-not-fit", "one channel"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "line", "code", "said"), CASES)
def test_a_library_that_prepares_for_a_script_refuses_its_data(path: str, line: str, code: str, said: str) -> None:
    named, text = answer(f'{SCRIPT}  File "{SITE}/{path}", line 3, in f\n    raise E(\n{line}\n')
    assert named == [code]
    assert said in text


OWN = [
    ("token = os.environ['base_dir']", "KeyError: 'base_dir'", "settings-refused", "variable `base_dir`"),
    ("rate = config['learning_rate']", "KeyError: 'learning_rate'", "settings-refused", "`learning_rate`"),
    ("y = label2id[row['label']]", "KeyError: 'neutral'", DATA, "label 'neutral'"),
    ("texts.append(row['text'])", "KeyError: 'text'", DATA, "no field `text`"),
    ("state = ckpt['model_state_dict']", "KeyError: 'model_state_dict'", "foreign-format", "`model_state_dict`"),
    ("path = sys.argv[1]", "IndexError: list index out of range", "settings-refused", "fewer arguments"),
    ("y = [vocab[c] for c in row['text']]", "KeyError: 'é'", DATA, "in `vocab`"),
    ("vocab['|'] = vocab[' ']", "KeyError: ' '", DATA, "in `vocab`"),
    ("print(dataset[0])", "IndexError: list index out of range", DATA, "fewer than it expects"),
    ("x = args.lrate", "AttributeError: 'Namespace' object has no attribute 'lrate'", "settings-refused", "`lrate`"),
    ("a = right / total", "ZeroDivisionError: division by zero", DATA, "0"),
    ("raise DataError(", "pkg.data.DataError: a.csv: missing column(s) ['x']; available: ['y']", DATA, "['x']"),
    ("raise ConfigError(", "pkg.config.ConfigError: unknown key 'rank'", "settings-refused", "itself stops"),
    ("raise ValueError(", "ValueError: No training examples found in data/train.jsonl", DATA, "No training examples"),
    ("raise ModelNotFoundError(path)", "pkg.ModelNotFoundError: no model at models/merged", "base-not-found", "models"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "line", "cause", "said"), OWN)
def test_a_script_stops_at_a_value_of_its_own(code: str, line: str, cause: str, said: str) -> None:
    named, text = answer(f'{SCRIPT}  File "/srv/work/train_lora.py", line 3, in main\n    {code}\n{line}\n')
    assert named == [cause]
    assert said in text


def test_an_unfitted_head_of_setfit_is_a_missing_file() -> None:
    frames = f'{SCRIPT}  File "{SITE}/setfit/modeling.py", line 3, in predict_proba\n    x\n'
    frames += f'  File "{SITE}/sklearn/utils/validation.py", line 3, in check_is_fitted\n    raise NotFittedError(\n'
    line = "sklearn.exceptions.NotFittedError: This LogisticRegression instance is not fitted yet.\n"
    assert codes(frames + line) == ["missing-shard"]


def test_programs_of_other_fields_and_errors_of_releases_are_left_alone() -> None:
    shop = 'Traceback (most recent call last):\n  File "/srv/shop/orders.py", line 9, in <module>\n    main()\n'
    frame = f'  File "{SITE}/{SPLIT}", line 3, in f\n    raise E(\n'
    assert codes(f"{shop}{frame}ValueError: With n_samples=0, test_size=0.2\n") == []
    assert codes(f"{SCRIPT}{frame}TypeError: f() takes 2 positional arguments\n") == []
