"""Collect which tensors transformers saves of encoders, sequence-to-sequence, vision-language and mixed models.

    envpin run 'transformers==X,torch' -- python scripts/collect_forms.py --plan PLAN [--against SAVED...] [TYPE...]
    envpin run 'transformers==OLDER,torch' -- python scripts/collect_forms.py --plan PLAN --save SAVED

The first writes src/envpin/diagnose/forms.json, in which it replaces the types that are named, and into PLAN the
configs that it made small models of; the second makes the same ones with an older release, and a tensor that only one
of the two saves is optional. Of each type four models with other sizes are made of each class; a length is told by an
expression that gives it in all four. Every other field is changed in turn: if the tensors are then not what the form
tells, the field is `opaque`, and with another value than the default nothing is known.
"""

import argparse
import json
import re
import sys
import warnings
from pathlib import Path

import torch
import transformers
from forms_absent import absent, resolved
from forms_fields import Known
from forms_fold import Letters, UnfoldableError, fold, tree_of
from forms_names import ROOT, canonical, is_told, renamed, rules_of
from forms_types import OPTIONAL, TYPES, base_of, classes_of
from saved_shapes import saved_shapes

TARGET = ROOT / "forms.json"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--against", type=Path, nargs="*", default=[])
    parser.add_argument("-o", "--out", type=Path, default=TARGET)
    parser.add_argument("types", nargs="*")
    args = parser.parse_args()
    if args.save:
        args.save.write_text(json.dumps(saved_by(json.loads(args.plan.read_text()))))
        return
    older = [json.loads(one.read_text()) for one in args.against]
    plan, forms, letters = {}, {}, 0
    for name in args.types or TYPES:
        found = []
        for number, when in enumerate(TYPES.get(name, [{}])):
            key = f"{name}/{number}"
            try:
                form, plan[key] = form_of(name, when)
                merge(form, plan[key], [one[key] for one in older if key in one])
            except Exception as error:  # noqa: BLE001  whatever a type needs more than sizes, it is left out
                print(f"{key}: {type(error).__name__}: {str(error)[:160]}", file=sys.stderr, flush=True)
                continue
            if form["classes"]:
                found.append(packed(form))
                letters += 1
                odd = f"opaque {', '.join(form['opaque'])}; apart {form['apart']}; must {form['must']}"
                print(f"{key}: {len(form['classes'])} classes, {odd}", file=sys.stderr, flush=True)
        if found:
            forms[name] = found
    print(f"{len(forms)} types, {letters} forms", file=sys.stderr)
    args.plan.write_text(json.dumps(plan))
    if args.types and args.out.exists():
        forms = json.loads(args.out.read_text(encoding="utf-8"))["types"] | forms
    write(forms, args.out)


def write(forms, path):
    text = json.dumps({"transformers": transformers.__version__, "types": forms}, separators=(",", ":"))
    path.write_text(text.replace('}],"', '}],\n"') + "\n", encoding="utf-8")


class Maker:
    """Models of one type, with some values of its config set."""

    def __init__(self, model_type, when):
        self.config_class = transformers.CONFIG_MAPPING[model_type]
        self.when = when
        self.known = {}
        self.left = {}  # of each class the names that are not in its files, where these are otherwise those of the model

    def config(self, values):
        nested = {}
        every = {**self.when, **values}
        for path, value in every.items():
            *parts, last = path.split(".")
            at = nested
            for one in parts:
                at = at.setdefault(one, {})
            same = value[1:] if isinstance(value, str) and value.startswith("=") else None
            at[last] = every.get(same) if same else value
        return self.config_class(**{name: value for name, value in nested.items() if value is not None})

    def shapes(self, cls, values):
        """Names and shapes in the model, without making its values where that is possible."""
        config = self.config(values)
        try:
            with torch.device("meta"):
                model = cls(config)
        except Exception:  # noqa: BLE001  some compute with values while they are made
            model = cls(self.config(values))
        return {name: tuple(one.shape) for name, one in model.state_dict().items()}

    def held(self, cls, values, rules):
        """Names without their place, and shapes in the files; without saving where a class saves what the model has."""
        if cls not in self.left:
            model = canonical(self.shapes(cls, values), rules)
            files = canonical(self.saved(cls, values)[0], rules)
            left = set(model) - set(files)
            plain = all(model.get(name) == one for name, one in files.items())
            self.left[cls] = left if plain and not any(re.search(r"\.\d+\.", name) for name in left) else None
        if self.left[cls] is None:
            return canonical(self.saved(cls, values)[0], rules)
        held = canonical(self.shapes(cls, values), rules)
        return {name: one for name, one in held.items() if name not in self.left[cls]}

    def saved(self, cls, values):
        """Names and shapes in the files, and the names that share one tensor."""
        key = (cls, repr(values))
        if key not in self.known:
            self.known[key] = self._saved(cls, values)
        return self.known[key]

    def _saved(self, cls, values):
        torch.manual_seed(0)
        model = cls(self.config(values))
        same = {}
        for name, one in model.state_dict().items():
            same.setdefault((one.data_ptr(), one.shape) if one.numel() else name, []).append(name)
        return saved_shapes(model), [one for one in same.values() if len(one) > 1]


