"""Errors that a library raises by itself, and those that stop in its code: the last thing asked of a log. Pure.

First the messages that wheels hold are asked, then the place of the deepest frame and the words of the error, and where
neither tells, the library whose code stopped is named with its release.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.catalogue.catalogue import load_catalogue
from envpin.diagnose.logs.context.cells import explain_cell
from envpin.diagnose.logs.context.lost_files import lost_by_library, lost_by_script
from envpin.diagnose.logs.context.partners import (
    builds_on_transformers,
    of_columns,
    of_onnx,
    of_partner,
    of_transformers,
)
from envpin.diagnose.logs.ending.given_inputs import of_asserted_sizes, of_given_inputs
from envpin.diagnose.logs.ending.groups import of_groups
from envpin.diagnose.logs.ending.library_numbers import (
    no_key,
    no_multiple,
    no_path,
    nothing_for_a_setting,
    text_for_a_number,
)
from envpin.diagnose.logs.ending.modules import no_module
from envpin.diagnose.logs.ending.own_checks import of_a_release, of_keys, of_own_check
from envpin.diagnose.logs.ending.own_code import (
    CUT_OFF,
    is_of_a_model,
    is_of_it,
    no_file,
    no_json,
    no_pickle,
    of_own_code,
)
from envpin.diagnose.logs.ending.own_files import no_program
from envpin.diagnose.logs.ending.own_merges import of_a_library_that_merges
from envpin.diagnose.logs.ending.own_names import of_own_name
from envpin.diagnose.logs.ending.own_tensors import of_own_tensor
from envpin.diagnose.logs.ending.package_files import of_package_file
from envpin.diagnose.logs.ending.preparing import not_reached
from envpin.diagnose.logs.ending.raised_words import (
    STEPS,
    STEPS_OF_THE_PROGRAM,
    no_labels,
    of_a_division,
    of_given_values,
    of_the_program,
    other_shapes,
    quote,
    raised,
    raised_alone,
    stopped_at_rows,
)
from envpin.diagnose.logs.ending.said_gone import of_what_went
from envpin.diagnose.logs.ending.tokens import of_a_hub_token
from envpin.diagnose.logs.ending.validated import of_validation
from envpin.diagnose.logs.ending.values_in_files import of_a_name, of_a_size, of_a_value
from envpin.diagnose.logs.facts.index_names import on_the_index
from envpin.diagnose.logs.facts.messages import known_message
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.facts.releases import release_words
from envpin.diagnose.logs.facts.roles import (
    OF_THE_FIELD,
    SERVERS,
    cause_of,
    named_outright,
    prepares_rows,
    refuses_weights,
)
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import code_lines, frames_of, is_own, lines_below, of_the_stack, shown_name

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_ERROR = re.compile(
    r"(?:^|[\s:|\])])(?:[A-Za-z_][\w.]*\.)?([A-Z]\w*(?:Error|Exception)|Exception)(?:: (.*)|\s*$)", re.DOTALL
)
_NO_FILE = re.compile(
    r"FileNotFoundError: .{0,80}?'([^'\n]{0,300}?((?:adapter_|tokenizer_|generation_|preprocessor_)?config\.json|"
    r"adapter_model\.\w+|tokenizer\.\w+|vocab\.\w+|merges\.txt|[\w.-]+\.(?:safetensors|index\.json|bin|gguf)))'"
)
# A module of a library whose task is to read data.
_DATA_FILE = re.compile(r"(?:^|[/\\_])data(?:sets?|_utils|_loader|loader)?(?:_\w+)?(?:\.py$|[/\\])")
# A connection between the processes of a run, or to its server, that broke.
_CONNECTION = re.compile(r"Connection(?:Error|ResetError|RefusedError|AbortedError)|BrokenPipeError|RemoteDisconnected")
_MISSING = re.compile(r"ModuleNotFoundError: No module named '([\w.]{1,120})(?:'|\s*$)")
# As `python -m` passes it on.
_IN_BRACKETS = re.compile(r"\((ModuleNotFoundError): (No module named '[\w.]{1,120}')\)$")
_RAISE = re.compile(r"(?:^|[\s>│])(?:raise\s+\w|assert\s)")
# Errors that say no to something.
_REFUSALS = frozenset({"ValueError", "NotImplementedError", "AssertionError", "RuntimeError", "Exception"})
# Code that is written from a model's parts.
_GENERATED = re.compile(r"\blora_[AB]\.|\bmodel\.model\.|unsloth_compiled_cache|_fast_forward\b")
# What stops in a library without its saying so.
_STOPS = frozenset({
    "KeyError", "IndexError", "AttributeError", "TypeError", "ValueError", "UnboundLocalError", "ZeroDivisionError",
    "AssertionError", "RuntimeError", "NotImplementedError", "NameError", "RecursionError", "SyntaxError",
    "IndentationError",
})  # fmt: skip
_ROWS = frozenset({"KeyError", "IndexError", "AttributeError", "TypeError", "ValueError", "ZeroDivisionError"})
# Folders whose frames only pass a call on.
_PASSES_ON = frozenset({
    "torch", "multiprocess", "multiprocessing", "concurrent", "fire", "click", "hydra", "pydantic", "pydantic_core",
    "ray", "uvicorn", "starlette", "fastapi", "gradio", "numpy", "pyarrow", "jinja2", "huggingface_hub", "requests",
    "urllib3", "dill", "pandas", "IPython", "jsonargparse",
})  # fmt: skip
# The last frame is where torch unpickles weights.
_UNPICKLES = re.compile(r"torch[/\\]_weights_only_unpickler\.py\"?, line \d+(?!.*\bFile )", re.DOTALL)
# What `map` of datasets called for each row, and a table that was asked for a column.
_ROW_BY_ROW = re.compile(
    r"datasets[/\\]arrow_dataset\.py[^\n]*in apply_function|"
    r"site-packages[/\\]pandas[/\\](?!.*site-packages[/\\](?!pandas))", re.DOTALL
)  # fmt: skip
# A column that a library looks up in a row, by the name that it was given.
_COLUMN = re.compile(
    r"\b(?:x|example|element|row|record|sample)s?\[\w*(?:field|column)\w*\]|\b(?:example|element|row|record)\[[\"']\w+[\"']\]"
)
# The rows have no labels: the code line before the error asks something of them, and they are None.
_NO_LABELS = re.compile(r"\blabels?\b[\w\[\].]*\.\w+[^\n]*\n(?:[ \t~^│|]*\n)*[^\n]*\Z")
# What code of another time takes from the config's settings of positions.
_ROPE = re.compile(r"rope_(?:scaling|parameters)\w*(?:\[|\.get)")
_OF_ROPE = (
    "{package} reads a key of the config's `rope_scaling` that is not there, in `{place}`: from transformers 5.0 on "
    'every model has these settings, with `rope_type` "default" and no factor, and older code takes any for a scaled '
    "model's"
)
# Tensors that do not fit each other, in torch's words.
_SHAPES = re.compile(
    r"must match the size of tensor|is invalid for input of size|shapes cannot be multiplied|Given groups=|"
    r"[Ss]izes of tensors must match|expected (?:input|key|query)\S* to have|input to conv|"
    r"Kernel size can't be greater|does not match the broadcast shape"
)
_ALONE = {
    "settings-refused": "a library refuses what it was asked for: the message says which setting",
    "data-not-as-expected": "the data are not as the library that reads them wants: the message says what",
    "method-cannot-merge": "a library refuses this merge: the message says why",
}
# transformers 4 imports this line, 5 does not; read in 4.44.2, 4.57.6 and 5.24.0.
_OF_TRANSFORMERS_4 = re.compile(r"get_full_repo_name  # for backward compatibility")
_HUB_OF_5 = (
    "the huggingface_hub that ran is 1.0 or newer, which imports `httpx`, and transformers 4 asks for "
    "huggingface_hub<1.0: it was installed without its requirements (--no-deps), or over them"
)
_HUB_OF_4 = command_text("python", "-m", "pip", "install", "huggingface_hub<1.0")


def explain_raised(line: str, before: str, after: str = "", *, in_field: bool = False) -> Explained | None:
    """What an error says that nothing else explains; `before` are the lines that end with it, `after` a few after it.

    None where neither its words nor the frames before it are of a library of this field.
    """
    error = _ERROR.search(line) or _IN_BRACKETS.search(line)
    if error is None:
        return None
    exception, message = error[1], error[2] or ""
    frames = frames_of(before)
    if frames:
        own = of_groups(exception, message, before) or of_asserted_sizes(exception, message, before, frames)
        own = own or of_own_tensor(exception, message, before, frames)
        if own is None and (in_field or of_the_stack(frames)):
            own = of_package_file(exception, message, frames)
        if own is None and is_of_it(frames, in_field=in_field):
            own = of_own_name(exception, message, before, frames)
            own = own or (of_validation(exception, message, after) if not of_the_stack(frames) else None)
        return own or _of_frames(exception, message, before, frames, in_field=in_field)
    if in_field and (missing := _MISSING.search(line)) is not None:
        return no_module(missing[0])
    if (known := known_message(message)) is not None:
        return raised_alone(known, message, f"{before}\n{line}\n{after}")
    if (lost := lost_by_script(exception, message, "")) is not None:
        return lost.explained()
    return _of_words(exception, message, f"{before}\n{after}")


def _of_frames(exception: str, message: str, before: str, frames: list[Frame], *, in_field: bool) -> Explained | None:
    if (place := _deepest(frames)) is not None:
        return _of_place(exception, message, place, before)
    of_it = in_field or is_of_a_model(frames, in_field=in_field)
    if (gone := of_what_went(message, before, frames, in_field=of_it)) is not None:
        return gone
    return _of_a_script(exception, message, before, in_field=in_field)


def _of_a_script(exception: str, message: str, before: str, *, in_field: bool) -> Explained | None:
    """What someone's own code stopped at, or refused."""
    frames = frames_of(before)
    own = of_own_code(exception, message, before, frames, in_field=in_field)
    if own is not None:
        return own
    if _raises(before) and (told := of_keys(message) or of_a_release(message)) is not None:
        return told
    if _raises(before) and (told := _of_words(exception, message, "")) is not None:
        if (library := frames[-1].library) is not None:
            return raised(told.code, shown_name(library), frames[-1].path, message)
        return Explained(told.code, of_the_program(message), STEPS_OF_THE_PROGRAM)
    checked = is_own(frames[-1]) and is_of_a_model(frames, in_field=in_field)
    return of_own_check(exception, message, before) if checked else of_a_hub_token(message)


