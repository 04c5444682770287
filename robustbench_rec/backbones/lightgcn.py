"""LightGCN: embeddings smoothed over the graph of training pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_rec import BACKBONES, Backbone, Interactions, setting

if TYPE_CHECKING:
    import torch
    from torch import nn


@BACKBONES.add("lightgcn")
@dataclass(frozen=True, kw_only=True)
class LightGCN(Backbone):
    """LightGCN: the mean of `layers` + 1 propagations over the graph of training pairs."""

    layers: int = setting(2, "propagations over the graph", at_least=1)
    init_std: float = setting(0.1, "initial embeddings are N(0, init_std^2)", above=0)

    source: ClassVar[str] = "He et al., LightGCN, SIGIR 2020, equations 3, 4 and 8"

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return the propagating module; see `Backbone.build`."""
        from robustbench_rec.backbones._graph import Graph, Propagation
        from robustbench_rec.backbones._tables import Tables

        tables = Tables(train.n_users, train.n_items, self.dim, self.init_std, generator)
        return Propagation(tables, Graph(train), self.layers)
