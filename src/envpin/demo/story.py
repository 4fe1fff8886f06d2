"""The steps of `envpin demo`: train under `record`, see a plain merge fail, replay it, compare bit for bit."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core import process
from envpin.core.errors import CheckFailedError, InfrastructureError
from envpin.core.events import Step, ignore
from envpin.envs.refs.pins import Resolver
from envpin.envs.refs.resolve import resolve
from envpin.host import worker
from envpin.recording.session import RecordSession
from envpin.replay.merge import Merged, merge
from envpin.replay.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envpin.core.events import Listener
    from envpin.envs.store.environment import Environment
    from envpin.envs.store.store import Store

FAMILY = "llama3.1"
_SCRIPTS = Path(__file__).resolve().parent / "scripts"


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoResult:
    """What the demo found: the error of the plain merge, the merge itself, and the comparison with one by hand."""

    plain_error: str
    merged: Merged
    comparison: str


def tell(folder: Path, store: Store, *, say: Callable[[str], None], listener: Listener = ignore) -> DemoResult:
    """Run the demo in `folder`, which is made where it is missing. `say` gets each line of the narration.

    Raises:
        EnvpinError: a step failed; the demo never goes on after one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base, adapter, out = folder / "base", folder / "adapter", folder / "merged"
    say(f"1. the environment of {FAMILY}, from its committed lock")
    environment = _environment(store, say, listener)
    say("2. a tiny base with the shape of Llama 3.1, and an ordinary LoRA fine-tune that adds one token")
    with _step(listener, "make a base"):
        _script(environment, "make_base.py", base)
    say(f"   $ envpin record -- python train.py {base.name} {adapter.name}")
    with _step(listener, "train"):
        _train(environment, base, adapter)
    say("3. merging it the plain way, in the very same environment")
    with _step(listener, "merge the plain way"):
        plain_error = _plain_merge(environment, base, adapter)
    for line in plain_error.splitlines():
        say(f"   {line.strip()}")
    say(f"4. $ envpin replay merge {adapter.name} -o {out.name}")
    plan = make_plan(adapter, out=out, store=store, listener=listener)
    merged = merge(plan, store, listener=listener)
    say("5. the same merge by hand, by somebody who knows that the vocabulary grew, compared bit for bit")
    rows = merged.record.merge["rows"]
    with _step(listener, "merge by hand and compare"):
        comparison = _script(environment, "by_hand.py", base, adapter, rows, out).strip().splitlines()[-1]
    return DemoResult(plain_error=plain_error, merged=merged, comparison=comparison)


@contextlib.contextmanager
def _step(listener: Listener, title: str) -> Iterator[None]:
    """Something of the story that takes seconds, as a step that a terminal shows."""
    listener(Step(key=title, title=title))
    try:
        yield
    except BaseException:
        listener(Step(key=title, title=title, state="failed"))
        raise
    listener(Step(key=title, title=title, state="done"))


def _environment(store: Store, say: Callable[[str], None], listener: Listener) -> Environment:
    spec = resolve(FAMILY, Resolver(listener=listener))
    if store.find(spec) is None:
        say(f"   downloads its packages, about 3 GB with torch, and keeps them in {store.root}")
    else:
        say(f"   ready in {store.root}: nothing is downloaded")
    return store.ensure(spec, listener=listener)


def _variables() -> dict[str, str]:
    # One thread: the model is so small that more of them only wait for each other.
    return process.scrubbed_environment(set_values={"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})


def _script(environment: Environment, name: str, *arguments: object) -> str:
    completed = process.run([environment.python, _SCRIPTS / name, *(str(one) for one in arguments)], env=_variables())
    process.raise_if_killed(completed, what=f"`{name}`")
    if completed.status != 0:
        raise InfrastructureError(f"`{name}` failed\n{worker.tail(completed.stderr + completed.stdout)}")
    return completed.stdout


def _train(environment: Environment, base: Path, adapter: Path) -> None:
    command = [str(environment.python), str(_SCRIPTS / "train.py"), str(base), str(adapter)]
    session = RecordSession(command, _variables())
    try:
        completed = process.run(command, env=session.environment)
        outcome = session.finish()
    finally:
        session.close()
    process.raise_if_killed(completed, what="the training run")
    if completed.status != 0 or not outcome.manifests:
        why = "\n".join([*outcome.faults, outcome.nothing or ""])
        raise InfrastructureError(f"the training run failed\n{worker.tail(completed.stderr + why)}")


def _plain_merge(environment: Environment, base: Path, adapter: Path) -> str:
    completed = process.run([environment.python, _SCRIPTS / "plain_merge.py", base, adapter], env=_variables())
    if completed.status == 0:
        raise CheckFailedError("the plain merge was expected to fail, and did not")
    lines = [line for line in completed.stderr.splitlines() if "size mismatch" in line]
    if not lines:
        raise CheckFailedError(f"the plain merge failed otherwise than expected\n{worker.tail(completed.stderr)}")
    return "\n".join(lines)
