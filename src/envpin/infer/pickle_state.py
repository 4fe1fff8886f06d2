"""The attributes of the object in a pickle, by walking its opcodes on a stack of plain records. Nothing is unpickled.

No class is looked up and no callable is called: a GLOBAL becomes its dotted path, a REDUCE an `Instance` of that path.
What is met twice through the memo is one record, so that a pickle cannot make more records than it has opcodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envpin.infer.pickle_names import MAX_PATH, opcodes, pickle_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from envpin.checkpoint.place import Place


@dataclass(slots=True, eq=False)
class Instance:
    """An object that loading would have made: the dotted path of its class, and its attributes by name."""

    path: str
    attributes: dict[str, Any] = field(default_factory=dict)
    arguments: tuple[Any, ...] = ()

    def inner(self, name: str) -> Instance | None:
        """The attribute of this name where it is an object with attributes of its own."""
        value = self.attributes.get(name)
        return value if isinstance(value, Instance) and value.attributes else None


class _Mark:
    pass


class _Opaque:
    """A value that nothing here asks about: a persistent id, a buffer."""


_MARK = _Mark()
_NO_PATH = ""
# One dictionary can be the state of as many objects as there are opcodes; real ones copy some hundred entries.
_MAX_COPIED = 500_000


def read_state(path: Place) -> Instance | None:
    """The outermost object of the first pickle in a file; None where that is none, or no pickle that makes sense."""
    return state_of(pickle_of(path))


def state_of(data: bytes) -> Instance | None:
    """As `read_state`, of the bytes of a pickle. Total: whatever is wrong with them, it is None."""
    machine = _Machine()
    for name, argument in opcodes(data):
        if name == "STOP":
            top = machine.stack[-1] if machine.stack else None
            return top if isinstance(top, Instance) else None
        try:
            machine.step(name, argument)
        except (IndexError, KeyError, TypeError, ValueError, AttributeError):
            return None
    return None


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in _IGNORED:
            raise ValueError(name)

    def since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise IndexError("no mark")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def make(self, count: int) -> None:
        self.stack[len(self.stack) - count :] = [tuple(self.stack[len(self.stack) - count :])]


def _global(machine: _Machine, argument: Any) -> None:
    machine.stack.append(Instance(str(argument).replace(" ", ".", 1)))


def _stack_global(machine: _Machine, _argument: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not (isinstance(name, str) and isinstance(module, str) and len(name) + len(module) <= MAX_PATH):
        raise TypeError
    machine.stack.append(Instance(f"{module}.{name}"))


def _reduce(machine: _Machine, _argument: Any) -> None:
    arguments, maker = machine.stack.pop(), machine.stack.pop()
    path = maker.path if isinstance(maker, Instance) else _NO_PATH
    machine.stack.append(_made(path, arguments))


def _new(machine: _Machine, argument: Any) -> None:
    if argument == "ex":
        machine.stack.pop()
    arguments, cls = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(_made(cls.path if isinstance(cls, Instance) else _NO_PATH, arguments))


def _made(path: str, arguments: Any) -> Instance:
    given = arguments if isinstance(arguments, tuple) else ()
    if path in {"copyreg._reconstructor", "copy_reg._reconstructor"} and given and isinstance(given[0], Instance):
        path = given[0].path
    return Instance(path, arguments=given)


def _build(machine: _Machine, _argument: Any) -> None:
    state, target = machine.stack.pop(), machine.stack[-1]
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)  # two where there are __slots__
    for part in parts:
        if isinstance(target, Instance) and isinstance(part, dict):
            machine.copied += len(part)
            if machine.copied > _MAX_COPIED:
                raise ValueError("more attributes than any file of arguments has")
            target.attributes.update({key: value for key, value in part.items() if isinstance(key, str)})


def _set_items(target: Any, items: list[Any]) -> None:
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, (str, int)):
                target[key] = value


def _setitem(machine: _Machine, _argument: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set_items(machine.stack[-1], [key, value])


def _setitems(machine: _Machine, _argument: Any) -> None:
    items = machine.since_mark()
    _set_items(machine.stack[-1], items)


def _appends(machine: _Machine, _argument: Any) -> None:
    items = machine.since_mark()
    if isinstance(machine.stack[-1], list):
        machine.stack[-1].extend(items)


def _append(machine: _Machine, _argument: Any) -> None:
    value = machine.stack.pop()
    if isinstance(machine.stack[-1], list):
        machine.stack[-1].append(value)


def _dict(machine: _Machine, _argument: Any) -> None:
    items = machine.since_mark()
    made: dict[Any, Any] = {}
    _set_items(made, items)
    machine.stack.append(made)


def _get(machine: _Machine, argument: Any) -> None:
    machine.stack.append(machine.memo[int(argument)])


def _put(machine: _Machine, argument: Any) -> None:
    machine.memo[int(argument)] = machine.stack[-1]


def _persistent(machine: _Machine, _argument: Any) -> None:
    machine.stack[-1] = _Opaque()


# Not shared: each use makes its own list or dictionary, as containers are filled in place.
_ACTIONS: Mapping[str, Callable[[_Machine, Any], object]] = {
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": lambda machine, _: _new(machine, None),
    "NEWOBJ_EX": lambda machine, _: _new(machine, "ex"),
    "BUILD": _build,
    "SETITEM": _setitem,
    "SETITEMS": _setitems,
    "APPEND": _append,
    "APPENDS": _appends,
    "ADDITEMS": lambda machine, _: machine.since_mark(),
    "DICT": _dict,
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "FROZENSET": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.make(1),
    "TUPLE2": lambda machine, _: machine.make(2),
    "TUPLE3": lambda machine, _: machine.make(3),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_SET": lambda machine, _: machine.stack.append(_Opaque()),
    "MARK": lambda machine, _: machine.stack.append(_MARK),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "MEMOIZE": lambda machine, _: machine.memo.__setitem__(len(machine.memo), machine.stack[-1]),
    "PUT": _put, "BINPUT": _put, "LONG_BINPUT": _put,
    "GET": _get, "BINGET": _get, "LONG_BINGET": _get,
    "BINPERSID": _persistent,
    "PERSID": lambda machine, _: machine.stack.append(_Opaque()),
}  # fmt: skip
_CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
})  # fmt: skip
_IGNORED = frozenset({"PROTO", "FRAME", "READONLY_BUFFER"})