def _of_place(exception: str, message: str, place: Frame, before: str) -> Explained | None:
    """What a library raised or stopped at, by its deepest frame."""
    package = shown_name(str(place.library))
    if (missing := _MISSING.search(f"{exception}: {message}")) is not None:
        return _missing(missing[1], package, before)
    if (told := _of_a_file(exception, message, place, before)) is not None:
        return told
    known, around = known_message(message, package), "\n".join(before.split("\n")[-6:])
    if known is not None:
        outright = None if known.judged else named_outright(package, known.file, exception, message)
        return raised(outright or known.code, package, place.path, message, around)
    if known is None and (gone := of_what_went(message, before, [place], in_field=True)) is not None:
        return gone
    if _raises(before) and (code := cause_of(package, place.path, place.function, exception, message)) is not None:
        return raised(code, package, place.path, message, around)
    return _stopped((exception, message), package, place, before)


def _of_a_file(exception: str, message: str, place: Frame, before: str) -> Explained | None:
    """A file that a library does not find, or does not find to be what its name says."""
    package = shown_name(str(place.library))
    started = no_program(package, message, before) if exception == "FileNotFoundError" else None
    if (told := started or lost_by_library(exception, message, package)) is not None:
        return told
    if _raises(before) and refuses_weights(package, place.function, exception):
        newest = command_text("python", "-m", "pip", "install", "-U", package)
        says = f"{package} cannot read the weights of this model, in `{place.path}`: {quote(message)}"
        return Explained("serving-limit", says, (f"take a newer release of it: {newest}", TRAINING))
    if exception in CUT_OFF:
        told = no_json(f"a file that {package} reads in `{place.path}`", message)
        return told._replace(code="data-not-as-expected") if _DATA_FILE.search(place.path) is not None else told
    if exception in _STOPS and _UNPICKLES.search(before) is not None:
        return no_pickle(package)
    lost = _NO_FILE.search(f"{exception}: {message}")
    return None if lost is None else no_file(package, lost[1], lost[2])


