"""Alerts: events of the history sent to webhooks and commands of the operator's. A failing receiver delays nothing."""
