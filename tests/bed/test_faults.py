"""Every fault of the specification on real components (S4–S15, S25): what is decided, who is left alone, how it comes back."""

from __future__ import annotations

import pytest

from tests.bed.faults import FAULTS, Fault
from tests.bed.trial import Pointsman, trial

# The first one also waits for the bed, and where there is none yet for the nodes' root.
pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("number, fault", [*enumerate(FAULTS)], ids=[fault.name for fault in FAULTS])
def test_a_real_fault_is_decided_and_leaves_the_others_alone_and_heals(
    running: Pointsman, number: int, fault: Fault
) -> None:
    clusters = running.bed.clusters
    cluster = next((one for one in clusters if one.database == fault.database), clusters[0])
    outcome = trial(running, fault, cluster if fault.database else clusters[number % len(clusters)])
    print(outcome)  # its times are for who reads; that they are good is bench/bed.py's to show
    assert outcome.wrong == 0, "answers lacked the address of a cluster that was well"
    assert (outcome.back_ms is not None) == fault.erased
