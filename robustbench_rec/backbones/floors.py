"""Floors: rankings that train nothing, which every loss should beat."""

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
    """The most popular items first, alike for every user."""

    dim: int = setting(1, "a count is one number", at_least=1, at_most=1)

    learns: ClassVar[bool] = False
    source: ClassVar[str] = "training counts; the baseline without personalisation"

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return ones for users and training counts for items; see `Backbone.build`."""
        import torch

        from robustbench_rec.backbones._tables import Fixed

        counts = torch.tensor(train.item_counts, dtype=torch.float32)
        return Fixed(torch.ones(train.n_users, 1), counts.unsqueeze(1))


@BACKBONES.add("random")
@dataclass(frozen=True, kw_only=True)
class Random(Backbone):
    """Another random order of the items for every user."""

    learns: ClassVar[bool] = False
    source: ClassVar[str] = "products of N(0, 1) embeddings; what chance reaches"

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return embeddings that nothing will train; see `Backbone.build`."""
        import torch

        from robustbench_rec.backbones._tables import Fixed

        return Fixed(
            torch.randn(train.n_users, self.dim, generator=generator),
            torch.randn(train.n_items, self.dim, generator=generator),
        )
