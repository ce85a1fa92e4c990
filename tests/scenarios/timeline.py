"""Runs a scenario file: a timeline of events in, decisions and answers out, in simulated time.

A file is settings in TOML over those of ``base.toml``, a line ``---``, then lines ``TIME WORD …`` in order of time (seconds), and comments (#).
The runner keeps the truth about every check and reports it every ``interval`` and at each change, as probes would;
sources beat at every tick unless muted.

    1.0 break a/n1/routes: no rules listed     the check fails from now on; ``mend`` undoes it, ``hush`` makes it silent
    1.0 pod a/n1 default/web-1 dead|running|gone
    1.0 mute a   ·  mute a/n1  ·  unmute a     nothing is heard of a cluster or a source
    1.0 flicker a 0.3 5.0 · flicker a 0 0      every 5 s nothing is heard of its nodes and router for 0.3 s; 0 ends it
    1.0 canary on|off                          ``safety.canaries`` answer ten times a second, or do not
    1.0 queue a  ·  serve a                    a cluster's nodes wait for their turn to be connected to: nothing came of it yet
    1.0 poll b                                 its nodes are asked once a second, there is no line per tick
    1.0 rename a/n1/routes new                 the check is told under another name from now on
    1.0 stall 0.5                              this process itself runs nothing for so long
    1.0 order drain a: why  ·  for 5 order …   (+force) an operator's order; ``refused WORDS`` right after expects a refusal
    1.0 restart                                kill -9 and start: only what was saved is left
    1.0 reload KEY = VALUE  ·  without a/n1    other settings, in TOML; a node less
    2.0 answers svc1.net.: b c                 what DNS answers now, by cluster; ``~`` before the list for fail-open
    2.0 share svc1.net. a: 25
    2.0 ttl svc1.net.: 5
    2.0 phase svc1.net. a: erased
    2.0 verdict a: fail fail                   internal and external
    2.0 weight a default/web-1: 0              what its router is told, in percent of the set value
    2.0 stopped: a b                           whose routers are to be closed; nothing after the colon: none
    2.0 told a closed|open                     a router confirms it
    2.0 events a: fault_seen … address_erased  these events of the cluster happened since the last ``events``, in this order
    2.0 never a: address_restored              none of these since the last ``events``
    2.0 suspect: yes | no

and those of :mod:`tests.scenarios.sharing`, where there are several instances.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from core.model import Action, CheckId, Kind, Order, SourceId, SourceKind, SourceStatus
from core.settings import Settings
from core.state import RouterTold
from core.switching.pods import shares
from core.switching.standing import Standing
from tests.scenarios import sharing
from tests.scenarios.runner import START, TICK, Run, Truth


def run_file(path: Path) -> None:
    header, _, timeline = ("\n" + path.read_text()).partition("\n---\n")
    base = tomllib.loads(path.with_name("base.toml").read_text())
    raw = _merged(base, tomllib.loads(header))
    run = Run(Settings(**raw), raw)
    for number, line in enumerate(timeline.splitlines(), header.count("\n") + 2):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        at, word, *rest = text.split(maxsplit=2)
        run.advance(START + float(at))
        try:
            WORDS[word](run, rest[0] if rest else "")
        except AssertionError as failed:
            events = "\n".join(
                f"  {e.at - START:7.3f} {e.name} {e.cluster} {e.app} {e.cause} {e.evidence}" for e in run.history[-25:]
            )
            raise AssertionError(f"{path.name}:{number}: {text}\n{failed}\nlast events:\n{events}") from failed


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {key: _merged(base[key], over[key]) for key in base.keys() & over.keys() if isinstance(over[key], dict)}
    return {**base, **over, **both}


def _split(text: str) -> tuple[str, str]:
    head, _, tail = text.partition(": ")
    return head.strip().removesuffix(":"), tail.strip()


def _truth(outcome: str) -> Any:
    def change(run: Run, text: str) -> None:
        check, said = _split(text)
        run.changed(run.check(check), outcome, said)

    return change


def _pod(run: Run, text: str) -> None:
    source, pod, what = text.split()
    cluster, node = source.split("/")
    where = SourceId(cluster, node, SourceKind.NODE)
    if what == "gone":
        run.pods[where].pop(pod, None)
    else:
        run.pods[where][pod] = what
    run.report(CheckId(where, Kind.CONTAINERS))


def _stall(run: Run, text: str) -> None:
    """Nothing runs: the wall goes on, what came in meanwhile is read first, and only one step was listened to."""
    run.now += float(text)
    run.listened += 2 * TICK
    for source in run.heard:
        run.heard[source] = run.listened


def _order(run: Run, text: str, until: float | None = None) -> None:
    head, why = _split(text)
    action, *clusters = head.split()
    force = "+force" in clusters
    names = tuple(name for name in clusters if name != "+force")
    expected = tuple((name.split("@")[0], int(name.split("@")[1])) for name in names if "@" in name)
    order = Order(Action(action), tuple(n.split("@")[0] for n in names), "alice", why, until, expected, force=force)
    run.reply = None
    run.feed(order)


def _order_for(run: Run, text: str) -> None:
    length, _, rest = text.partition(" order ")
    _order(run, rest, run.now + float(length))


def _refused(run: Run, text: str) -> None:
    assert run.reply is not None
    assert run.reply.refused, f"was carried out: {run.reply.said}"
    assert text in run.reply.refused, run.reply.refused


def _restart(run: Run, text: str) -> None:
    before = run.state.table
    run.boot()
    assert dict(run.state.table.apps) == dict(before.apps), "a restart changed the answers"
    assert run.state.table.serial > before.serial, "a serial may be used twice"


def _flicker(run: Run, text: str) -> None:
    name, length, period = text.split()
    run.flickers[name] = (float(length), float(period) or 1.0)


def _canary(run: Run, text: str) -> None:
    run.canaries = text == "on"


def _poll(run: Run, text: str) -> None:
    run.polled[text] = run.now
    for node in run.world.clusters[text].nodes:
        run.feed(SourceStatus(node, "poll", True))


def _rename(run: Run, text: str) -> None:
    where, name = text.split()
    old = run.check(where)
    run.truth[CheckId(old.source, old.kind, name)] = Truth()
    del run.truth[old]


def _reload(run: Run, text: str) -> None:
    if text.startswith("without "):
        cluster, node = text.removeprefix("without ").split("/")
        for each in run.raw["cluster"]:
            if each["name"] == cluster:
                each["node"] = [n for n in each["node"] if n["name"] != node]
    else:
        run.raw = _merged(run.raw, tomllib.loads(text))
    run.reload(Settings(**run.raw))


def _answers(run: Run, text: str) -> None:
    domain, wanted = _split(text)
    app = run.state.table.apps[domain]
    found = ("~ " if app.fail_open else "") + " ".join(record.cluster for record in app.records)
    assert found.split() == wanted.split(), f"answers {found or 'nothing'}"


def _share(run: Run, text: str) -> None:
    where, wanted = _split(text)
    domain, cluster = where.split()
    shares = {record.cluster: record.share for record in run.state.table.apps[domain].records}
    assert shares.get(cluster, 0) == int(wanted), f"shares {shares}"


def _ttl(run: Run, text: str) -> None:
    domain, wanted = _split(text)
    assert run.state.table.apps[domain].ttl == int(wanted), f"TTL {run.state.table.apps[domain].ttl}"


def _phase(run: Run, text: str) -> None:
    where, wanted = _split(text)
    domain, cluster = where.split()
    standing = run.state.standings.get((domain, cluster), Standing())
    assert standing.phase == wanted, standing


def _verdict(run: Run, text: str) -> None:
    cluster, wanted = _split(text)
    found = run.state.assessments[cluster]
    assert [found.internal, found.external] == wanted.split(), found


def _weight(run: Run, text: str) -> None:
    where, wanted = _split(text)
    cluster, pod = where.split()
    found = shares(run.state, cluster)
    assert found.get(pod) == int(wanted), found


def _stopped(run: Run, text: str) -> None:
    assert run.state.stopped == {*text.split()}, run.state.stopped


def _told(run: Run, text: str) -> None:
    cluster, what = text.split()
    run.feed(RouterTold(cluster, what == "closed", "192.0.2.9:9999"))


def _events(run: Run, text: str) -> None:
    cluster, wanted = _split(text)
    names = [e.name for e in run.history[run.seen.get(cluster, 0) :] if e.cluster == cluster or cluster == "*"]
    run.seen[cluster] = len(run.history)
    left = iter([str(name) for name in names])
    missing = [name for name in wanted.split() if name not in left]
    assert not missing, f"happened: {' '.join(names)}"
    assert wanted or not names, f"happened: {' '.join(names)}"


def _never(run: Run, text: str) -> None:
    cluster, unwanted = _split(text)
    names = {str(e.name) for e in run.history[run.seen.get(cluster, 0) :] if e.cluster == cluster}
    assert not names & {*unwanted.split()}, f"happened: {names}"


def _said(run: Run, text: str) -> None:
    name, words = _split(text)
    newest = next(e for e in reversed(run.history) if e.name == name)
    assert words in f"{newest.cause} {newest.evidence}", newest


def _suspect(run: Run, text: str) -> None:
    assert bool(run.state.suspicion) == (text == "yes"), run.state.suspicion


WORDS: dict[str, Any] = {
    "break": _truth("bad"),
    "mend": _truth("good"),
    "hush": _truth("silent"),
    "pod": _pod,
    "mute": lambda run, text: run.muted.add(text),
    "unmute": lambda run, text: run.muted.discard(text),
    "flicker": _flicker,
    "canary": _canary,
    "queue": lambda run, text: run.queued.add(text),
    "serve": lambda run, text: run.queued.discard(text),
    "poll": _poll,
    "rename": _rename,
    "reload": _reload,
    "stall": _stall,
    "order": _order,
    "for": _order_for,
    "refused": _refused,
    "restart": _restart,
    "answers": _answers,
    "share": _share,
    "ttl": _ttl,
    "phase": _phase,
    "verdict": _verdict,
    "weight": _weight,
    "stopped:": _stopped,
    "told": _told,
    "events": _events,
    "never": _never,
    "said": _said,
    "suspect:": _suspect,
    **sharing.WORDS,
    "nothing": lambda run, text: None,
}
