"""Figures, measured. Each folder is one command: `python -m benchmarks.accuracy`."""