def _of_words(exception: str, message: str, context: str) -> Explained | None:
    """A refusal that names something which only this field has; and a variable that code forgot to set."""
    if exception == "UnboundLocalError" and (stated := release_words("", context)) is not None:
        says = "code reads a variable that it has not set, which no setting causes: most likely a fault of a release"
        return Explained("library-fault", f"{says}; {stated}", ("take newer releases of what the log names", TRAINING))
    if exception == "SyntaxError" and _GENERATED.search(context) is not None:
        says = "code that a library wrote for this model does not parse: most likely a fault of its release"
        return Explained("library-fault", says, ("take a newer release of the library that writes it", TRAINING))
    if exception not in _REFUSALS or OF_THE_FIELD.search(message) is None:
        return None
    code = cause_of("", "", "", exception, message)
    if code is None or code == "library-fault":
        return None
    cause = load_catalogue()[code]
    return Explained(code, _ALONE.get(code, cause.meaning.partition(". ")[0].rstrip(".")), STEPS.get(code, ()))


def _missing(module: str, package: str, before: str) -> Explained:
    """A module that a library imports: of another package that is not there, or one that other releases have."""
    top = shown_name(module.partition(".")[0])
    released = release_words(top, before)
    if released is None or "." not in module:
        importer = _importer(package, before)
        if (top, importer) == ("httpx", "huggingface-hub") and _OF_TRANSFORMERS_4.search(before) is not None:
            return Explained("torch-companion-mismatch", _HUB_OF_5, (_HUB_OF_4, "python -m pip check", TRAINING))
        says = f"`{top}` is not installed in the interpreter that ran, and {importer} imports `{module}`"
        if importer not in {package, "the model's own code"}:
            says = f"{says}: {importer}, which {package} uses, was installed without what it asks for, or that went"
        install = command_text("python", "-m", "pip", "install", on_the_index(module))
        return Explained("package-missing", says, (f"install it there: {install}", TRAINING))
    says = f"{package} imports `{module}`, which this {top} does not have: most likely they are of different releases"
    asked = f"take the release of {top} that {package} asks for: python -m pip check"
    code = "peft-transformers-incompatible" if {package, top} == {"peft", "transformers"} else "library-api-changed"
    return Explained(code, f"{says}; {released}", (asked, TRAINING))


