"""One bed for all tests that need one, with pointsman running on it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.bed.bed import Bed, bed
from tests.bed.trial import Pointsman, pointsman
from tests.conftest import LEFT_OUT

_CI = os.environ.get("CI") == "true"
WANTED = _CI or os.environ.get("POINTSMAN_BED") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "the_bed" in getattr(item, "fixturenames", ()) and not WANTED:
            item.add_marker(pytest.mark.skip(reason=LEFT_OUT))


@pytest.fixture(scope="package")
def the_bed() -> Iterator[Bed]:
    with bed(f"test-{os.getpid()}") as made:
        yield made


@pytest.fixture(scope="package")
def running(the_bed: Bed) -> Iterator[Pointsman]:
    with pointsman(the_bed, patient=True) as found:
        yield found
