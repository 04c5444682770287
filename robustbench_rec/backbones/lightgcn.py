"""LightGCN: embeddings smoothed over the graph of training pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_rec import BACKBONES, Backbone, Interactions, setting

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@BACKBONES.add("lightgcn")
@dataclass(frozen=True, kw_only=True)
class LightGCN(Backbone):
    """LightGCN: the mean of `layers` + 1 propagations over the graph of training pairs."""

    layers: int = setting(2, "propagations over the graph", at_least=1)
    init_std: float = setting(0.1, "initial embeddings are N(0, init_std^2)", above=0)

    source: ClassVar[str] = "He et al., LightGCN, SIGIR 2020, equations 3, 4 and 8"

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return the propagating module; see `Backbone.build`."""
        from torch import nn

        from robustbench_rec.backbones._graph import Graph, layer_mean
        from robustbench_rec.backbones._tables import Tables

        class Propagation(nn.Module):
            def __init__(self, tables: Tables, graph: Graph, layers: int) -> None:
                super().__init__()
                self.tables, self.graph, self.layers = tables, graph, layers

            def forward(self) -> tuple[Tensor, Tensor]:
                users, items = self.tables()
                return layer_mean(self.graph, users, items, self.layers)

        tables = Tables(train.n_users, train.n_items, self.dim, self.init_std, generator)
        return Propagation(tables, Graph(train), self.layers)
