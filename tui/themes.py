"""The four themes. One accent colour each; the tones mean the same in all, and none of them carries a meaning alone.

``colour-blind`` takes its colours from the Okabe–Ito palette; ``contrast`` is black and white with pure hues.
"""

from __future__ import annotations

from textual.theme import Theme


def _theme(
    name: str, dark: bool, background: str, surface: str, panel: str, foreground: str, tones: dict[str, str]
) -> Theme:
    on_alarm = tones.get("on-alarm", background if dark else "#ffffff")
    variables = {f"tone-{tone}": colour for tone, colour in tones.items()}
    variables |= {
        "tone-alarm": tones["bad"],
        "tone-on-alarm": on_alarm,
        "tone-notice": tones["accent"],
        "tone-on-notice": on_alarm,
        "tone-cursor": panel,
        "footer-background": surface,
        "footer-foreground": tones["muted"],
        "footer-key-foreground": tones["accent"],
        "footer-description-foreground": tones["muted"],
        "block-cursor-background": panel,
        "block-cursor-foreground": foreground,
        "input-cursor-background": foreground,
        "border": tones["accent"],
        "scrollbar": panel,
        "scrollbar-background": background,
        "scrollbar-hover": tones["muted"],
        "scrollbar-active": tones["accent"],
        "scrollbar-corner-color": background,
    }
    return Theme(
        name=name, dark=dark, primary=tones["accent"], secondary=tones["accent"], accent=tones["accent"],
        foreground=foreground, background=background, surface=surface, panel=panel,
        success=tones["ok"], warning=tones["warn"], error=tones["bad"], variables=variables,
    )  # fmt: skip


def _tones(muted: str, accent: str, ok: str, warn: str, bad: str, held: str) -> dict[str, str]:
    return {"muted": muted, "accent": accent, "ok": ok, "warn": warn, "bad": bad, "held": held}


DARK = _theme(
    "dark", True, "#12161b", "#181d24", "#26303b", "#d7dde4",
    _tones("#8793a0", "#6cb6e0", "#86c08a", "#e3b65b", "#f2777a", "#b8a1e6"),
)  # fmt: skip
LIGHT = _theme(
    "light", False, "#fbfbf9", "#f0f0ec", "#dfe7ee", "#1f2429",
    _tones("#5e6873", "#0b6397", "#2d6f35", "#8a5a00", "#b3261e", "#6a3fb0"),
)  # fmt: skip
CONTRAST = _theme(
    "contrast", True, "#000000", "#000000", "#00457a", "#ffffff",
    _tones("#d0d0d0", "#00ffff", "#00ff66", "#ffff00", "#ff8080", "#ff99ff"),
)  # fmt: skip
COLOUR_BLIND = _theme(
    "colour-blind", True, "#12161b", "#181d24", "#26303b", "#e2e6ea",
    _tones("#95a0ab", "#f0e442", "#56b4e9", "#e69f00", "#ff8a4c", "#cc79a7"),
)  # fmt: skip

THEMES = (DARK, LIGHT, CONTRAST, COLOUR_BLIND)
