"""`make demo`: a whole inspection line on one PC, from training to verdicts at a subscriber."""
