"""Prometheus metrics of one snapshot. Pure; called by the control API's ``/metrics``.

Names are ``pointsman_*`` with the unit at the end; other programs rely on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector

from core.model import EventName, Verdict
from core.snapshot import ClusterState, Snapshot

__all__ = ["CONTENT_TYPE", "render"]


def render(snapshot: Snapshot, events: Mapping[str, int]) -> bytes:
    """The text that Prometheus reads; ``events`` is how often each event happened since the start."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot, events))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, snapshot: Snapshot, events: Mapping[str, int]) -> None:
        self._snapshot = snapshot
        self._events = events

    def collect(self) -> Iterable[Metric]:
        return chain(
            self._process(), self._clusters(), self._checks(), self._apps(), self._hands(), self._peers(), self._dns()
        )

    def _process(self) -> Iterator[Metric]:
        s = self._snapshot
        info = {"version": s.version, "installation": s.installation, "mode": s.mode}
        yield InfoMetricFamily("pointsman_build", "the program", value=info)
        for name, text, value in (
            ("start_time_seconds", "when the process started, seconds since the epoch", s.started_at),
            ("table_serial", "serial of the record table", s.serial),
            ("starting", "1 until a whole round of checks is in", s.starting),
            ("frozen", "1 while the kill switch is on", s.frozen is not None),
            ("shadow", "1 in shadow mode", s.shadow),
            ("suspect_self", "1 while pointsman suspects itself and erases nothing by silence", bool(s.suspect_self)),
            ("trouble", "things that are wrong with pointsman itself", len(s.trouble)),
        ):
            yield GaugeMetricFamily(f"pointsman_{name}", text, value=float(value))
        counts = CounterMetricFamily("pointsman_events", "events since the start", labels=["event"])
        for event in EventName:
            counts.add_metric([event], self._events.get(event, 0))
        yield counts

    def _clusters(self) -> Iterator[Metric]:
        state = StateSetMetricFamily("pointsman_cluster_state", "1 for the state the cluster is in", labels=["cluster"])
        labels = ["cluster"]
        override = GaugeMetricFamily(
            "pointsman_cluster_override", "1 while overridden by hand", labels=[*labels, "action"]
        )
        flaps = GaugeMetricFamily("pointsman_cluster_flaps", "erases within the flap window", labels=labels)
        bad = GaugeMetricFamily("pointsman_cluster_checks_bad", "checks not OK", labels=[*labels, "detector"])
        total = GaugeMetricFamily("pointsman_cluster_checks", "checks", labels=[*labels, "detector"])
        oldest = GaugeMetricFamily(
            "pointsman_verdict_age_seconds",
            "time since the newest result of the check that is longest without one",
            labels=labels,
        )
        latency = GaugeMetricFamily(
            "pointsman_confirm_latency_seconds", "the router's answer times", labels=[*labels, "quantile"]
        )
        for c in self._snapshot.clusters:
            state.add_metric([c.name], {each.value: each is c.state for each in ClusterState})
            if c.override:
                override.add_metric([c.name, c.override.action], 1)
            flaps.add_metric([c.name], c.flaps)
            if results := [check.at for source in c.sources for check in source.checks if check.at]:
                oldest.add_metric([c.name], max(0.0, self._snapshot.at - min(results)))
            for detector, is_bad, of in (
                ("internal", c.internal_bad, c.internal_total),
                ("external", c.external_bad, c.external_total),
            ):
                bad.add_metric([c.name, detector], is_bad)
                total.add_metric([c.name, detector], of)
            for quantile, value in (("0.5", c.p50), ("0.95", c.p95)):
                if value is not None:
                    latency.add_metric([c.name, quantile], value)
        yield from (state, override, flaps, oldest, bad, total, latency)

    def _checks(self) -> Iterator[Metric]:
        labels = ["cluster", "source", "kind", "check"]
        verdict = StateSetMetricFamily("pointsman_check_verdict", "1 for the check's verdict", labels=labels)
        age = GaugeMetricFamily("pointsman_check_age_seconds", "time since the newest result", labels=labels)
        heard = GaugeMetricFamily(
            "pointsman_source_silent_seconds", "time since the source was heard", labels=["cluster", "source", "kind"]
        )
        now = self._snapshot.at
        for cluster in self._snapshot.clusters:
            for source in cluster.sources:
                if source.heard_at:
                    heard.add_metric([cluster.name, source.name, source.kind], max(0.0, now - source.heard_at))
                for check in source.checks:
                    values = [cluster.name, source.name, check.kind, check.name]
                    verdict.add_metric(values, {each.value: each is check.verdict for each in Verdict})
                    if check.at:
                        age.add_metric(values, max(0.0, now - check.at))
        yield from (verdict, age, heard)

    def _apps(self) -> Iterator[Metric]:
        labels = ["domain", "cluster"]
        in_dns = GaugeMetricFamily("pointsman_in_dns", "1 while the cluster's address may be answered", labels=labels)
        share = GaugeMetricFamily("pointsman_in_dns_share_ratio", "share of answers that may hold it", labels=labels)
        fail_open = GaugeMetricFamily(
            "pointsman_fail_open", "1 while every cluster is abnormal and served nevertheless", labels=["domain"]
        )
        for app in self._snapshot.apps:
            fail_open.add_metric([app.domain], app.fail_open)
            for each in app.memberships:
                in_dns.add_metric([app.domain, each.cluster], each.in_dns)
                share.add_metric([app.domain, each.cluster], each.share / 100 if each.in_dns else 0)
        yield from (in_dns, share, fail_open)

    def _hands(self) -> Iterator[Metric]:
        labels = ["hand", "kind", "cluster"]
        done = GaugeMetricFamily("pointsman_confirmed", "1 while it has confirmed the newest decision", labels=labels)
        serial = GaugeMetricFamily("pointsman_confirmed_serial", "newest table serial it has confirmed", labels=labels)
        for hand in self._snapshot.hands:
            values = [hand.name, hand.kind, hand.cluster]
            done.add_metric(values, hand.done)
            serial.add_metric(values, hand.confirmed)
        yield from (done, serial)

    def _peers(self) -> Iterator[Metric]:
        peers = self._snapshot.peers
        if peers is None:
            return
        yield GaugeMetricFamily(
            "pointsman_peers_reachable",
            "0 while etcd does not answer, and this instance is alone",
            value=peers.reachable,
        )
        yield GaugeMetricFamily(
            "pointsman_peers_unshared", "clusters whose newest order the others do not have", value=len(peers.unshared)
        )
        heard = GaugeMetricFamily("pointsman_peer_heard", "1 while another instance's lease holds", labels=["peer"])
        blind = GaugeMetricFamily("pointsman_peer_blind", "1 while its silence is no vote", labels=["peer"])
        ahead = GaugeMetricFamily("pointsman_peer_clock_ahead_seconds", "how far its clock is ahead", labels=["peer"])
        for each in peers.instances:
            heard.add_metric([each.name], each.heard)
            blind.add_metric([each.name], each.blind)
            ahead.add_metric([each.name], each.ahead)
        yield from (heard, blind, ahead)

    def _dns(self) -> Iterator[Metric]:
        dns = self._snapshot.dns
        queries = CounterMetricFamily("pointsman_dns_queries", "queries answered", labels=["rcode"])
        for rcode, count in dns.by_rcode:
            queries.add_metric([rcode], count)
        yield queries
        yield CounterMetricFamily("pointsman_dns_dropped", "packets not answered", value=dns.dropped)
        yield CounterMetricFamily("pointsman_dns_limited", "answers held back by the rate limit", value=dns.limited)
        yield CounterMetricFamily("pointsman_dns_truncated", "answers truncated", value=dns.truncated)
        yield GaugeMetricFamily("pointsman_dns_tcp_connections", "TCP connections open", value=dns.tcp_connections)