def _importer(package: str, before: str) -> str:
    """The installed package whose line imports, which may be another than the one of this field that was asked."""
    frames = [one for one in frames_of(before) if one.library is not None and one.function != "__getattr__"]
    if frames and frames[-1].library == "transformers_modules":
        return "the model's own code"
    return shown_name(str(frames[-1].library)) if frames else package


def _deepest(frames: list[Frame]) -> Frame | None:
    """The library's frame that stopped. None where it is someone's own code that did, unless a library called it to
    prepare rows."""
    for at in reversed(range(len(frames))):
        one = frames[at]
        if is_own(one):
            above = of_the_stack(frames[:at])
            return above[-1] if above and prepares_rows(above[-1].path, above[-1].function) else None
        if one.library is not None and one.library not in _PASSES_ON:
            return one if of_the_stack([one]) else None
    above = of_the_stack(frames)
    return above[-1] if above else None


def _code_of(place: Frame, before: str) -> str:
    """The line of code at which a frame stopped."""
    return next(iter(lines_below(place, before)), "")


def _raises(before: str) -> bool:
    """Whether one of the last lines of code before the error raises or asserts."""
    return any(_RAISE.search(one) for one in code_lines(before, within=12)[-3:])


def _stopped(error: tuple[str, str], package: str, place: Frame, before: str) -> Explained | None:
    """An error that was not raised on purpose: of rows where rows are prepared, else a fault of the library."""
    exception, message = error
    if _CONNECTION.fullmatch(exception) is not None:
        says = f"a connection of {package} broke or was refused, in `{place.path}`: its other end died, or is not up"
        return not_reached(package, message) or Explained("distributed-run-failed", says, ())
    if exception not in _STOPS:
        return None
    column = exception == "KeyError" and _COLUMN.search(_code_of(place, before)) is not None
    prepared = column or prepares_rows(place.path, place.function) or _ROW_BY_ROW.search(before) is not None
    rows = exception in _ROWS and prepared
    unlabelled = message.startswith("'NoneType' object has no") and _NO_LABELS.search(before) is not None
    if rows or unlabelled:
        path = place.path
        cell = explain_cell(f"{exception}: {message}", before) if rows else None
        stopped = no_labels(package, path) if unlabelled else stopped_at_rows(package, path, exception, message)
        return cell or stopped
    merged = of_a_library_that_merges(package, f"{place.path}:{place.function}", message, _code_of(place, before))
    if (
        _SHAPES.search(message) is not None
        and re.search(r"models?[/\\]|modeling|modules|tuners[/\\]\w+[/\\]layer", place.path) is not None
        and ("rotary" not in place.function)
    ):  # positions are the model's own affair
        return merged or other_shapes(place.path, message)
    if package in SERVERS and re.search(r"lora|adapter|peft", place.path) is not None:
        return raised("serving-limit", package, place.path, message)
    of_rows = of_columns(str(place.library), place.path, message) if exception in _ROWS else None
    of_rows = of_rows or of_given_values(exception, message, package, _code_of(place, before))
    if exception == "ZeroDivisionError":
        of_rows = of_rows or of_a_division(package, place, _code_of(place, before))
    return of_rows or merged or _fault(error, package, place, before)


