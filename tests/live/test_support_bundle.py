"""The support bundle: everything that helps, and no secret, whether pointsman runs, does not, or cannot."""

from __future__ import annotations

import base64
import json
import tarfile
from pathlib import Path

import pytest

from tests.live.app_program import Done, Program, eventually, pointsman, program, written

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
# Each once, in the place where such a secret stands; the test looks for all of them in every file of the bundle.
SECRETS = {
    "dsn": "pgPa55-in-the-dsn",
    "dsn_file": "myPa55-in-a-file",
    "userinfo": "pg_user_name_7",
    "token": "control-token-0123456789",
    "webhook_path": "T0SLACK/B0HOOK/xoxSlackSecret",
    "webhook_file": "T1SLACK/B1HOOK/xoxOtherSecret",
    "webhook_secret": "pagerduty-routing-key-1",
    "webhook_secret_file": "alertmanager-bearer-2",
    "command": "argument-pass-word-3",
    "check": "checkpa55word4",
    "tsig": base64.b64encode(b"a TSIG key of thirty-two octets.").decode(),
    "api_key": "powerdns-api-key-5",
    "cookie": "0123456789abcdef0123456789abcdef",
    "provider_url": "urlPa55word6",
    "query": "confirm-token-7",
    "slip": "a-password-with-a-slip-8",
    "environment": "env-pagerduty-key-9",
}
FILES = {
    "dsn": f"mysql://app:{SECRETS['dsn_file']}@127.0.0.1:1/app\n",
    "token": SECRETS["token"] + "\n",
    "hook": f"https://hooks.example/services/{SECRETS['webhook_file']}\n",
    "bearer": SECRETS["webhook_secret_file"] + "\n",
    "tsig": f"hmac-sha256:transfer.:{SECRETS['tsig']}\n",
    "api": SECRETS["api_key"] + "\n",
    "cookies": SECRETS["cookie"] + "\n",
}
CONFIG = f"""
[dns]
listen = ["127.0.0.1:0"]
cookie_secrets = "cookies"
[store]
directory = "state"
[control]
socket = "control.sock"
token_file = "token"
[[zone]]
name = "svc1.net."
transfer_to = ["127.0.0.1:1"]
tsig = "tsig"
[[app]]
domain = "svc1.net."
clusters = ["a", "b"]
[[cluster]]
name = "a"
addresses = ["127.0.0.1"]
[cluster.confirm]
kind = "http"
target = "127.0.0.1:1/healthz?token={SECRETS["query"]}"
[[cluster.node]]
name = "n1"
local = true
checks = []
[[cluster.node.command]]
name = "mine"
command = "echo --password={SECRETS["check"]} >&2; echo {SECRETS["check"]}; exit 3"
contains = "well"
[[cluster.database]]
name = "first"
kind = "postgresql"
dsn = "postgresql://{SECRETS["userinfo"]}:{SECRETS["dsn"]}@127.0.0.1:1/app"
[[cluster.database]]
name = "second"
kind = "mysql"
dsn_file = "dsn"
[[cluster]]
name = "b"
addresses = ["192.0.2.2"]
[[provider]]
name = "other"
kind = "powerdns"
zone = "svc1.net."
server = "127.0.0.1:1"
url = "http://admin:{SECRETS["provider_url"]}@127.0.0.1:1"
api_key_file = "api"
[[alerts.webhook]]
url = "http://127.0.0.1:1/services/{SECRETS["webhook_path"]}"
events = ["address_erased", "started"]
[[alerts.webhook]]
url_file = "hook"
format = "slack"
[[alerts.webhook]]
url = "http://127.0.0.1:1/"
format = "pagerduty"
secret = "{SECRETS["webhook_secret"]}"
[[alerts.webhook]]
url = "http://127.0.0.1:1/"
format = "alertmanager"
secret_file = "bearer"
[[alerts.command]]
run = ["/bin/false", "--password={SECRETS["command"]}"]
"""
ENVIRONMENT = {"POINTSMAN_ALERTS__COMMAND": json.dumps([{"run": ["/bin/true", f"--key={SECRETS['environment']}"]}])}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return written(tmp_path, CONFIG)


def bundled(directory: Path, config: Path, **env: str) -> tuple[Done, dict[str, str]]:
    """What the command said, and the texts in its file, of which none holds a secret."""
    file = directory / "bundle.tar.gz"
    done = pointsman(directory, "support-bundle", "--out", str(file), "--config", str(config), **env)
    assert done.code == 0, done.err
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as tar:
        texts = {name.removeprefix("pointsman-support/"): read(tar, name) for name in tar.getnames()}
    file.unlink()
    found = [(name, what) for name, text in texts.items() for what, secret in SECRETS.items() if secret in text]
    assert not found
    assert not [what for what, secret in SECRETS.items() if secret in done.out + done.err]
    return done, texts


def read(tar: tarfile.TarFile, name: str) -> str:
    member = tar.extractfile(name)
    assert member
    return member.read().decode()


def erased(it: Program) -> bool:
    return it.cluster("a").state == "erased"


def test_a_running_pointsman_tells_all_but_its_secrets(tmp_path: Path, config: Path) -> None:
    with program(config, **ENVIRONMENT) as it:
        eventually(lambda: erased(it))
        _, texts = bundled(tmp_path, config, **ENVIRONMENT)
    assert "erased" in texts["status.txt"]
    assert SECRETS["check"] in it.said(), "a secret that nothing ever said would prove little"
    assert "address_erased" in texts["events.txt"]
    assert "pointsman_" in texts["metrics.txt"]
    assert "quick_check: ok" in texts["store.txt"]
    assert json.loads(texts["version.json"])["aiohttp"]
    assert "Max open files" in texts["process-limits.txt"]
    settings = json.loads(texts["settings.json"])
    assert settings["store"]["directory"] == "state"
    assert settings["cluster"][0]["database"][0]["dsn"] == "***"
    assert settings["cluster"][0]["node"][0]["command"][0]["command"] == "echo ***"
    assert settings["alerts"]["webhook"][0]["url"] == "http://127.0.0.1:1/***"
    assert json.loads(texts["environment.json"]) == {
        "POINTSMAN_ALERTS__COMMAND": {"alerts": {"command": [{"run": "/bin/true ***"}]}}
    }


def test_what_was_is_told_when_nothing_runs(tmp_path: Path, config: Path) -> None:
    with program(config) as it:
        eventually(lambda: "address_erased" in it.said())
        it.end()
    done, texts = bundled(tmp_path, config)
    assert "not in it: status, metrics: no pointsman answers" in done.out
    assert "status.txt" not in texts
    assert "address_erased" in texts["events.txt"]
    assert json.loads(texts["state.json"])["standing/svc1.net./a"]["phase"] == "erased"


def test_settings_that_are_wrong_are_masked_all_the_same(tmp_path: Path, config: Path) -> None:
    config.write_text(CONFIG.replace("dsn_file =", "dsnfile =").replace('"dsn"', f'"{SECRETS["slip"]}"'))
    _, texts = bundled(tmp_path, config)
    assert "dsnfile" in texts["problems.txt"]
    config.write_text(CONFIG + f"password = {SECRETS['slip']}\n")
    _, texts = bundled(tmp_path, config)
    assert "settings.json" not in texts
    assert "settings.json: not TOML" in texts["bundle.txt"]


def test_a_damaged_store_is_told_and_the_rest_is_there(tmp_path: Path, config: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.db").write_bytes(b"no database" * 1000)
    _, texts = bundled(tmp_path, config)
    assert "store.txt: file is not a database" in texts["bundle.txt"]
    assert "settings.json" in texts
