"""The times of :mod:`bench.beside` as a picture: for each contender the share of faults that were out of DNS after so many milliseconds.

An SVG that follows the reader's light or dark theme, without a library.

    python -m bench.plot TIMES.json… docs/failover.svg
"""

from __future__ import annotations

import json
import math
import sys
from html import escape
from pathlib import Path

from bench.failover import percentile

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 430, 62, 200, 64, 54
LEAST, MOST = 2.0, 60_000.0
TICKS = (10, 100, 1000, 10_000)
MINOR = tuple(n * 10**e for e in range(5) for n in range(2, 10) if LEAST <= n * 10**e <= MOST)
NAMED = {10: "10 ms", 100: "100 ms", 1000: "1 s", 10_000: "10 s"}
COLOURS = {"pointsman": "a", "gdnsd": "b", "prober 1 s × 1": "c", "prober 10 s × 3": "d"}
STYLE = """
text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}.t{font-size:16px;font-weight:600}.m{fill:#59636e;font-size:12px}
.g{stroke:#d1d9e0;stroke-width:1}.h{stroke:#eaeef2;stroke-width:1}path{fill:none;stroke-width:2.4;stroke-linejoin:round}.hung{stroke-dasharray:6 4}
.a{stroke:#0969da}.b{stroke:#bc4c00}.c{stroke:#8250df}.d{stroke:#57606a}text.a{fill:#0969da;stroke:none}text.b{fill:#bc4c00;stroke:none}
text.c{fill:#8250df;stroke:none}text.d{fill:#57606a;stroke:none}.paper{fill:#fff}
@media(prefers-color-scheme:dark){.paper{fill:#0d1117}text{fill:#e6edf3}.m{fill:#9198a1}.g{stroke:#3d444d}.h{stroke:#21262d}
.a{stroke:#58a6ff}.b{stroke:#f0883e}.c{stroke:#bc8cff}.d{stroke:#9198a1}text.a{fill:#58a6ff}text.b{fill:#f0883e}text.c{fill:#bc8cff}text.d{fill:#9198a1}}
"""


def x(milliseconds: float) -> float:
    share = math.log(max(LEAST, milliseconds) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def line(values: list[float]) -> str:
    """The steps of the distribution, from the first fault that was seen to the last."""
    ordered = sorted(values)
    steps = [f"M{x(ordered[0]):.1f} {y(0):.1f}"]
    for number, value in enumerate(ordered, 1):
        steps.append(f"H{x(value):.1f}V{y(number / len(ordered)):.1f}")
    return "".join(steps)


def seconds(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def picture(times: dict[str, dict[str, list[float]]]) -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t">',
        '<title id="t">Time from a fault to the first clean answer: pointsman, gdnsd and a kubelet-like prober</title>',
        f'<style>{STYLE}</style><rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        f'<text class="t" x="{LEFT}" y="28">From a fault to the first clean answer</text>',
        f'<text class="m" x="{LEFT}" y="48">share of faults whose address was out of DNS after so long; medians on the right</text>',
    ]
    bottom, top = y(0), y(1)
    parts += [f'<line class="h" x1="{x(t):.1f}" y1="{bottom}" x2="{x(t):.1f}" y2="{top}"/>' for t in MINOR]
    for tick in TICKS:
        parts.append(f'<line class="g" x1="{x(tick):.1f}" y1="{bottom}" x2="{x(tick):.1f}" y2="{top}"/>')
        parts.append(f'<text class="m" x="{x(tick):.1f}" y="{bottom + 20}" text-anchor="middle">{NAMED[tick]}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line class="g" x1="{LEFT}" y1="{y(share):.1f}" x2="{WIDTH - RIGHT}" y2="{y(share):.1f}"/>')
        parts.append(f'<text class="m" x="{LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for number, (name, by_fault) in enumerate(times.items()):
        colour = COLOURS.get(name, "d")
        parts += [
            f'<path class="{colour} {fault}" d="{line(values)}"/>' for fault, values in by_fault.items() if values
        ]
        at = TOP + 24 + 44 * number
        told = ", ".join(f"{fault} {seconds(percentile(values, 0.5))}" for fault, values in by_fault.items())
        parts.append(
            f'<text class="{colour}" x="{WIDTH - RIGHT + 14}" y="{at}" font-weight="600">{escape(name)}</text>'
        )
        parts.append(f'<text class="m" x="{WIDTH - RIGHT + 14}" y="{at + 17}">{told}</text>')
    at = HEIGHT - BOTTOM - 26
    for fault, word in (("killed", "router killed"), ("hung", "router hung")):
        parts.append(f'<path class="d {fault}" d="M{WIDTH - RIGHT + 14} {at}h28"/>')
        parts.append(f'<text class="m" x="{WIDTH - RIGHT + 50}" y="{at + 4}">{word}</text>')
        at += 20
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    *sources, target = map(Path, sys.argv[1:])
    times: dict[str, dict[str, list[float]]] = {}
    for source in sources:
        times |= json.loads(source.read_text())
    target.write_text(picture(times))


if __name__ == "__main__":
    main()
