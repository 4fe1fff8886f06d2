"""How long a sweep will still take, from what it took so far. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from envpin.core.sizes import counted

# Steps that the estimate looks back on: recent ones, because old environments are slower or faster than new ones.
_WINDOW = 300


@dataclass(kw_only=True)
class Pace:
    """`total` steps, of which `known` needed no run. Times are those of a monotonic clock, in seconds."""

    jobs: int = 1
    total: int = 0
    known: int = 0
    done: int = 0
    began: float = 0.0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def start(self, total: int, known: int, *, now: float) -> None:
        self.total, self.known, self.began = total, known, now
        self.times.append(now)

    def add(self, *, now: float) -> None:
        self.done += 1
        self.times.append(now)

    def left(self, *, now: float) -> float | None:
        """Seconds that are left; None before there is anything to judge by."""
        if self.done < 5:
            return None
        per_step = (now - self.times[0]) / max(1, len(self.times) - 1)
        return per_step * max(0, self.total - self.known - self.done)


def remaining(pace: Pace, *, now: float) -> str:
    """`412 of 1200 steps, about 6 min left`"""
    at = f"{min(pace.total, pace.known + pace.done)} of {counted(pace.total, 'step')}"
    left = pace.left(now=now)
    if left is None:
        return at
    return f"{at}, about {duration(left)} left"


def duration(seconds: float) -> str:
    """`40 s`, `6 min`, `2 h 10 min`"""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
