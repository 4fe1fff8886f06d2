"""How long a sweep still takes."""

from __future__ import annotations

from envpin.sweep.progress import Pace, duration, remaining


def test_the_time_left_follows_the_recent_pace() -> None:
    pace = Pace()
    pace.start(110, 10, now=100.0)
    assert remaining(pace, now=100.0) == "10 of 110 steps"
    for step in range(20):
        pace.add(now=101.0 + step)
    assert remaining(pace, now=120.0) == "30 of 110 steps, about 80 s left"
    assert [duration(one) for one in (0.4, 89, 90, 3599, 7800)] == ["0 s", "89 s", "2 min", "1 h 0 min", "2 h 10 min"]