def _fault(error: tuple[str, str], package: str, place: Frame, before: str) -> Explained:
    """What was given text for a number, meets something of another time, or is wrong in itself."""
    exception, message = error
    if (given := of_given_inputs(exception, message, package, before, place)) is not None:
        return given
    setting = text_for_a_number(exception, message, package, before) or no_multiple(exception, package, before)
    setting = setting or nothing_for_a_setting(exception, place.path, message, before)
    code = _code_of(place, before)
    setting = setting or no_path(message, package, code, before) or no_key(exception, message, package, code)
    setting = setting or of_a_value(exception, message, package, frames_of(before), code)
    setting = setting or of_a_size(message, package, place, code_lines(before, within=12)[-4:])
    setting = setting or of_a_name(exception, message, package, code_lines(before, within=8)[-3:])
    if setting is not None:
        return setting
    if exception == "KeyError" and _ROPE.search("\n".join(before.split("\n")[-4:])) is not None:
        newer = command_text("python", "-m", "pip", "install", "-U", package)
        return Explained("transformers-api-changed", _OF_ROPE.format(package=package, place=place.path), (
            "run with transformers < 5.0, as this code was made for: envpin run ADAPTER -- CMD",
            f"or a newer {package}: {newer}",
        ))  # fmt: skip
    if exception in {"TypeError", "AttributeError"}:
        met = of_onnx(exception, message, package, _code_of(place, before))
        met = met or of_partner(str(place.library), place.path, message, before)
        met = met or of_transformers(exception, package, place.path, _code_of(place, before), before)
        if met is not None:
            return met
    nothing = ", or it was given nothing (None) where it wants a value" if "'NoneType'" in message else ""
    released = release_words(package, before)
    if package == "transformers" and exception in {"TypeError", "AttributeError"} and released:
        says = f"transformers met something of another time in `{place.path}`: a config, or code that it calls{nothing}"
        asked = "run with the transformers for which the config or the code was written: envpin run ADAPTER -- CMD"
        return Explained("transformers-api-changed", f"{says}; {released}", (asked,))
    built = builds_on_transformers(package)
    other = ", or of another transformers than it was written for" if built else ""
    says = (
        f"{package} stopped in its own code, in `{place.path}`: either it was given what it does not expect (a "
        f"setting, a file, a row), or this release is at fault{other}{nothing}"
    )
    newest = command_text("python", "-m", "pip", "install", "-U", package)
    # Of 20 runs of the blind sets with one change from a working one that were answered so, none was a fault of the
    # release; of the texts of trackers, where people report faults, most were.
    steps = ("look at what the frames above hand to it: settings, files, rows",
             f"take a newer release of it, where a fault may be gone: {newest}",
             "look for the line in its tracker", TRAINING)  # fmt: skip
    return Explained("library-fault", f"{says}; {released}" if released else says, steps)
