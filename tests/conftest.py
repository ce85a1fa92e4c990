"""What tests of several kinds share: finding the programs that live tests run against."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

# Debian keeps servers out of a plain user's PATH, and PostgreSQL out of everybody's.
_SERVER_DIRECTORIES = ("/usr/sbin", "/usr/local/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin")))

# How long an example takes says nothing on a machine that is busy with other things. CI looks at the same examples each time, so that it
# tells what a change did; whoever runs the tests by hand searches on.
hypothesis_settings.register_profile(
    "pointsman", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=os.environ.get("CI") == "true"
)
hypothesis_settings.load_profile("pointsman")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

LEFT_OUT = "the bed of real clusters was left out: as root on Debian 12, make test-bed runs it (docs/bed.md)"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Here, for a run in several processes reads no conftest but this one in that which reports."""
    if any(LEFT_OUT in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(LEFT_OUT)


def require(program: str) -> str:
    """The path of a program that a test runs. Where it is not installed the test is skipped, and fails under CI."""
    path = shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *_SERVER_DIRECTORIES)))
    if path is None:
        missing = f"{program} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return path
