"""Walks through the opcodes of a pickle that torch wrote, and builds inert values: nothing is imported or called.

A pickle is a program. This machine knows its stack, but a name that the program would import stays a name, a call to
one of torch's rebuild functions becomes the description of a tensor, and any other call becomes nothing. Opcodes are
those of `pickletools`; the arguments of the rebuild functions are those of torch/_utils.py.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# A tensor takes some thirty opcodes; real files have some thousands of tensors at most.
MAX_OPCODES = 500_000
# Names that weights do not need: the first one is a blocker, so more are only counted.
_MAX_ARGUMENTS = 10_000

# What torch's own `weights_only` unpickler lets a file import, as far as weights need it.
_HARMLESS = frozenset(
    {"collections.OrderedDict", "collections.defaultdict", "collections.Counter", "torch.Size", "torch.Tensor",
     "torch.device", "torch.nn.parameter.Parameter", "torch.nn.Parameter", "torch._tensor._rebuild_from_type_v2",
     "torch.serialization._get_layout", "torch.storage.UntypedStorage", "torch.storage.TypedStorage",
     "builtins.set", "__builtin__.set", "builtins.bytearray", "_codecs.encode"}
)  # fmt: skip
DTYPES: dict[str, str] = {
    "float": "F32", "float32": "F32", "half": "F16", "float16": "F16", "bfloat16": "BF16", "double": "F64",
    "float64": "F64", "long": "I64", "int64": "I64", "int": "I32", "int32": "I32", "short": "I16", "int16": "I16",
    "char": "I8", "int8": "I8", "byte": "U8", "uint8": "U8", "bool": "BOOL", "complexfloat": "C64", "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0", "uint16": "U16", "uint32": "U32",
    "uint64": "U64",
}  # fmt: skip


class BadPickleError(ValueError):
    """The bytes are no pickle that this machine accepts; the message says what is wrong with them."""


class EndsInsideError(BadPickleError):
    """The bytes end before the pickle does."""


class Name(NamedTuple):
    """What the pickle would import, as a dotted path."""

    path: str


class Storage(NamedTuple):
    """`length` elements of `dtype` under `key`. For an untyped storage `dtype` is U8."""

    dtype: str | None
    key: str
    length: int


class RebuiltTensor(NamedTuple):
    """A tensor as torch would rebuild it: a view of a storage. Offset and strides count elements."""

    shape: tuple[int, ...]
    dtype: str | None
    storage: Storage | None
    offset: int = 0
    stride: tuple[int, ...] = ()


class PickleContents(NamedTuple):
    """`value` is what the pickle builds; `names` is what it would import and torch's safe unpickler would not."""

    value: object
    names: tuple[str, ...]
    storages: tuple[Storage, ...]


class _Nothing:
    """The result of a call that is not made."""


NOTHING = _Nothing()


def walk(stream: IO[bytes]) -> PickleContents:
    """Walk through the pickle that begins at the stream's position, and leave the stream behind it.

    Raises:
        EndsInsideError: the stream ends before the pickle does.
        BadPickleError: it is no pickle, or longer than any file of weights.
    """
    machine = Machine()
    count = 0
    done = False
    operations = pickletools.genops(stream)
    while True:
        try:
            opcode, argument, _ = next(operations)
        except StopIteration:
            break
        except Exception as error:  # genops raises whatever a malformed argument makes it raise
            if not stream.read(1):
                raise EndsInsideError("it ends inside an opcode") from error
            raise BadPickleError(str(error)[:200]) from error
        count += 1
        if count > MAX_OPCODES:
            raise BadPickleError(f"more than {MAX_OPCODES:,} opcodes")
        done = opcode.name == "STOP"
        if not done:
            machine.step(opcode.name, argument)
    if not done:
        raise EndsInsideError("it has no end")
    return PickleContents(machine.pop(), tuple(dict.fromkeys(machine.foreign)), tuple(machine.storages.values()))


