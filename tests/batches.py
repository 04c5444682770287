"""Batches that a loss under test is called with."""


def is_probe(batch) -> bool:
    """Say whether a batch is one that diagnostics take slopes of: no step is taken on it."""
    return batch.pos.requires_grad and batch.pos.is_leaf


def takes_a_step(batch) -> bool:
    """Say whether the model is moved on a batch."""
    return batch.pos.requires_grad and not is_probe(batch)
