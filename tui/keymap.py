"""Every key of the console, in one place: bindings, footer, help and palette all come from these tables. Pure.

An id here is the name of the action and the key of ``[console] keys`` in the settings. Lower case looks, upper case acts.
"""

from __future__ import annotations

from typing import NamedTuple

from textual.binding import Binding, BindingType


class Command(NamedTuple):
    """``label`` is for the footer, ``help`` for people; ``shown`` puts it into the footer; ``action`` defaults to the id."""

    id: str
    keys: str
    label: str
    help: str
    shown: bool = False
    action: str = ""
    priority: bool = False


APP = (
    Command("help", "question_mark", "help", "Keys of what has the focus", True),
    Command("fleet", "1", "fleet", "All clusters"),
    Command("dns", "2", "dns", "Names, their answers, and a line to ask", True),
    Command("events", "3", "events", "The history", True),
    Command("probes", "4", "probes", "How each node, machine, database and router is watched"),
    Command("palette", "colon,ctrl+p", "more", "Command palette", True),
    Command("pause", "p", "pause", "Freeze the view, or back to what is live; the engine goes on"),
    Command("replay", "ctrl+r", "replay", "Replay the last incident on these screens, step by step"),
    Command("back_step", "left_square_bracket", "step back", "Replay: the event before", False, "step(-1)"),
    Command("next_step", "right_square_bracket", "step on", "Replay: the next event", False, "step(1)"),
    Command(
        "back_incident", "left_curly_bracket", "incident back", "Replay: the incident before", False, "step(-1, True)"
    ),
    Command("next_incident", "right_curly_bracket", "incident on", "Replay: the next incident", False, "step(1, True)"),
    Command("undo", "U", "Undo", "Undo: reverse your last order, with a dialog of its own"),
    Command("leave", "q", "leave", "Leave the console", True),
    Command("leave_anywhere", "ctrl+q", "leave", "Leave the console, from an input line too", False, "leave", True),
)
LINES = (
    Command("down", "j,down", "down", "One line down", False, "cursor(1)"),
    Command("up", "k,up", "up", "One line up", False, "cursor(-1)"),
    Command("page_down", "pagedown,ctrl+f", "page down", "One page down", False, "page(1)"),
    Command("page_up", "pageup,ctrl+b", "page up", "One page up", False, "page(-1)"),
    Command("top", "g,home", "top", "First line"),
    Command("bottom", "G,end", "bottom", "Last line"),
)
VERBS = (
    Command("drain", "D", "Drain", "Drain: no new clients, out of the answers, sessions go on", True),
    Command("erase", "E", "Erase", "Erase: out at once and everywhere, until restored by hand", True),
    Command("restore", "R", "Restore", "Restore: back under automatic control", True),
)
FLEET = (
    *VERBS,
    Command("open", "enter", "open", "Look at this cluster", True),
    Command("filter", "slash", "filter", "Show only what matches: text  !text  state:down  tag:eu  app:svc1", True),
    Command("faults", "f", "faults", "Only faults, or all again"),
    Command("sort", "s", "sort", "Sort by the next column"),
    Command("wide", "w", "wide", "Every column, or those that the screen has room for"),
    Command("left", "left,h", "left", "Columns to the left, in the wide view", False, "shift(-1)"),
    Command("right", "right,l", "right", "Columns to the right, in the wide view", False, "shift(1)"),
    Command("reverse", "r", "reverse", "Reverse the order"),
    Command("mark", "space", "mark", "Mark or unmark this cluster; an order goes to all marked ones"),
    Command("mark_all", "asterisk", "mark all", "Mark all that are shown, or none"),
    Command("back", "escape", "back", "Drop the filter, then the marks"),
)
CLUSTER = (*VERBS, Command("back", "escape", "back", "Back", True))
DNS = (
    Command("ask", "a,slash", "ask", "Ask any name and type, also as if clusters were erased", True),
    Command("back", "escape", "back", "Back", True),
)
EVENTS = (
    Command(
        "filter", "slash", "filter", "Show only what matches: text  !text  event:address_erased  cluster:tokyo", True
    ),
    Command("follow", "f", "follow", "Follow the newest event, or stay", True),
    Command("jump", "t", "time", "Go to a time: 14:05, 14:05:30, 2026-11-24 14:05, 10m (ago)", True),
    Command("replay_here", "enter", "replay", "Show the screens as they were at this event", True),
    Command("back", "escape", "back", "Drop the filter, then go back", True),
)
PROBES = (
    Command("open", "enter", "open", "Look at the cluster of this source", True),
    Command("filter", "slash", "filter", "Show only what matches: text  !text  state:bad  kind:routes", True),
    Command("faults", "f", "faults", "Only what is not well, or all again", True),
    Command("back", "escape", "back", "Drop the filter, then go back", True),
)
DIALOG = (Command("cancel", "escape", "cancel", "Do nothing", True),)
CONFIRM = (Command("confirm", "y", "yes", "Carry out a single drain or restore", True), *DIALOG)
HELP = (Command("cancel", "escape,question_mark,q", "close", "Close this page", True),)

PRESENT = frozenset({"drain", "erase", "restore", "undo", "freeze", "thaw", "ask", "reload"})
"""What is about the present: not there while the past is replayed."""
ACTS = frozenset({"drain", "erase", "restore", "undo", "freeze", "thaw"})
MOVES = frozenset(c.id for c in LINES) | {
    "left", "right", "back_step", "next_step", "back_incident", "next_incident",
}  # fmt: skip
IDS = frozenset(c.id for table in (APP, FLEET, CLUSTER, DNS, EVENTS, PROBES, LINES) for c in table)


def bindings(table: tuple[Command, ...]) -> list[BindingType]:
    return [
        Binding(c.keys, c.action or c.id, c.label, show=c.shown, priority=c.priority, tooltip=c.help, id=c.id)
        for c in table
    ]
