"""What came into the engine, kept as JSON lines, and what other thresholds would have made of it."""
