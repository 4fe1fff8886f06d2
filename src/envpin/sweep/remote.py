"""The executor of a sweep over many machines: Dask's, as `concurrent.futures` has it. An extra: `envpin[dask]`."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from envpin.core.command_text import command_text
from envpin.core.errors import NetworkError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

# Seconds for a Dask scheduler to answer: one that has just been started needs some.
_PATIENCE = 20.0


@contextmanager
def remote_executor(address: str) -> Iterator[Executor]:
    """The executor of `dask:ADDRESS`, where ADDRESS is a scheduler's, such as `tcp://host:8786`.

    Raises:
        UsageError: it is of another form, or Dask is not installed.
        NetworkError: no scheduler answers there, or it has no workers.
    """
    kind, _, where = address.partition(":")
    if kind != "dask" or not where:
        raise UsageError(f"`{address}` is not an executor", hint="`dask:tcp://HOST:8786`, the address of a scheduler")
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        hint = "in envpin's clone: pip install '.[dask]'"
        raise UsageError("Dask is not installed next to envpin", hint=hint) from None
    try:
        client = distributed.Client(where, timeout=_PATIENCE, set_as_default=False)
    except ValueError as fault:
        raise UsageError(f"`{where}` is not an address: {fault}", hint="such as `dask:tcp://HOST:8786`") from fault
    except OSError as fault:
        raise NetworkError(
            f"no Dask scheduler answers at `{where}`",
            hint="start one with `dask scheduler`, and workers with `dask worker`",
        ) from fault
    try:
        if not client.scheduler_info()["workers"]:
            raise NetworkError(
                f"the Dask scheduler at `{where}` has no workers", hint=command_text("dask", "worker", where)
            )
        # What a unit finds out is no function of its arguments alone: nothing may be taken from an earlier call.
        yield cast("Executor", client.get_executor(pure=False))
    finally:
        client.close()