@dataclass
class Machine:
    """The stack and the memo. A subclass may keep more of what a pickle says: of a name met, of an object built."""

    stack: list[object] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    storages: dict[str, Storage] = field(default_factory=dict)

    def step(self, name: str, argument: Any) -> None:
        action = _ACTIONS.get(name)
        if action is not None:
            action(self)
        elif name in _PUSHES:
            self.stack.append(argument)
        elif name in {"PUT", "BINPUT", "LONG_BINPUT"}:
            self.memo[argument] = self.top()
        elif name in {"GET", "BINGET", "LONG_BINGET"}:
            if argument not in self.memo:
                raise BadPickleError(f"it asks for memo {argument}, which nothing put there")
            self.stack.append(self.memo[argument])
        elif name in {"GLOBAL", "INST"}:
            self.met(str(argument).replace(" ", ".", 1))
            if name == "INST":
                self.drop_to_mark()
        elif name in {"EXT1", "EXT2", "EXT4"}:
            self.foreign.append("copyreg._extension_registry")
            self.stack.append(NOTHING)
        elif name not in {"PROTO", "FRAME"}:
            raise BadPickleError(f"opcode {name} has no place in weights")

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise BadPickleError("it takes more from the stack than it put there")
        return self.stack.pop()

    def top(self) -> object:
        value = self.pop()
        self.stack.append(value)
        return value

    def cut(self) -> list[object]:
        """What stands above the last mark, and the mark gone."""
        if not self.marks:
            raise BadPickleError("it looks for a mark that it never set")
        at = self.marks.pop()
        found = self.stack[at:]
        del self.stack[at:]
        return found

    def met(self, path: str) -> None:
        tail = path.rpartition(".")[2]
        torch_own = path.startswith("torch._utils._rebuild") or (
            path.count(".") == 1 and path.startswith("torch.") and (tail.endswith("Storage") or tail in DTYPES)
        )
        if not torch_own and path not in _HARMLESS:
            self.foreign.append(path[:200])
            if len(self.foreign) > _MAX_ARGUMENTS:
                raise BadPickleError("it imports more than any file of weights")
        self.stack.append(Name(path))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise BadPickleError("it imports something that has no name")
        self.met(f"{module}.{name}")

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        path = function.path if isinstance(function, Name) else ""
        self.stack.append(_called(path, arguments if isinstance(arguments, tuple) else ()))

    def persistent(self) -> None:
        """`('storage', type, key, location, count)`, as torch/serialization.py names its storages."""
        identity = self.pop()
        found: object = NOTHING
        if isinstance(identity, tuple) and len(identity) >= 5 and identity[0] == "storage":
            kind, key, count = identity[1], identity[2], identity[4]
            if isinstance(kind, Name) and isinstance(key, str) and type(count) is int and 0 <= count < 2**60:
                found = Storage(_dtype(kind), key, count)
                self.storages.setdefault(key, found)
        self.stack.append(found)

    def set_items(self, items: list[object]) -> None:
        target = self.top()
        if isinstance(target, dict):
            # Keys of weights are texts. The hash of another key could take for ever: of tuples within tuples.
            target.update({key: value for key, value in zip(items[::2], items[1::2], strict=False)
                           if isinstance(key, str)})  # fmt: skip

    def dict_of(self, items: list[object]) -> None:
        self.stack.append({})
        self.set_items(items)

    def append(self, items: list[object]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(items)

    def tuple_of(self, count: int) -> None:
        found = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(found)))

    def drop_to_mark(self) -> None:
        self.cut()
        self.stack.append(NOTHING)

    def new(self, count: int) -> None:
        """An object made of the class and the arguments that are the last `count` values."""
        for _ in range(count):
            self.pop()
        self.stack.append(NOTHING)

    def build(self, state: object) -> None:
        """The object on top gets its state."""


def _dtype(kind: object) -> str | None:
    """The dtype that `torch.FloatStorage` or `torch.float8_e4m3fn` stands for; None for one without a name here."""
    if not isinstance(kind, Name):
        return None
    last = kind.path.rpartition(".")[2]
    return "U8" if last == "UntypedStorage" else DTYPES.get(last.removesuffix("Storage").lower())


