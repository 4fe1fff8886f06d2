"""What a running step says of its progress."""

from __future__ import annotations

from envpin.cli.console.live import Rate, amount
from envpin.core.events import Progress


def seen(*samples: tuple[float, int]) -> Rate:
    rate = Rate()
    for now, done in samples:
        rate.add(done, now)
    return rate


def test_bytes_tensors_rate_and_time_left() -> None:
    progress = Progress("stream", 1_200_000_000, 2_200_000_000, "B", "57 of 201 tensors")
    assert amount(progress, seen((0.0, 200_000_000), (5.0, 1_200_000_000))) == (
        "  57 of 201 tensors  1.2 GB of 2.2 GB  200.0 MB/s  5 s left"
    )


def test_no_rate_before_a_second_was_seen_and_none_left_at_the_end() -> None:
    progress = Progress("stream", 50, 100)
    assert amount(progress, seen((0.0, 0), (0.5, 50))) == "  50 B of 100 B"
    assert amount(progress, seen((0.0, 50), (5.0, 50))) == "  50 B of 100 B"
    assert amount(Progress("stream", 100, 100), seen((0.0, 0), (2.0, 100))) == "  100 B of 100 B  50 B/s"
    assert amount(None, Rate()) == ""


def test_a_resumed_merge_does_not_count_what_was_there_already() -> None:
    """Finished shards are told at once; the rate is that of what is written now."""
    rate = seen((0.0, 900), (10.0, 1000))
    assert rate.per_second() == 10.0


def test_the_rate_is_that_of_the_last_seconds() -> None:
    samples = [(float(second), second) for second in range(60)] + [
        (60.0 + second, 60 + 100 * second) for second in range(60)
    ]
    assert seen(*samples).per_second() == 100.0


def test_long_waits_are_said_in_minutes_and_hours() -> None:
    rate = seen((0.0, 0), (10.0, 10))
    assert amount(Progress("stream", 10, 100), rate).endswith("1 min 30 s left")
    assert amount(Progress("stream", 10, 7210), rate).endswith("2 h 00 min left")
