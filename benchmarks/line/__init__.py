"""How fast the line is: `python -m benchmarks.line.outbox` and others."""
