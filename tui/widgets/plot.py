"""A plot of one router's answer times over the last quarter of an hour. Called by the Cluster screen where there is room.

Its frame and dots are not ASCII: on an ASCII terminal the strip of the document stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from textual_plotext import PlotextPlot

MINUTES = 15
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class LatencyPlot(PlotextPlot):
    """Milliseconds over minutes, on a logarithmic scale; a red × on the top line where a message was not answered."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._times: tuple[float | None, ...] = ()

    def set_times(self, times: Sequence[float | None]) -> None:
        """As :attr:`core.snapshot.ClusterView.latency`; drawn only when it has changed."""
        if tuple(times) == self._times:
            return
        self._times = tuple(times)
        minutes = [MINUTES * (n / max(1, len(times) - 1) - 1) for n in range(len(times))]
        answered = [
            (at, took * 1000) for at, took in zip(minutes, times, strict=True) if took is not None and took >= 0
        ]
        lost = [at for at, took in zip(minutes, times, strict=True) if took is not None and took < 0]
        low, high = min([1.0, *(ms for _, ms in answered if ms > 0)]), max([10.0, *(ms * 2 for _, ms in answered)])
        ticks = [ms for ms in TICKS if low <= ms <= high]
        plt = self.plt
        plt.clear_data()
        plt.title("router's answer times, ms; x = not answered" if lost else "router's answer times, ms")
        plt.ylim(log10(low), log10(high))  # plotext's own log scale takes the logarithm anew at each drawing
        plt.yticks([log10(ms) for ms in ticks], [f"{ms:g}" for ms in ticks])
        plt.xlim(-MINUTES, 0)
        plt.xticks([-15, -10, -5, 0], ["15 min ago", "10", "5", "now"])
        if answered:
            plt.plot([at for at, _ in answered], [log10(max(ms, low)) for _, ms in answered], marker="braille")
        if lost:
            plt.scatter(lost, [log10(high * 0.9)] * len(lost), marker="x", color="red")
        self.refresh()
