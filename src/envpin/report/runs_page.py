"""The page of two runs: where they parted, and both curves drawn over each other. One file, no network, no script."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envpin.report.template import page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpin.replay.training.compare import RunComparison

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 760, 220, 64, 26


class Plot(NamedTuple):
    """One quantity of both runs: an SVG path for each, in a box of `width` by `height`; `mark` is where they part."""

    title: str
    paths: tuple[str, str]
    low: str
    high: str
    first: int
    last: int
    mark: float | None


def render_runs(found: RunComparison, names: tuple[str, str], lines: Sequence[str]) -> str:
    """The page as text. `lines` are what the terminal says of the judgement."""
    plots = [
        plot
        for title, field in (("Loss", "loss"), ("Gradient norm", "grad_norm"), ("Learning rate", "lr"))
        if (plot := _plot(title, field, found)) is not None
    ]
    return page("runs.html", found=found, names=names, lines=list(lines), plots=plots, width=_WIDTH, height=_HEIGHT,
                left=_LEFT, bottom=_BOTTOM)  # fmt: skip


def _plot(title: str, field: str, found: RunComparison) -> Plot | None:
    series: list[list[tuple[int, float]]] = [
        [(step, value) for step, value in zip(one.steps, getattr(one, field), strict=True) if value is not None]
        for one in found.curves
    ]
    points = [point for one in series for point in one]
    if not points:
        return None
    first, last = min(step for step, _ in points), max(step for step, _ in points)
    low, high = min(value for _, value in points), max(value for _, value in points)

    def across(step: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 8) * (step - first) / max(1, last - first)

    def up(value: float) -> float:
        return 8 + (_HEIGHT - _BOTTOM - 8) * (1 - (value - low) / (high - low or 1))

    paths = [" ".join(f"{'M' if at == 0 else 'L'}{across(step):.1f} {up(value):.1f}"
                      for at, (step, value) in enumerate(one)) for one in series]  # fmt: skip
    apart = found.judgement.first
    mark = across(min(max(apart.step, first), last)) if apart is not None else None
    return Plot(title, (paths[0], paths[1]), f"{low:.4g}", f"{high:.4g}", first, last, mark)
