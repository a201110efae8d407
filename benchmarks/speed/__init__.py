"""How long a verdict takes, against what else could draw or judge the same view."""
