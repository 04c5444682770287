"""The hot path: scores of a batch against its sampled negatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def gathered_scores(users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
    """Return the dot product of each user with each of its sampled items.

    One product over the whole catalogue, then a gather: several times faster on a CPU than
    gathering (B, N, dim) vectors, at (B, n_items) floats of memory.

    Args:
        users: (B, dim).
        items: (n_items, dim).
        negatives: (B, N) int64.

    Returns:
        (B, N).

    """
    return (users @ items.T).gather(1, negatives)
