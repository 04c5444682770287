"""Training: optimizers, negatives, diagnostics, and the loop over epochs."""
