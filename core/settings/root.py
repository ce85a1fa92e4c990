"""The whole settings object, as the parts of the program get it. Where its values come from: :mod:`core.settings.load`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from core.settings.alerts import Alerts
from core.settings.clusters import App, Cluster, Zone
from core.settings.hands import InternalDns, Provider
from core.settings.peers import Peers
from core.settings.resolver import Resolver
from core.settings.sections import Console, Control, Detection, Dns, Log, Recovery, Remote, Safety, Ssh, Store


class Settings(BaseSettings):
    """Everything a process needs to know; immutable."""

    model_config = SettingsConfigDict(
        env_prefix="POINTSMAN_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    dns: Dns = Field(Dns(), description="the DNS server")
    zone: tuple[Zone, ...] = Field((), description="zones")
    app: tuple[App, ...] = Field((), description="domain names and who serves them")
    cluster: tuple[Cluster, ...] = Field((), description="clusters")
    internal_dns: tuple[InternalDns, ...] = Field((), description="internal DNS of clusters")
    provider: tuple[Provider, ...] = Field((), description="other people's DNS")
    detection: Detection = Field(Detection(), description="detection")
    recovery: Recovery = Field(Recovery(), description="coming back")
    safety: Safety = Field(Safety(), description="rules against ourselves")
    ssh: Ssh = Field(Ssh(), description="SSH")
    peers: Peers = Field(Peers(), description="several instances")
    store: Store = Field(Store(), description="state and history")
    control: Control = Field(Control(), description="the control API")
    remote: Remote = Field(Remote(), description="a pointsman elsewhere")
    console: Console = Field(Console(), description="the console")
    log: Log = Field(Log(), description="logs")
    alerts: Alerts = Field(Alerts(), description="alerts")
    resolver: Resolver = Field(Resolver(), description="the internal DNS, a process of its own")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what it is given: load() reads flags, environment and file, and knows where each value stood."""
        return (init_settings,)

    @property
    def control_socket(self) -> Path:
        """The Unix socket of the control API."""
        return Path(self.control.socket or Path(self.store.directory) / "control.sock")

    @property
    def log_file(self) -> Path:
        """The file that logs go to while the console has the screen."""
        return Path(self.log.file or Path(self.store.directory) / "pointsman.log")
