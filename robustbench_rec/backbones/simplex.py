"""SimpleX: a user is a mix of an embedding and the mean embedding of the user's items."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from robustbench_rec import BACKBONES, Backbone, Interactions, setting

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@BACKBONES.add("simplex")
@dataclass(frozen=True, kw_only=True)
class SimpleX(Backbone):
    """SimpleX's aggregation: each user's embedding, mixed with a map of the history's mean.

    user u = gate e_u + (1 - gate) V mean of e_i over the training items i of u

    V (dim, dim) is learned and has no bias; items are their e_i. It starts as the identity, so
    that users are near their items from the first step, or at random (`map_init`). Users without
    training pairs have no second term. The paper's attention poolings are left out.
    """

    gate: float = setting(
        0.5, "share of the user's own embedding; the rest is the history", at_least=0, at_most=1
    )
    init_std: float = setting(0.1, "initial embeddings are N(0, init_std^2)", above=0)
    map_init: Literal["identity", "xavier"] = setting(
        "identity", "initial V: the identity, or N(0, 1 / dim) as Xavier's normal"
    )

    source: ClassVar[str] = "Mao et al., SimpleX, CIKM 2021, with average pooling"

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return the aggregating module; the tables are drawn before V; see `Backbone.build`."""
        from robustbench_rec.backbones._history import Aggregation, HistoryMean
        from robustbench_rec.backbones._tables import Tables

        tables = Tables(train.n_users, train.n_items, self.dim, self.init_std, generator)
        return Aggregation(tables, HistoryMean(train), self._initial_map(generator), self.gate)

    def _initial_map(self, generator: torch.Generator) -> Tensor:
        import torch

        if self.map_init == "identity":
            return torch.eye(self.dim)
        return torch.randn(self.dim, self.dim, generator=generator) / math.sqrt(self.dim)
