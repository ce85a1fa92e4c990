"""From results to what speaks against a cluster (spec S4–S12, S25–S28). Pure."""