def _called(path: str, arguments: tuple[Any, ...]) -> object:
    """What a call gives, for the few functions that say something about weights."""
    if path in {"collections.OrderedDict", "collections.defaultdict"}:
        return {}
    if path == "torch.Size":
        return tuple(arguments[0]) if arguments and _sizes(arguments[0]) else NOTHING
    function = path.removeprefix("torch._utils.").removeprefix("torch._tensor.")
    if function == "_rebuild_from_type_v2" and len(arguments) >= 3 and isinstance(arguments[0], Name):
        function, arguments = arguments[0].path.removeprefix("torch._utils."), arguments[2]
    return _rebuilt(function, arguments) if isinstance(arguments, tuple) else NOTHING


def _rebuilt(function: str, arguments: tuple[Any, ...]) -> object:
    if function.startswith("_rebuild_parameter") and arguments and isinstance(arguments[0], RebuiltTensor):
        return arguments[0]
    if function in {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"} and len(arguments) >= 4:
        storage, offset, shape, stride = arguments[:4]
        if isinstance(storage, Storage) and type(offset) is int and _sizes(shape) and _sizes(stride):
            typed = function == "_rebuild_tensor_v3" and len(arguments) >= 7
            return RebuiltTensor(
                tuple(shape), _dtype(arguments[6]) if typed else storage.dtype, storage, offset, tuple(stride)
            )
    if function == "_rebuild_meta_tensor_no_storage" and len(arguments) >= 2 and _sizes(arguments[1]):
        return RebuiltTensor(tuple(arguments[1]), _dtype(arguments[0]), None)
    return NOTHING


def _sizes(value: object) -> bool:
    if not isinstance(value, tuple | list) or len(value) >= 64:
        return False
    return all(type(one) is int and 0 <= one < 2**60 for one in value)


_PUSHES = frozenset(
    """INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE
    SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8""".split()  # noqa: SIM905  fewer lines
)
_ACTIONS: dict[str, Callable[[Machine], object]] = {
    "NONE": lambda m: m.stack.append(None),
    "NEWTRUE": lambda m: m.stack.append(True),
    "NEWFALSE": lambda m: m.stack.append(False),
    "MARK": lambda m: m.marks.append(len(m.stack)),
    "POP": lambda m: m.cut() if m.marks and m.marks[-1] == len(m.stack) else m.pop(),
    "POP_MARK": lambda m: m.cut(),
    "DUP": lambda m: m.stack.append(m.top()),
    "MEMOIZE": lambda m: m.memo.__setitem__(len(m.memo), m.top()),
    "EMPTY_TUPLE": lambda m: m.stack.append(()),
    "TUPLE": lambda m: m.stack.append(tuple(m.cut())),
    "TUPLE1": lambda m: m.tuple_of(1),
    "TUPLE2": lambda m: m.tuple_of(2),
    "TUPLE3": lambda m: m.tuple_of(3),
    "EMPTY_LIST": lambda m: m.stack.append([]),
    "LIST": lambda m: m.stack.append(m.cut()),
    "APPEND": lambda m: m.append([m.pop()]),
    "APPENDS": lambda m: m.append(m.cut()),
    "EMPTY_DICT": lambda m: m.stack.append({}),
    "DICT": lambda m: m.dict_of(m.cut()),
    "SETITEM": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m: m.set_items(m.cut()),
    "EMPTY_SET": lambda m: m.stack.append(NOTHING),
    "ADDITEMS": lambda m: m.cut(),
    "FROZENSET": lambda m: m.drop_to_mark(),
    "STACK_GLOBAL": lambda m: m.stack_global(),
    "PERSID": lambda m: m.stack.append(NOTHING),
    "BINPERSID": lambda m: m.persistent(),
    "REDUCE": lambda m: m.call(),
    "NEWOBJ": lambda m: m.new(2),
    "NEWOBJ_EX": lambda m: m.new(3),
    "OBJ": lambda m: m.drop_to_mark(),
    "BUILD": lambda m: m.build(m.pop()),
}
