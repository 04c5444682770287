"""Matrix factorisation: free embeddings, nothing between them and the scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_rec import BACKBONES, Backbone, Interactions, setting

if TYPE_CHECKING:
    import torch
    from torch import nn


@BACKBONES.add("mf")
@dataclass(frozen=True, kw_only=True)
class MF(Backbone):
    """Matrix factorisation: one free embedding for each user and item."""

    init_std: float = setting(
        0.1,
        "initial embeddings are N(0, init_std^2); with Adam, lr / init_std sets the pace",
        above=0,
    )

    source: ClassVar[str] = "Koren et al., Matrix Factorization Techniques, IEEE Computer 2009"

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return the module of two tables; see `Backbone.build`."""
        from robustbench_rec.backbones._tables import Tables

        return Tables(train.n_users, train.n_items, self.dim, self.init_std, generator)