def form_of(model_type, when):
    """The form, and what another release needs to make the same models."""
    maker = Maker(model_type, when)
    classes = {}
    for name in classes_of(model_type):
        cls = getattr(transformers, name, None)
        if cls is not None and hasattr(cls, "base_model_prefix"):
            classes[name] = cls
    known = Known(maker, classes)
    rules = rules_of(known.has_parts, classes.values())
    letters = Letters(known.assigned)
    found, saved, same = {}, {}, {}
    for name, cls in classes.items():
        try:
            _, alike = maker.saved(cls, known.untied[0])
            own = [maker.held(cls, one, rules) for one in known.untied]
            found[name] = fold([tree_of(one) for one in own], letters)
            if not all(is_told(found[name], letters.values(at), one) for at, one in enumerate(own)):
                raise UnfoldableError("the form does not tell its own models")
        except Exception as error:  # noqa: BLE001  a class that cannot be told
            print(f"{model_type} {name}: {type(error).__name__}: {str(error)[:140]}", file=sys.stderr, flush=True)
            found.pop(name, None)
            continue
        saved[name] = own[0]
        tied = canonical(maker.saved(cls, known.tied)[0], rules)
        same[name] = {"head": sorted(set(own[0]) - set(tied)), "groups": groups(alike, own[0], rules)}
    largest = max(found, key=lambda name: len(saved[name]))
    if not known.holds(largest, found[largest], known.wider(), letters, rules):
        raise UnfoldableError("a wide model is not what the form tells")
    apart = [[one, other] for one, other in known.pairs()
             if not known.holds(largest, found[largest], {other: known.assigned[one][0]}, letters, rules)]  # fmt: skip
    opaque = known.opaque(found, letters, rules)
    values = {path: one for path, one in known.untied[0].items() if path not in known.tied_paths}
    fields = letters.fields()
    shown = {
        "type": model_type, "when": when, "values": values, "untied": known.untied[0], "classes": sorted(found),
        "rules": rules, "fields": sorted(fields.values()), "opaque": sorted(opaque), "saved": saved,
        "absent": absent(maker, values, fields.values()), "unneeded": unneeded(classes),
    }  # fmt: skip
    defaults, fallbacks = resolved(shown["absent"], values)
    form = {
        "when": when, "prefixes": rules[0][2], "fields": fields, "defaults": defaults, "fallbacks": fallbacks,
        "aliases": known.aliases(), "opaque": opaque, "apart": apart, "must": unsaid(model_type, when), "flat": known.flat,
        "blocks": found, "classes": dict.fromkeys(found), "base": base_of(model_type),
        "head": sorted({one for name in same.values() for one in name["head"]}),
        "same": {key: value for name in same.values() for key, value in name["groups"].items()},
        "ignored": sorted({one for name in found for one in ignored(classes[name])}), "maybe": [],
    }  # fmt: skip
    return form, shown


def packed(form):
    """With each tensor and each stack once, and for every class their numbers."""
    items, numbers = [], {}
    for name in form["classes"]:
        numbers[name] = []
        for item in form["blocks"][name].items():
            if item not in items:
                items.append(item)
            numbers[name].append(items.index(item))
    common = sorted(set.intersection(*map(set, numbers.values())))
    found = {key: value for key, value in form.items() if key != "blocks"}
    return found | {
        "items": items, "common": common,
        "classes": {name: [one for one in own if one not in common] for name, own in numbers.items()},
    }  # fmt: skip


