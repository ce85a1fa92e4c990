"""DNSSEC, signed online: keys, signatures, and the denial of what does not exist (RFC 4034, 4035, 9824). Off by default."""
