"""The attributes of the object in a pickle. Nothing is unpickled: see `envpin.checkpoint.formats.pickle`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from envpin.checkpoint.formats.pickle import BadPickleError, Machine
from envpin.inference.pickle_names import MAX_PATH, opcodes, pickle_of

if TYPE_CHECKING:
    from envpin.core.place import Place

# One dictionary can be the state of as many objects as there are opcodes; real ones copy some hundred entries.
_MAX_COPIED = 500_000
_MAKERS = frozenset({"copyreg._reconstructor", "copy_reg._reconstructor"})


@dataclass(slots=True, eq=False)
class Instance:
    """An object that loading would have made: the dotted path of its class, and its attributes by name."""

    path: str
    attributes: dict[str, object] = field(default_factory=dict)

    def inner(self, name: str) -> Instance | None:
        """The attribute of this name where it is an object with attributes of its own."""
        value = self.attributes.get(name)
        return value if isinstance(value, Instance) and value.attributes else None


def read_state(path: Place) -> Instance | None:
    """The outermost object of the first pickle in a file; None where that is none, or no pickle that makes sense."""
    return state_of(pickle_of(path))


def state_of(data: bytes) -> Instance | None:
    """As `read_state`, of the bytes of a pickle. Total: whatever is wrong with them, it is None."""
    reader = _Reader()
    try:
        for name, argument in opcodes(data):
            if name == "STOP":
                top = reader.pop()
                return top if isinstance(top, Instance) else None
            reader.step(name, argument)
    except BadPickleError:
        return None
    return None


@dataclass
class _Reader(Machine):
    """Keeps of every name an `Instance`, and of every object the attributes that it is given."""

    copied: int = 0

    def met(self, path: str) -> None:
        if len(path) > MAX_PATH:
            raise BadPickleError("it names something with a path that nothing has")
        self.stack.append(Instance(path))

    def stack_global(self) -> None:
        # Long texts may be fetched from the memo again and again: judged before they are joined.
        if any(isinstance(text, str) and len(text) > MAX_PATH for text in self.stack[-2:]):
            raise BadPickleError("it names something with a path that nothing has")
        super().stack_global()

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        path = function.path if isinstance(function, Instance) else ""
        if path in _MAKERS and isinstance(arguments, tuple) and arguments and isinstance(arguments[0], Instance):
            path = arguments[0].path
        self.stack.append(Instance(path))

    def new(self, count: int) -> None:
        cls = [self.pop() for _ in range(count)][-1]
        self.stack.append(Instance(cls.path if isinstance(cls, Instance) else ""))

    def build(self, state: object) -> None:
        target = self.top()
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)  # two where there are __slots__
        for part in parts:
            if isinstance(target, Instance) and isinstance(part, dict):
                self.copied += len(part)
                if self.copied > _MAX_COPIED:
                    raise BadPickleError("it has more attributes than any file of arguments")
                target.attributes.update(part)
