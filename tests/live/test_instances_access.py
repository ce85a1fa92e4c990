"""TLS, certificates of our own and a login to etcd, by file; what is wrong with them is said, and never a secret."""

from __future__ import annotations

import json
import ssl
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.model import Action
from tests.live.app_program import eventually
from tests.live.certificates import Files, made
from tests.live.etcd_servers import Member, etcd
from tests.live.instances import config, instance, instances

pytestmark = pytest.mark.live
NAMES = ("tokyo", "osaka")
PASSWORD = "correct-horse-battery"


class Secured(Member):
    """A member that speaks TLS alone, with those whose certificate it knows."""

    files: Files

    def ask(self, call: str, body: dict[str, Any]) -> Any:
        context = ssl.create_default_context(cafile=str(self.files.certificate))
        if "--client-cert-auth" in self.more:
            context.load_cert_chain(self.files.certificate, self.files.key)
        request = urllib.request.Request(f"{self.endpoint}/v3/{call}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return json.load(answer)


@contextmanager
def secured(directory: Path, how: str) -> Iterator[Secured]:
    """``certificate``: it wants one of us; ``login``: it wants user and password. Not both: the gateway refuses a certificate with a common
    name where there are users."""
    Secured.files = files = made(directory)
    flags = {"cert-file": files.certificate, "key-file": files.key}
    more = [str(word) for name, path in flags.items() for word in (f"--{name}", path)]
    if how == "certificate":
        more += ["--trusted-ca-file", str(files.certificate), "--client-cert-auth"]
    with etcd(directory, more=more, kind=Secured, scheme="https") as [found]:
        assert isinstance(found, Secured)
        if how == "login":
            _with_login(found)
        yield found


def _with_login(member: Secured) -> None:
    """A user for pointsman, whose role reaches its own keys alone."""
    for name in ("root", "pointsman"):
        member.ask("auth/user/add", {"name": name, "password": PASSWORD})
        member.ask("auth/role/add", {"name": name})
        member.ask("auth/user/grant", {"user": name, "role": name})
    first, last = (b64encode(key).decode() for key in (b"/pointsman/", b"/pointsman0"))
    grant = {"permType": "READWRITE", "key": first, "range_end": last}
    member.ask("auth/role/grant", {"name": "pointsman", "perm": grant})
    member.ask("auth/enable", {})


def access(directory: Path, how: str, files: Files, password: str = PASSWORD) -> list[str]:
    """The lines of the settings."""
    secret = directory / "password"
    secret.write_text(password + "\n")
    secret.chmod(0o600)
    login = [f'password_file = "{secret}"', 'user = "pointsman"']
    ours = [f'cert_file = "{files.certificate}"', f'key_file = "{files.key}"']
    return [f'ca_file = "{files.certificate}"', *(login if how == "login" else ours)]


@pytest.mark.parametrize("how", ["certificate", "login"])
def test_orders_are_shared_over_tls_with_a_certificate_or_a_login(tmp_path: Path, how: str) -> None:
    with secured(tmp_path, how) as member:
        more = "\n".join(access(tmp_path, how, member.files))
        configs = [config(tmp_path, name, [member.endpoint], more=more, names=NAMES) for name in NAMES]
        with instances(configs) as [tokyo, osaka]:
            tokyo.give(Action.DRAIN, "a", "work")
            eventually(lambda: osaka.addresses() == {"192.0.2.2"})
            member.kill()  # and with it the tokens that it gave
            member.start()
            osaka.give(Action.RESTORE, "a")
            eventually(lambda: len(tokyo.addresses()) == 2)


@pytest.mark.parametrize(
    ("how", "wrong", "words"),
    [
        ("login", "password", "authentication failed"),
        ("certificate", "none of ours", "https://"),
        ("login", "another authority", "certificate verify failed"),
    ],
)
def test_what_is_wrong_with_the_access_is_said_and_dns_is_answered(
    tmp_path: Path, how: str, wrong: str, words: str
) -> None:
    with secured(tmp_path, how) as member:
        lines = access(tmp_path, how, member.files, "wrong-" + PASSWORD if wrong == "password" else PASSWORD)
        if wrong == "none of ours":
            lines = lines[:1]
        elif wrong == "another authority":
            elsewhere = tmp_path / "elsewhere"
            elsewhere.mkdir()
            lines[0] = f'ca_file = "{made(elsewhere).certificate}"'
        with instance(config(tmp_path, "tokyo", [member.endpoint], more="\n".join(lines), names=NAMES)) as tokyo:
            eventually(lambda: words in " ".join(tokyo.snapshot().trouble))
            said = " ".join(tokyo.snapshot().trouble) + tokyo.said()
            assert PASSWORD not in said
            assert len(tokyo.addresses()) == 2
