"""The authoritative DNS server (spec S14, S21). :class:`dnsserver.server.DnsServer` is what the composition root uses.

Of the project it imports only ``core.model``, ``core.records``, ``core.snapshot``, ``core.settings`` and ``core.errors``.
"""
