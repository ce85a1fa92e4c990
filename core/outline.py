"""A snapshot without what only one screen looks at: 10,000 nodes are not sent to a reader who wants counts. Pure.

Called by the control API for each message of a stream.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from core.snapshot import Snapshot


def outline(snapshot: Snapshot, whole: Collection[str] | None) -> Snapshot:
    """The snapshot with the sources, pods and why-chains of the clusters in ``whole`` alone; None leaves it as it is."""
    if whole is None:
        return snapshot
    clusters = tuple(
        cluster if cluster.name in whole else replace(cluster, sources=(), pods=(), why=())
        for cluster in snapshot.clusters
    )
    return replace(snapshot, clusters=clusters)
