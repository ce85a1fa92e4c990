"""The four themes. One accent colour each; the tones mean the same in all, and none of them carries a meaning alone.

``colour-blind`` takes its colours from the Okabe–Ito palette; ``contrast`` is black and white with pure hues.
"""

from __future__ import annotations

from typing import NamedTuple

from textual.theme import Theme


class _Ground(NamedTuple):
    dark: bool
    background: str
    surface: str
    panel: str
    foreground: str


class _Tones(NamedTuple):
    muted: str
    accent: str
    ok: str
    warn: str
    bad: str
    held: str


def _theme(name: str, ground: _Ground, tones: _Tones) -> Theme:
    dark, background, surface, panel, foreground = ground
    on_alarm = background if dark else "#ffffff"
    variables = {f"tone-{tone}": colour for tone, colour in tones._asdict().items()}
    variables |= {
        "tone-alarm": tones.bad,
        "tone-on-alarm": on_alarm,
        "tone-notice": tones.accent,
        "tone-on-notice": on_alarm,
        "tone-cursor": panel,
        "footer-background": surface,
        "footer-foreground": tones.muted,
        "footer-key-foreground": tones.accent,
        "footer-description-foreground": tones.muted,
        "block-cursor-background": panel,
        "block-cursor-foreground": foreground,
        "input-cursor-background": foreground,
        "border": tones.accent,
        "scrollbar": panel,
        "scrollbar-background": background,
        "scrollbar-hover": tones.muted,
        "scrollbar-active": tones.accent,
        "scrollbar-corner-color": background,
    }
    return Theme(
        name=name, dark=dark, primary=tones.accent, secondary=tones.accent, accent=tones.accent,
        foreground=foreground, background=background, surface=surface, panel=panel,
        success=tones.ok, warning=tones.warn, error=tones.bad, variables=variables,
    )  # fmt: skip


DARK = _theme(
    "dark",
    _Ground(True, "#12161b", "#181d24", "#26303b", "#d7dde4"),
    _Tones("#8793a0", "#6cb6e0", "#86c08a", "#e3b65b", "#f2777a", "#b8a1e6"),
)
LIGHT = _theme(
    "light",
    _Ground(False, "#fbfbf9", "#f0f0ec", "#dfe7ee", "#1f2429"),
    _Tones("#5e6873", "#0b6397", "#2d6f35", "#8a5a00", "#b3261e", "#6a3fb0"),
)
CONTRAST = _theme(
    "contrast",
    _Ground(True, "#000000", "#000000", "#00457a", "#ffffff"),
    _Tones("#d0d0d0", "#00ffff", "#00ff66", "#ffff00", "#ff8080", "#ff99ff"),
)
COLOUR_BLIND = _theme(
    "colour-blind",
    _Ground(True, "#12161b", "#181d24", "#26303b", "#e2e6ea"),
    _Tones("#95a0ab", "#f0e442", "#56b4e9", "#e69f00", "#ff8a4c", "#cc79a7"),
)

THEMES = (DARK, LIGHT, CONTRAST, COLOUR_BLIND)
