"""From what speaks against a cluster, and from orders, to the record table (spec S13–S22, S27–S37). Pure."""
