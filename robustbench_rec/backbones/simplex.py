"""SimpleX: a user is an embedding of its own mixed with the items of its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_rec import BACKBONES, Backbone, Interactions, setting

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@BACKBONES.add("simplex")
@dataclass(frozen=True, kw_only=True)
class SimpleX(Backbone):
    """SimpleX: gate * e_u + (1 - gate) * V mean of e_i over the training history of u.

    V is a learned (dim, dim) map that starts as the identity, so that training starts from plain
    averages; items are free embeddings. The history is pooled by its mean, without attention.
    """

    gate: float = setting(0.5, "share of the user's own embedding", at_least=0, at_most=1)
    init_std: float = setting(0.1, "initial embeddings are N(0, init_std^2)", above=0)

    source: ClassVar[str] = "Mao et al., SimpleX, CIKM 2021, section on behaviour aggregation"

    def build(self, train: Interactions, generator: torch.Generator) -> nn.Module:
        """Return the mixing module; see `Backbone.build`."""
        import torch
        from torch import nn

        from robustbench_rec.backbones._graph import History, history_mean
        from robustbench_rec.backbones._tables import Tables

        class Mixed(nn.Module):
            def __init__(self, tables: Tables, dim: int, gate: float) -> None:
                super().__init__()
                self.tables, self.gate = tables, gate
                self.history = History(train)
                self.map = nn.Parameter(torch.eye(dim))

            def forward(self) -> tuple[Tensor, Tensor]:
                users, items = self.tables()
                pooled = history_mean(self.history, items) @ self.map.T  # (n_users, dim)
                return self.gate * users + (1 - self.gate) * pooled, items

        tables = Tables(train.n_users, train.n_items, self.dim, self.init_std, generator)
        return Mixed(tables, self.dim, self.gate)
