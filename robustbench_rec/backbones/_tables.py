"""Tables of embeddings, trained and fixed. Imports torch: import it late."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Tables(nn.Module):
    """A table of user and a table of item embeddings, normal with the given deviation.

    Attributes:
        users: (n_users, dim) float32.
        items: (n_items, dim) float32.

    """

    def __init__(
        self, n_users: int, n_items: int, dim: int, std: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.users = nn.Parameter(torch.randn(n_users, dim, generator=generator) * std)
        self.items = nn.Parameter(torch.randn(n_items, dim, generator=generator) * std)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the tables as they are."""
        return self.users, self.items


class Fixed(nn.Module):
    """Fixed tables: buffers, without training.

    Attributes:
        users: (n_users, dim) float32.
        items: (n_items, dim) float32.

    """

    users: Tensor
    items: Tensor

    def __init__(self, users: Tensor, items: Tensor) -> None:
        super().__init__()
        self.register_buffer("users", users)
        self.register_buffer("items", items)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the tables as they are."""
        return self.users, self.items
