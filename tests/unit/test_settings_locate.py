"""The line of a key is found wherever TOML lets it stand."""

from __future__ import annotations

import tomllib

import pytest

from core.settings.locate import Lines, Loc

DOCUMENT = '''\
# a comment with [brackets] and = signs
title = "one" # [not.a.table]
site."quoted key".'an other' = 1

[dns]
listen = [ # first
  "127.0.0.1:53", # a ] in a comment

  "[::1]:53",
]
text = """
[[cluster]]
name = "not a cluster" \\""" still text
"""""
raw = \'\'\'
[dns]
\'\'\'
limits = { udp = 1, "tcp total" = { idle = [1, 2] }, last = "}" }
when = 1979-05-27 07:32:00

[dns.deep . "x.y"]
here = true

[[cluster]]
name = "a"
  [cluster.router]
  kind = "none"
  [[cluster.node]]
  name = "n1"
  [[cluster.node]]
  name = "n2"
  ssh = "a#b"
  command = [
    { name = "c1" },
    { name = "c2", args = [
        1,
        2 ] },
  ]

[[cluster]]
name = "b"

[[cluster.node]]
name = "n3"
[cluster.node.extra]
deep.er = 1
'''


@pytest.mark.parametrize(
    ("loc", "written"),
    [
        (("title",), "title ="),
        (("site", "quoted key", "an other"), 'site."quoted key"'),
        (("dns",), "[dns]"),
        (("dns", "listen"), "listen ="),
        (("dns", "listen", 0), '"127.0.0.1:53"'),
        (("dns", "listen", 1), '"[::1]:53"'),
        (("dns", "text"), 'text = """'),
        (("dns", "raw"), "raw = '''"),
        (("dns", "limits", "tcp total", "idle", 1), "limits ="),
        (("dns", "limits", "last"), "limits ="),
        (("dns", "when"), "when ="),
        (("dns", "deep", "x.y", "here"), "here ="),
        (("cluster", 0, "name"), 'name = "a"'),
        (("cluster", 0, "router", "kind"), "kind ="),
        (("cluster", 0, "node", 1, "name"), 'name = "n2"'),
        (("cluster", 0, "node", 1, "ssh"), "ssh ="),
        (("cluster", 0, "node", 1, "command", 1, "name"), '{ name = "c2"'),
        (("cluster", 0, "node", 1, "command", 1, "args", 1), "2 ] }"),
        (("cluster", 1, "name"), 'name = "b"'),
        (("cluster", 1, "node", 0, "name"), 'name = "n3"'),
        (("cluster", 1, "node", 0, "extra", "deep", "er"), "deep.er"),
    ],
)
def test_a_key_is_found_where_it_is_written(loc: Loc, written: str) -> None:
    tomllib.loads(DOCUMENT)
    line = Lines(DOCUMENT).line(loc)
    assert line is not None
    assert written in DOCUMENT.splitlines()[line - 1]


def test_a_key_that_is_missing_has_the_line_of_its_table() -> None:
    lines = Lines(DOCUMENT)
    assert lines.line(("cluster", 0, "node", 0, "runtime")) == lines.line(("cluster", 0, "node", 0))
    assert lines.line(("cluster", 0, "node", 0)) != lines.line(("cluster", 0, "node", 1))


def test_what_is_not_in_the_file_has_no_line() -> None:
    assert Lines(DOCUMENT).line(("store", "directory")) is None
    assert Lines("").line(("dns",)) is None


def test_every_value_of_a_document_is_found_at_or_after_its_parent() -> None:
    lines = Lines(DOCUMENT)

    def walk(value: object, loc: Loc, parent: int) -> int:
        line = lines.line(loc) if loc else 0
        assert line is not None
        assert line >= parent or isinstance(value, dict | list)
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return 1 + sum(walk(child, (*loc, part), line) for part, child in children)

    assert walk(tomllib.loads(DOCUMENT), (), 0) > 40


def test_windows_line_ends_count_as_one() -> None:
    assert Lines("[dns]\r\nttl = 5\r\nlisten = [\r\n]\r\n").line(("dns", "listen")) == 3
