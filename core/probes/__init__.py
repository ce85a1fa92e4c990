"""What asks nodes, machines, databases and routers (spec S4–S11). I/O; ``kinds`` alone is pure."""
