"""Our zone loader beside nsd-checkzone, kzonecheck and named-checkzone, over a corpus of odd zone files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.settings import Settings, Zone
from dnsserver.zone import load
from tests.conftest import require
from tests.wire.corpus import FILES, HEAD, TAILS

ORIGIN = "z.test."
CHECKERS = {
    "nsd": ("nsd-checkzone", ORIGIN),
    "knot": ("kzonecheck", "-o", ORIGIN),
    "bind": ("named-checkzone", "-i", "local", "-k", "ignore", ORIGIN),
}

STRICTER = {
    "DNAME at a wildcard": "has no meaning that all agree on (RFC 4592 section 4.4)",
}
"""What all others take and we do not, with the reason."""

MILDER = {
    "generate": "BIND's directive, which many zone files use; NSD and Knot have none",
    "relative origin": "RFC 1035 section 5.1 allows it; NSD and Knot want the whole name",
}
"""What NSD and Knot refuse and we take, with the reason."""


def complaint(path: Path) -> str:
    try:
        load(Settings(zone=(Zone(name=ORIGIN, file=str(path)),)))
    except ConfigError as error:
        return error.problems[0]
    return ""


def refuses(peer: str, path: Path) -> bool:
    program, *arguments = CHECKERS[peer]
    command = [require(program), *arguments, path.name]
    return bool(subprocess.run(command, cwd=path.parent, capture_output=True, timeout=30, check=False).returncode)


@pytest.mark.live
@pytest.mark.parametrize("case", TAILS)
def test_we_refuse_what_nsd_and_knot_refuse_and_take_what_all_take(case: str, tmp_path: Path) -> None:
    path = tmp_path / "zone"
    path.write_text(f"{HEAD}{TAILS[case]}\n")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    said = complaint(path)
    refused = {peer: refuses(peer, path) for peer in CHECKERS}
    if refused["nsd"] and refused["knot"]:
        assert bool(said) == (case not in MILDER)
    elif not any(refused.values()):
        assert bool(said) == (case in STRICTER), said
    if said:
        assert re.match(rf"{tmp_path}/\w+:\d+: \S", said), "file, line and reason"
        assert "\n" not in said