def groups(same, held, rules):
    """Of each name in the files the others that its tensor has."""
    found = {}
    for names in same:
        bare = sorted({renamed(one, rules) for one in names})
        stored = [one for one in bare if one in held]
        if len(bare) > 1 and len(stored) == 1:
            found[stored[0]] = [one for one in bare if one != stored[0]]
    return found


def ignored(cls, attribute="_keys_to_ignore_on_load_unexpected"):
    return [str(one) for one in getattr(cls, attribute, None) or ()]


def unneeded(classes):
    """Patterns of names that loading does not miss, by class."""
    return {name: ignored(cls, "_keys_to_ignore_on_load_missing") for name, cls in classes.items()}


def default_at(model_type, when, path):
    """The value of a field that a config does not name."""
    at = Maker(model_type, {one: value for one, value in when.items() if one != path}).config({})
    for part in path.split("."):
        at = getattr(at, part, None)
    return at if isinstance(at, (int, str, float, list, tuple, type(None))) else repr(at)


def unsaid(model_type, when):
    """The fields of a variant that are otherwise where a config does not name them."""
    return sorted(
        path for path, value in when.items()
        if not str(value).startswith("=") and json.dumps(default_at(model_type, when, path)) != json.dumps(value)
    )  # fmt: skip


def saved_by(plan):
    """What this release saves of the planned models, and its own defaults."""
    found = {}
    for key, one in plan.items():
        if one["type"] not in transformers.CONFIG_MAPPING:
            continue
        maker, answer = Maker(one["type"], one["when"]), {"saved": {}}
        for name in one["classes"]:
            try:
                held, _ = maker.saved(getattr(transformers, name), one["untied"])
                answer["saved"][name] = canonical(held, one["rules"])
            except Exception as error:  # noqa: BLE001  a class that it does not have, or makes otherwise
                print(f"{key} {name}: {type(error).__name__}: {str(error)[:120]}", file=sys.stderr, flush=True)
        answer["unneeded"] = unneeded({name: getattr(transformers, name) for name in answer["saved"]})
        answer["absent"] = absent(maker, one["values"], one["fields"])
        answer["defaults"] = {path: default_at(one["type"], one["when"], path) for path in one["opaque"]}
        found[key] = answer
    return found


def pattern_of(name):
    """Of a tensor, and of the same one in other layers."""
    return re.sub(r"\\\.\d+(?=\\\.)", r"\\.\\d+", re.escape(name))


def merge(form, own, older):
    """Nothing is wanted of a class that the releases save in other shapes; a tensor of one of them is optional."""
    maybe = set()
    for other in older:
        for path in own["fields"]:
            if other["absent"].get(path) != own["absent"].get(path):
                form["defaults"].pop(path, None)
                form["fallbacks"].pop(path, None)
        for path, value in form["opaque"].items():
            if value is not None and json.dumps(other["defaults"][path]) != json.dumps(value):
                form["must"] = sorted({*form["must"], path})
        for name in list(form["classes"]):
            held = {key: tuple(one) for key, one in other["saved"].get(name, {}).items()}
            if not held:
                continue
            newer = own["saved"][name]
            odd = set(newer) ^ set(held)
            if len(odd) * 4 > len(newer) or any(newer[key] != held[key] for key in set(newer) & set(held)):
                first = sorted(odd)[:2] or [key for key in newer if newer[key] != held.get(key)][:2]
                print(f"  {name}: an older release saves other tensors: {first}", file=sys.stderr, flush=True)
                del form["classes"][name]
                continue
            maybe |= {pattern_of(key) for key in odd}
    for name, one in own["saved"].items():
        patterns = [
            *OPTIONAL.get(own["type"], ()),
            *(pattern for held in (own, *older) for pattern in held["unneeded"].get(name, ())),
        ]
        odd = {
            key for key in one if any(re.search(pattern, f"{at}{key}") for pattern in patterns for at in ("", "model."))
        }
        maybe |= {pattern_of(key) for key in odd}
    form["maybe"] = sorted(maybe)
    for pattern in form["maybe"]:
        print(f"  maybe {pattern}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    main()
