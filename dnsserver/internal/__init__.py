"""The internal DNS (spec S17): a small caching resolver in or near a cluster, in a process of its own (``pointsman internal-dns``)."""
