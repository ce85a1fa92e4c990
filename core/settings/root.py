"""The whole settings object. Precedence: flags over environment over file over defaults (pydantic-settings)."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.settings.clusters import App, Cluster, Zone
from core.settings.sections import Alerts, Console, Control, Detection, Dns, Log, Recovery, Safety, Ssh, Store


class Settings(BaseSettings):
    """Everything a process needs to know; immutable."""

    model_config = SettingsConfigDict(
        env_prefix="POINTSMAN_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    dns: Dns = Field(Dns(), description="the DNS server")
    zone: tuple[Zone, ...] = Field((), description="zones")
    app: tuple[App, ...] = Field((), description="domain names and who serves them")
    cluster: tuple[Cluster, ...] = Field((), description="clusters")
    detection: Detection = Field(Detection(), description="detection")
    recovery: Recovery = Field(Recovery(), description="coming back")
    safety: Safety = Field(Safety(), description="rules against ourselves")
    ssh: Ssh = Field(Ssh(), description="SSH")
    store: Store = Field(Store(), description="state and history")
    control: Control = Field(Control(), description="the control API")
    console: Console = Field(Console(), description="the console")
    log: Log = Field(Log(), description="logs")
    alerts: Alerts = Field(Alerts(), description="alerts")
