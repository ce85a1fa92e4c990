"""Listings that are JSON and not what a runtime would write: any value, anywhere in what it really wrote, misleads nobody."""

from __future__ import annotations

import copy
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.probes.check import Check, Output
from core.probes.kinds.text import SAID_LIMIT
from tests.unit.kinds_common import checks, fixture
from tests.unit.test_settings_hostile import VALUES, places, put

EXAMPLES = int(os.environ.get("POINTSMAN_EXAMPLES", "200"))
LISTINGS: dict[str, list[Any]] = {
    "crio": [json.loads(fixture("crictl-1.26-ps.json"))],
    "podman": [json.loads(fixture("podman-4.3.1-ps.json"))],
    "docker": [json.loads(line) for line in fixture("docker-24.0-ps.jsonl").splitlines()],
}


@st.composite
def misshapen(draw: st.DrawFn, runtime: str) -> str:
    documents = copy.deepcopy(LISTINGS[runtime])
    for _ in range(draw(st.integers(1, 3))):
        put(documents, draw(st.sampled_from(places(documents)[1:])), draw(VALUES))
    return "\n".join(map(json.dumps, documents))


@pytest.mark.parametrize("runtime", LISTINGS)
@given(data=st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_any_value_anywhere_in_a_listing_is_judged_without_raising(runtime: str, data: st.DataObject) -> None:
    check: Check = checks(runtime=runtime)["containers"]
    output = Output(0, data.draw(misshapen(runtime)))
    for judgement in check.judge(output):
        assert judgement.said.isprintable()
        assert 0 < len(judgement.said) <= SAID_LIMIT
        assert all(report.said.isprintable() for report in judgement.pods)
    command = check.pids_command(output)
    assert command.isprintable() or not command
    assert all(sentinel.pid > 0 for sentinel in check.sentinels(output, output))
