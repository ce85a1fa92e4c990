"""The chaos soak: a lab under random faults, orders and kills, and a judge who knows what is true. See :mod:`bench.chaos.__main__`."""
