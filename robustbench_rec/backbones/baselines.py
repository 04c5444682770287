"""Baselines: scores without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_rec import BACKBONES, Backbone, Interactions, setting

if TYPE_CHECKING:
    import torch
    from torch import nn


@BACKBONES.add("popularity")
@dataclass(frozen=True, kw_only=True)
class Popularity(Backbone):
    """The same list for every user: an item's score is its number of training pairs.

    It ranks by the dot product; the cosine of two single numbers only has their signs.
    """

    dim: int = setting(1, "a score is one number", at_least=1, at_most=1)

    learns: ClassVar[bool] = False
    source: ClassVar[str] = "what a model that knows no user reaches"

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return the counts as a fixed table, beside users of ones; draws nothing."""
        import torch

        from robustbench_rec.backbones._tables import Fixed

        counts = torch.tensor(train.item_counts, dtype=torch.float32)
        return Fixed(torch.ones(train.n_users, 1), counts[:, None])  # (n_items, 1)


@BACKBONES.add("random")
@dataclass(frozen=True, kw_only=True)
class Random(Backbone):
    """Fixed N(0, 1) embeddings of users and items, which have seen no training pair."""

    learns: ClassVar[bool] = False
    source: ClassVar[str] = "what chance reaches"

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return two fixed tables; see `Backbone.build`."""
        import torch

        from robustbench_rec.backbones._tables import Fixed

        users, items = (
            torch.randn(n, self.dim, generator=generator) for n in (train.n_users, train.n_items)
        )
        return Fixed(users, items)
