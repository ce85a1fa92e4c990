"""What several instances share through etcd: the client, the forms on the wire, the session that is held. I/O.

What follows from what is heard is decided by pure modules: :mod:`core.detection.peers`, :mod:`core.switching.document`.
"""
