"""The embedded lab behind ``pointsman demo``: clusters of this machine's own making, with real SSH, processes and faults.

The lab runs apart from pointsman (``python -m core.lab``) and notices nothing by itself. Linux only: its nodes are
loopback addresses out of 127.0.0.0/8, and their tools report what ``/proc`` says.
:mod:`core.lab.demo` starts it, :mod:`core.lab.client` asks it for faults, :mod:`core.lab.cli` is ``pointsman lab``.
"""
