"""What language the tools of a node speak, wherever the shell's own environment comes from."""

from __future__ import annotations

import os

import pytest

from tests.conftest import require
from tests.live.test_watch_script import Shell

pytestmark = pytest.mark.live


@pytest.mark.parametrize("name", ["bash", "sh"])
@pytest.mark.parametrize("locale", ["de_DE.UTF-8", "ja_JP.UTF-8"])
def test_behind_sudo_too_it_is_c(monkeypatch: pytest.MonkeyPatch, name: str, locale: str) -> None:
    if os.getuid():
        pytest.skip("sudo asks for no password of root only")
    for variable in ("LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"):
        monkeypatch.setenv(variable, locale)
    watch = Shell(name)
    try:
        # LANGUAGE reaches the tool as it is, and gettext takes no notice of it where the locale is C.
        watch.send(f"c 0 {require('sudo')} -n printenv LC_ALL; echo end", "r 0")
        watch.until(lambda: watch.of("x", 0))
        assert watch.output(0) == b"C\nend\n"
    finally:
        watch.close()
