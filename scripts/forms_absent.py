"""What a config makes of a size that is not in it: the class's default, or what it derives of the other sizes."""

import contextlib
import dataclasses
import inspect
import itertools

LABELS = "num_labels"


def absent(maker, values, paths):
    """Of each size the default of its class, and its values in two configs without it."""
    found = {}
    for path in paths:
        if path == LABELS:
            continue
        place, _, name = path.rpartition(".")
        with contextlib.suppress(Exception):  # it cannot be without it
            owner = type(_at(maker.config(values), place))
            found[path] = [default_of(owner, name), *(_without(maker, one, path) for one in both(values))]
    return found


def both(values):
    """The sizes of a small model, and of one three times as large, with as many heads."""
    wide = {
        path: one if type(one) is not int or path.endswith(("heads", "pad_token_id", "padding_idx")) else 3 * one
        for path, one in values.items()
    }
    return values, wide


def resolved(found, values):
    """Defaults, and for sizes without one the size next to it, or the quotient, that it then is."""
    defaults, fallbacks = {LABELS: 2}, {}
    for path, (own, *made) in found.items():
        if type(own) is int:
            defaults[path] = own
            continue
        if any(type(one) is not int for one in made):
            continue
        place = path.rpartition(".")[0]
        near = [one for one in values if one.rpartition(".")[0] == place and one != path and type(values[one]) is int]
        pairs = both(values)
        for one in near:
            if [held[one] for held in pairs] == made:
                fallbacks[path] = one
                break
        else:
            for one, under in itertools.permutations(near, 2):
                if [held[one] // held[under] if held[under] else 0 for held in pairs] == made and "head" in under:
                    fallbacks[path] = f"{one}//{under}"
                    break
            else:
                if made[0] == made[1]:
                    defaults[path] = made[0]
    return defaults, fallbacks


def default_of(owner, name):
    if dataclasses.is_dataclass(owner):
        return next((one.default for one in dataclasses.fields(owner) if one.name == name), None)
    given = inspect.signature(owner.__init__).parameters.get(name)
    return None if given is None or given.default is inspect.Parameter.empty else given.default


def _without(maker, values, path):
    config = maker.config({one: value for one, value in values.items() if one != path})
    return _at(config, path)


def _at(config, path):
    for part in path.split(".") if path else ():
        config = getattr(config, part)
    return config
