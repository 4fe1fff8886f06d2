"""Trees of tensor names from models of several sizes, folded into one template with expressions for its lengths."""

import itertools
import string


class UnfoldableError(Exception):
    """Names that no field counts, or whose parts differ in a way that no template tells."""


def tree_of(held):
    """{"a": {"b": (2, 3)}} of {"a.b": (2, 3)}."""
    root = {}
    for name, shape in held.items():
        *parts, last = name.split(".")
        at = root
        for one in parts:
            at = at.setdefault(one, {})
            if not isinstance(at, dict):
                raise UnfoldableError(f"`{name}` is below a tensor")
        if last in at:
            raise UnfoldableError(f"`{name}` is above a tensor")
        at[last] = tuple(shape)
    return root


class Letters:
    """The fields by letters, and for each tuple of lengths the simplest expression that gives it."""

    def __init__(self, assigned):
        names = [one for size in (1, 2) for one in map("".join, itertools.product(string.ascii_lowercase, repeat=size))]
        self.paths = dict(zip(names, assigned, strict=False))
        self.assigned = assigned
        self.used = set()
        self.table = {}
        fields = {letter: tuple(assigned[path]) for letter, path in self.paths.items()}
        self._fill(fields)

    def _fill(self, fields):
        """The simplest first: an expression is kept where the lengths have none yet."""
        near = sorted(
            itertools.permutations(fields, 2),
            key=lambda pair: self._place(pair[0]) != self._place(pair[1]),
        )
        for values, text in itertools.chain(_of_one(fields), _of_two(fields, near), _of_three(fields, near)):
            self.table.setdefault(values, text)

    def _place(self, letter):
        return self.paths[letter].rpartition(".")[0]

    def text(self, lengths):
        """An expression for one length in every model; `?` where none is known."""
        if len(set(lengths)) == 1:
            return str(lengths[0])
        found = self.table.get(tuple(lengths))
        if found is None:
            return "?"
        self.used |= {part for part in found.replace("+", "*").replace("//", "*").split("*") if not part.isdigit()}
        return found

    def values(self, number):
        return {letter: self.assigned[path][number] for letter, path in self.paths.items()}

    def fields(self):
        return {letter: path for letter, path in self.paths.items() if letter in self.used}


def _of_one(fields):
    for one, values in fields.items():
        yield values, one
    for one, values in fields.items():
        for more in (1, 2):
            yield tuple(value + more for value in values), f"{one}+{more}"
        for factor in (2, 3, 4, 6, 8):
            yield tuple(factor * value for value in values), f"{factor}*{one}"


def _of_two(fields, near):
    pairs = [(one, other, list(zip(fields[one], fields[other], strict=True))) for one, other in near]
    over = [pair for pair in pairs if all(a % b == 0 and a > b for a, b in pair[2])]
    for one, other, values in pairs:
        yield tuple(a * b for a, b in values), f"{one}*{other}"
    for one, other, values in over:
        yield tuple(a // b for a, b in values), f"{one}//{other}"
    for one, other, values in pairs:
        yield tuple(2 * a * b for a, b in values), f"2*{one}*{other}"
        yield tuple(a * b * b for a, b in values), f"{one}*{other}*{other}"
    for one, other, values in over:
        text = f"{one}//{other}"
        for more in (0, 1, 2):
            squares = tuple((a // b) ** 2 + more for a, b in values)
            yield squares, f"{text}*{text}+{more}" if more else f"{text}*{text}"


def _of_three(fields, near):
    for one, other in near:
        pairs = list(zip(fields[one], fields[other], strict=True))
        if all(a % b == 0 and a > b for a, b in pairs):
            for factor, values in fields.items():
                yield tuple(a // b * c for (a, b), c in zip(pairs, values, strict=True)), f"{factor}*{one}//{other}"
    for one, other in near:
        pairs = list(zip(fields[one], fields[other], strict=True))
        for third, values in fields.items():
            yield tuple(a * b * c for (a, b), c in zip(pairs, values, strict=True)), f"{one}*{other}*{third}"
    for one, other in near:
        pairs = list(zip(fields[one], fields[other], strict=True))
        yield tuple(a + b for a, b in pairs), f"{one}+{other}"
        yield tuple(a + 2 * b for a, b in pairs), f"{one}+2*{other}"
        for third, values in fields.items():
            both = [(a, b, c) for (a, b), c in zip(pairs, values, strict=True)]
            yield tuple(a * b + 2 * c * b for a, b, c in both), f"{one}*{other}+2*{third}*{other}"
            yield tuple(a * b + c for a, b, c in both), f"{one}*{other}+{third}"


def fold(trees, letters):
    """A block: names with texts of shapes, or with stacks `[count, kinds, first]`."""
    found = {}
    keys = trees[0].keys()
    if any(one.keys() != keys for one in trees):
        raise UnfoldableError(f"other names: {sorted(set().union(*trees) - set.intersection(*map(set, trees)))[:3]}")
    for name in keys:
        parts = [one[name] for one in trees]
        if all(isinstance(one, tuple) for one in parts):
            if len({len(one) for one in parts}) != 1:
                raise UnfoldableError(f"`{name}` has other numbers of axes")
            found[name] = ",".join(letters.text(one) for one in zip(*parts, strict=True))
        elif all(isinstance(one, dict) for one in parts):
            found |= below(name, parts, letters)
        else:
            raise UnfoldableError(f"`{name}` is a tensor and is not")
    return found


def below(name, parts, letters):
    counts = tuple(len(one) for one in parts)
    numbered = all(set(one) == {str(number) for number in range(len(one))} for one in parts)
    if not numbered or len(set(counts)) == 1:
        return {f"{name}.{key}": one for key, one in fold(parts, letters).items()}
    count = letters.text(counts)
    if count == "?":
        raise UnfoldableError(f"`{name}` has {counts} parts, which no field tells")
    kinds, folded = [], []
    for number in range(max(counts)):
        here = [one[str(number)] for one in parts if str(number) in one]
        try:
            folded.append(fold(here, letters) if len(here) == len(parts) else None)
        except UnfoldableError:
            folded.append(None)
    for one in folded:
        if one is not None and one not in kinds:
            kinds.append(one)
    if not kinds or len(kinds) > 6:
        raise UnfoldableError(f"`{name}` has {len(kinds)} kinds of parts")
    first = None
    if len(kinds) > 1 and folded[0] is not None and folded.count(folded[0]) == 1:
        first = folded[0]
        kinds = [one for one in kinds if one != first]
    return {name: [count, kinds, first]}
