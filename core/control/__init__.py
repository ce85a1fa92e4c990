"""The control API: one client protocol, a local and a socket form, the server and the metrics."""
