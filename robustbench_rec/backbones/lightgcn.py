"""LightGCN: embeddings smoothed over the graph of training pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

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

        from robustbench_rec.backbones._tables import Tables

        class Propagation(nn.Module):
            graph: Tensor

            def __init__(self, tables: Tables, graph: Tensor, layers: int) -> None:
                super().__init__()
                self.tables, self.layers = tables, layers
                self.register_buffer("graph", graph)

            def forward(self) -> tuple[Tensor, Tensor]:
                users, items = self.tables()
                return propagate(users, items, self.graph, self.layers)

        tables = Tables(train.n_users, train.n_items, self.dim, self.init_std, generator)
        return Propagation(tables, normalised_graph(train), self.layers)


def normalised_graph(train: Interactions) -> Tensor:
    """Return the users x items matrix with entries 1 / sqrt(degree_u degree_i), sparse COO."""
    import torch

    user_degrees = train.user_counts[train.users].astype(np.float64)
    item_degrees = train.item_counts[train.items].astype(np.float64)
    weights = 1 / np.sqrt(user_degrees * item_degrees)
    return torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([train.users, train.items])),
        torch.from_numpy(weights.astype(np.float32)),
        (train.n_users, train.n_items),
        is_coalesced=True,
        check_invariants=False,
    )


def propagate(users: Tensor, items: Tensor, graph: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """Average the embeddings of layers 0 to `layers`.

    Args:
        users: (n_users, dim).
        items: (n_items, dim).
        graph: (n_users, n_items) sparse, normalised.
        layers: how often to propagate.

    Returns:
        The two averages, shaped as the inputs.

    """
    import torch

    user_sum, item_sum = users, items
    for _ in range(layers):
        users, items = torch.sparse.mm(graph, items), torch.sparse.mm(graph.t(), users)
        user_sum, item_sum = user_sum + users, item_sum + items
    return user_sum / (layers + 1), item_sum / (layers + 1)
