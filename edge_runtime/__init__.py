"""kenpin on the line: camera → view → engine → verdict → outbox → broker.

This package is all that a line PC installs. It imports neither `train` nor `export`, and they import from it what both
sides must agree on: how a picture becomes a view (`picture`), what a bundle says of itself (`bundle`), and what a
verdict is (`verdict`).
"""
