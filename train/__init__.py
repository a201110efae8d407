"""From views to a run folder: the conditional VAE, the difference, the SVM heads, and the report."""
